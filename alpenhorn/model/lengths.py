"""The longest names that the index stores, in characters."""

ACQ_LENGTH = 64  # also of hosts, groups and nodes
NAME_LENGTH = 255  # of a file in its acquisition
