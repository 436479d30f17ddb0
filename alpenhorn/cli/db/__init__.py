"""The commands `alpenhorn db`, one in each module."""
