"""Adapters in the real frameworks, against the application behind a real server."""
