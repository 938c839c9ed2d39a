"""Checkpoints: reading, merging, checking and writing the weights of a model."""
