"""Rows of the index for what commands show."""
