"""The commands `alpenhorn notify`, one in each module."""
