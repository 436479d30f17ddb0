"""Why a keeper does not count for a deletion, on this host and on others."""

from __future__ import annotations

from alpenhorn.reasons import Reason

Inode = tuple[str, int, int]  # the host, "" for this one, the device and the number


class Uncounted(Exception):
    """The keeper does not count for this deletion, which says nothing about the copy."""


class WrongKeeper(Exception):
    """The keeper is not what the index says."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason
