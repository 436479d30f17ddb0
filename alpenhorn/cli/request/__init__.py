"""The commands `alpenhorn request`, one in each module."""
