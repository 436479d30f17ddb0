"""The numbered steps that bring the tables of an earlier version up to date, one in each module."""
