"""The commands `alpenhorn group`, one in each module."""
