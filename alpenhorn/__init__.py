"""Keep replicas of scientific data on the storage nodes where they belong: an SQL index and cron, no daemon."""

__version__ = "0.1.0"
