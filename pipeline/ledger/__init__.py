"""The database that holds tenants, documents and heads."""
