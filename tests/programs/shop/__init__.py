"""A package, for the names of its files."""
