"""Commands for tenants: their quotas, their keys, and what becomes of their memory."""
