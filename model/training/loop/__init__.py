"""The training loop, and what keeps its state, speed and progress."""
