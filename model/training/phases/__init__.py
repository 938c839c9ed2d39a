"""The phases of a recipe and their losses."""
