"""How a worker does each kind of job on a node whose copies are objects."""
