"""Changes to the index that commands make."""
