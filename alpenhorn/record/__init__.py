"""Results of runs, written to the index."""
