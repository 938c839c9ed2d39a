"""Writers at work: claiming tenants, catching up, and how many there are."""
