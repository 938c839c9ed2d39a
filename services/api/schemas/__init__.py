"""What requests and responses of the API look like, a file a topic."""
