"""Compositions of the parts into systems that run."""
