"""The commands `alpenhorn node`, one in each module."""
