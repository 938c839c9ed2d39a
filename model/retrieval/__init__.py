"""Which blocks of a memory a question is to see."""
