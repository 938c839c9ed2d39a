"""Commands that make, train and complete checkpoints."""
