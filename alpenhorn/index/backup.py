"""Backups of the index: consistent copies, each in a file of its own, of which the newest few are kept.

SQLite: a database file.  MariaDB: SQL text that the `mariadb` client reads back.  Both are written by `index.dump`
while others go on writing, and read through before they count.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from alpenhorn.errors import Busy, Refused
from alpenhorn.index import dump
from alpenhorn.index.connection import Index
from alpenhorn.sizes import size

LOCK = ".alpenhorn-index.lock"
_NAME = re.compile(r"alpenhorn-index-[0-9]{8}T[0-9]{6}Z\.(?:db|sql)")
_STAMP = "alpenhorn-index-%Y%m%dT%H%M%SZ"


class WrittenBackup(NamedTuple):
    """`at`: the moment that it shows, naive UTC of the index's server; `rows`: how many each table has in it;
    `removed`: older backups that were removed; `kept`: those that should have been, and why they could not."""

    path: Path
    at: datetime
    size_b: int
    rows: dict[str, int]
    removed: tuple[Path, ...]
    kept: tuple[str, ...]


def write(index: Index, directory: Path, tables: Sequence[str], keep: int) -> WrittenBackup:
    """Write a backup of `tables` (SQLite: of everything) into a directory, and remove all but the newest `keep` there.

    Nothing else in the directory is touched, but for what a backup that was cut short has left.  Raises Refused, with
    the older backups as they were; Busy; IndexUnusable.
    """
    try:
        with _alone(directory):
            return _write_alone(index, directory, tables, keep)
    except OSError as error:
        raise Refused(
            f"{directory}: no backup can be written there: {error.strerror}; older backups are as they were"
        ) from error


def _write_alone(index: Index, directory: Path, tables: Sequence[str], keep: int) -> WrittenBackup:
    suffix = ".db" if index.dialect.in_a_file else ".sql"
    _clear(directory)
    at = index.now().replace(microsecond=0)
    target = directory / (at.strftime(_STAMP) + suffix)
    named = at
    while os.path.lexists(target):  # two in one second
        named += timedelta(seconds=1)
        target = directory / (named.strftime(_STAMP) + suffix)
    _require_room(index, directory, tables)
    rows = _write(index, target, tables)
    removed, kept = _rotate(directory, target, keep)
    return WrittenBackup(target, at, target.stat().st_size, rows, removed, kept)


def _write(index: Index, target: Path, tables: Sequence[str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    there: dict[str, int] | None = None

    def verify(part: Path) -> None:
        rows.update(_read_sqlite(part, there) if index.dialect.in_a_file else _read_text(part))

    with dump.new_file(target, "the backup", "older backups are as they were", verify) as (part, file):
        if index.dialect.in_a_file:
            there = dump.copy_sqlite(index, part, count=True)
        else:
            # A session that was lost takes its snapshot with it: what a new one reads would be of another moment.
            with index.impatient():
                dump.write_text(index, file, tables)
    return rows


def _read_sqlite(part: Path, there: dict[str, int] | None) -> dict[str, int]:
    from sqlite3 import Error, connect  # as in engines: of no use with MariaDB

    try:
        # Immutable, or opening it would leave the files of a write-ahead log beside it.
        copy = connect(f"{dump.uri(part, 'ro')}&immutable=1", uri=True)
        try:
            (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            rows = dump.count_sqlite(copy)
        finally:
            copy.close()
    except Error as error:
        said = str(error)
    if said != "ok":
        raise Refused(
            f"the backup was removed, since it is damaged: {said}; look at the index: alpenhorn db check"
        )
    if there is not None and rows != there:
        raise Refused("the backup was removed, since it has not as many rows as the index had; try again")
    return rows


def _read_text(part: Path) -> dict[str, int]:
    try:
        return dump.read_through(part)
    except ValueError as error:
        raise Refused(f"the backup was removed, since it is damaged: {error}; try again") from None


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep a second backup from taking what this one is writing for a leftover."""
    try:
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise Refused(
            f"{directory}: no such directory; create it, or mount the disk that it is on; nothing was written"
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{directory}: another backup is being written there") from None
        yield
    finally:
        os.close(lock)


def _clear(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.suffix == ".part" and _NAME.fullmatch(entry.stem):
            entry.unlink()


def _require_room(index: Index, directory: Path, tables: Sequence[str]) -> None:
    """Raise Refused where a backup would not fit: a disk that is filled up may be that of the index, too."""
    needed = dump.size_b(index, tables)
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise Refused(
            f"{directory}: too little room for a backup: up to {size(needed)} needed, {size(free)} free;"
            " older backups are unchanged"
        )


def _rotate(directory: Path, newest: Path, keep: int) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Remove all but the newest; never `newest`, though a clock that was wrong may have dated others later."""
    others = sorted(
        (
            entry
            for entry in directory.iterdir()
            if _NAME.fullmatch(entry.name) and entry.suffix == newest.suffix and entry != newest
        ),
        reverse=True,
    )
    removed, kept = [], []
    for entry in others[keep - 1 :]:
        try:
            entry.unlink()
            removed.append(entry)
        except OSError as error:
            kept.append(f"{entry}: not removed: {error.strerror}")
    return tuple(removed), tuple(kept)
