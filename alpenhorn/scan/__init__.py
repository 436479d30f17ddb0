"""Rows of the index as facts for runs."""
