"""From chunks to committed memory: reading ahead, forward passes, files and commits."""
