"""The commands: they parse arguments, call the rest of the package, and show the result."""
