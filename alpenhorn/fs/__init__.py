"""Disks: locks, paths that stay below a root, hashing, durable placing and removal, commands with a deadline."""
