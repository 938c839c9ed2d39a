"""Commands for documents: ingest, what was taken in, export and import."""
