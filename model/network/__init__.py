"""The transformer that writes and reads memory."""
