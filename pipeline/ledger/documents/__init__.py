"""A tenant's log: documents, forget requests, jobs and quotas."""
