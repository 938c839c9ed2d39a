"""Heads: what of a log is memorized, who writes it, and how it is replaced."""
