"""Answering: a queue of questions, the memories that are held, and batches of forward passes."""
