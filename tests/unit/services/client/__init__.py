"""Clients against the application itself."""
