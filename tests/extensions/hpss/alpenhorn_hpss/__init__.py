"""A node whose files are on a disk and, in archives of many files, on tape behind HPSS."""
