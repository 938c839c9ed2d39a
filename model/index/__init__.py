"""Finding the best blocks of a long memory without scoring all of its rows."""
