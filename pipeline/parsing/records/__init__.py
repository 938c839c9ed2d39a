"""Formats that hold many documents, each read as a stream of records."""
