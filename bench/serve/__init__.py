"""What questions over HTTP cost, against a real `mplus serve` on this machine's loopback."""
