"""Facts, jobs and results, as plain data; one module for each kind of work."""
