"""The commands `alpenhorn file`, one in each module."""
