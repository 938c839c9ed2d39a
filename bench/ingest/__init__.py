"""Documents arriving: how fast they become memory, how soon, and for how many at once."""
