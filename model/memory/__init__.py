"""One memory as a value: which rows are in it, how it grows, and how it is saved."""
