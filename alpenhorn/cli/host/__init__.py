"""The commands `alpenhorn host`, one in each module."""
