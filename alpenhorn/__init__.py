"""Keeps replicas of scientific data where they belong, from a cron line and without a daemon."""

__version__ = "0.1.0"
