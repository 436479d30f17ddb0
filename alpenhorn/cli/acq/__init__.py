"""The commands `alpenhorn acq`, one in each module."""
