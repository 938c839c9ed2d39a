"""The roles: a writer memorizes, a reader answers. Plain classes, each with a thin Ray shell."""
