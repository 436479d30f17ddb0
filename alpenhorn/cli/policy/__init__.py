"""The commands `alpenhorn policy`, one in each module."""
