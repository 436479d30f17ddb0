"""What people and monitoring systems see of an archive: attention items, metrics, notifications."""
