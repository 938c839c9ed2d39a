"""The readers on Serve: their deployment, its client, its figures, and how many there are."""
