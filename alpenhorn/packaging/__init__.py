"""The build backend, which adds the man pages."""
