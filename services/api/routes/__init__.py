"""The API's routes, a file a topic."""
