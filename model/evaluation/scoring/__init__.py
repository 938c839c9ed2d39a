"""Asking, and how right and how certain the answers are."""
