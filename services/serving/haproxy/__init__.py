"""HAProxy before the API, in the place of Serve's own proxy."""
