"""The commands `alpenhorn export`, one in each module."""
