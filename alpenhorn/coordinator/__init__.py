"""One run, from its locks to its exit status."""
