"""The HTTP API: one FastAPI app over the ledger, with the readers behind a small protocol."""
