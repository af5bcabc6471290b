"""Results for the reader."""
