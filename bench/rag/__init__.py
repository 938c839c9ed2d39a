"""What reading from memory saves against putting the passages into a prompt."""
