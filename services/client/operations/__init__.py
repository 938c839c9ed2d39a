"""What can be asked of the service: a file a concern, each operation written once."""
