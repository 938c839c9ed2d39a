"""A service as its clients see it: requests that are tried again, and documents in bulk."""
