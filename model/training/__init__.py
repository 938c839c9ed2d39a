"""Training of an M+ from a recipe: language, then memory, then long memory with retrieval."""
