"""Texts for training and evaluation: facts, values, invented names, and what is held out."""
