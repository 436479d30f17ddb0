"""Whether there is a recent backup of the index."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import ago, moment
from alpenhorn.reasons import Code, Why

# Between the server's clock when the backup was noted and now: more is no accident of two clocks.
AHEAD = timedelta(days=1)


class NotedBackup(NamedTuple):
    """`at`: the moment that it shows."""

    path: str
    at: datetime | None


class Backups(NamedTuple):
    """`newest`: None without any.  `first_run`: when the oldest run that is still known began; `now`: the server's."""

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
    """Why there is no backup younger than `within_s`; "" when there is one, or the index is younger than that."""
    within = timedelta(seconds=within_s)
    newest, first = backups.newest, backups.first_run
    if newest is None or newest.at is None:
        return Code.BACKUP_MISSING() if first is not None and backups.now - first > within else ""
    if newest.at - backups.now > AHEAD:
        return Code.BACKUP_IN_FUTURE(path=newest.path)
    if backups.now - newest.at > within:
        return Code.BACKUP_OLD(age=ago(backups.now - newest.at), path=newest.path)
    return ""
