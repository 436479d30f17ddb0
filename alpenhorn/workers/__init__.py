"""The pool of worker processes, and how a worker does each kind of job."""
