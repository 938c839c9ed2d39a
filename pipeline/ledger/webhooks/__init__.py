"""Webhooks of tenants: what they are told, durably, and what became of it."""
