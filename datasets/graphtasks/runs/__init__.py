"""Tables of runs: their columns, files, statistics and text."""
