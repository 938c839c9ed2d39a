"""Text that nobody sees, taken out of a file before the library that reads it would show it."""
