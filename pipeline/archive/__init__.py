"""A tenant as one file: its format, export and import."""
