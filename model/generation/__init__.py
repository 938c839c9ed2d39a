"""Answering: the prompt, the read pass over a memory, and choosing tokens."""
