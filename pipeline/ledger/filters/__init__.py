"""Which documents a question may draw on: filters, and what of documents they look at."""
