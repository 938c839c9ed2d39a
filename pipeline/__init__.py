"""Documents to log to chunks to writers."""
