"""The commands `alpenhorn rules`, one in each module."""
