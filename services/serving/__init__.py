"""The query service on Ray Serve: an ingress without weights, and readers with one model each."""
