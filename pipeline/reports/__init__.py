"""What an operator wants to know: status, metrics, and what a memory consists of."""
