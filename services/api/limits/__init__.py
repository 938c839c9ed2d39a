"""What one request, one client and one tenant may take."""
