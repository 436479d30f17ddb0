"""The commands `alpenhorn config`, one in each module."""
