"""The two networks of the generator."""
