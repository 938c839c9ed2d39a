"""What decides which weights of a run are kept."""
