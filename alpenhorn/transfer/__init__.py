"""Methods of transferring files, one in each module."""
