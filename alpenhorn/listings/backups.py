"""The newest backup of the index, and whether it is recent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import ago, moment
from alpenhorn.reasons import Code, Why

# Tolerated difference of clocks; a backup dated further in the future was dated by a wrong clock.
AHEAD = timedelta(days=1)


class NotedBackup(NamedTuple):
    """A recorded backup.  `at`: the time of its contents."""

    path: str
    at: datetime | None


class Backups(NamedTuple):
    """`newest`: None if there is none; `first_run`: start of the oldest recorded run; `now`: the server's time."""

    newest: NotedBackup | None
    first_run: datetime | None
    now: datetime


def load(index: Index) -> Backups:
    sql = "SELECT value AS path__value, at FROM sync_index WHERE name = 'backup'"
    return Backups(
        index.fact(NotedBackup, sql, at=moment),
        moment(index.value("SELECT started FROM sync_run ORDER BY id LIMIT 1")),
        index.now(),
    )


def fault(backups: Backups, within_s: float) -> Why:
    """Return the fault if there is no backup younger than `within_s`; "" if there is, or the index is younger."""
    within = timedelta(seconds=within_s)
    newest, first = backups.newest, backups.first_run
    if newest is None or newest.at is None:
        return Code.BACKUP_MISSING() if first is not None and backups.now - first > within else ""
    if newest.at - backups.now > AHEAD:
        return Code.BACKUP_IN_FUTURE(path=newest.path)
    if backups.now - newest.at > within:
        return Code.BACKUP_OLD(age=ago(backups.now - newest.at), path=newest.path)
    return ""
