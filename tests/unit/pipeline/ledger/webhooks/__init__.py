"""Webhooks in the ledger, on both databases."""
