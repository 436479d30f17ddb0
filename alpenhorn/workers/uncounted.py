"""Exceptions for keepers that do not count for a deletion, on this host and on others."""

from __future__ import annotations

from alpenhorn.reasons import Reason

Inode = tuple[str, int, int]  # host ("" for this one), device, inode number


class KeeperUncounted(Exception):
    """The keeper does not count for this deletion; its copy may still be good."""


class WrongKeeper(Exception):
    """The keeper differs from the index."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason
