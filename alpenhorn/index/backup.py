"""Backups of the index: consistent copies, one file each; only the newest are kept.

SQLite: a database file.  MariaDB: SQL text for the `mariadb` client.  Both are written by `index.dump` while other
programs write to the index, and are read back in full before they count as backups.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from sqlite3 import Error, connect
from typing import NamedTuple

from alpenhorn.errors import Busy, Refused
from alpenhorn.formats import size
from alpenhorn.index import dump
from alpenhorn.index.connection import Index

LOCK = ".alpenhorn-index.lock"
_NAME = re.compile(r"alpenhorn-index-[0-9]{8}T[0-9]{6}Z\.(?:db|sql)")
_STAMP = "alpenhorn-index-%Y%m%dT%H%M%SZ"


class WrittenBackup(NamedTuple):
    """A finished backup.

    `at`: time of its contents, naive UTC of the index's server; `rows`: number of rows by table;
    `removed`: deleted older backups; `not_removed`: messages about older backups that could not be deleted.
    """

    path: Path
    at: datetime
    size_b: int
    rows: dict[str, int]
    removed: tuple[Path, ...]
    not_removed: tuple[str, ...]


def write(index: Index, directory: Path, tables: Sequence[str], keep: int) -> WrittenBackup:
    """Write a backup of `tables` (SQLite: of everything) into a directory, and remove all but the newest `keep` there.

    Other files in the directory are left alone, except for the remains of interrupted backups.  Raises Refused, with
    the older backups unchanged; Busy; IndexUnusable.
    """
    try:
        with _locked(directory):
            return _write_locked(index, directory, tables, keep)
    except OSError as error:
        raise Refused(
            f"{directory}: cannot write a backup: {error.strerror}; older backups are unchanged"
        ) from error


def _write_locked(index: Index, directory: Path, tables: Sequence[str], keep: int) -> WrittenBackup:
    suffix = ".db" if index.dialect.in_a_file else ".sql"
    _remove_partial(directory)
    at = index.now().replace(microsecond=0)
    target = directory / (at.strftime(_STAMP) + suffix)
    named = at
    while os.path.lexists(target):  # two backups in one second
        named += timedelta(seconds=1)
        target = directory / (named.strftime(_STAMP) + suffix)
    _require_room(index, directory, tables)
    rows = _write(index, target, tables)
    removed, not_removed = _rotate(directory, target, keep)
    return WrittenBackup(target, at, target.stat().st_size, rows, removed, not_removed)


def _write(index: Index, target: Path, tables: Sequence[str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    expected: dict[str, int] | None = None

    def verify(part: Path) -> None:
        rows.update(_read_sqlite(part, expected) if index.dialect.in_a_file else _read_text(part))

    with dump.new_file(target, "older backups are unchanged", verify) as (part, file):
        if index.dialect.in_a_file:
            expected = dump.copy_sqlite(index, part, count=True)
        else:
            # The snapshot ends with its session: a new session would read the rows of another moment.
            with index.impatient():
                dump.write_text(index, file, tables)
    return rows


def _read_sqlite(part: Path, expected: dict[str, int] | None) -> dict[str, int]:
    try:
        # Without immutable=1, SQLite would leave the files of a write-ahead log in the directory.
        copy = connect(f"{dump.uri(part, 'ro')}&immutable=1", uri=True)
        try:
            (result,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            rows = dump.count_sqlite(copy)
        finally:
            copy.close()
    except Error as error:
        result = str(error)
    if result != "ok":
        raise Refused(
            f"the new backup is damaged and was removed: {result}; check the index: `alpenhorn db check`"
        )
    if expected is not None and rows != expected:
        raise Refused("the new backup was removed: its numbers of rows differ from the index; try again")
    return rows


def _read_text(part: Path) -> dict[str, int]:
    try:
        return dump.read_through(part)
    except ValueError as error:
        raise Refused(f"the new backup is damaged and was removed: {error}; try again") from None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the directory, so that a second backup does not remove the file that this one is writing."""
    try:
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise Refused(
            f"{directory}: no such directory; create it, or mount its disk; nothing was written"
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{directory}: another backup is in progress") from None
        yield
    finally:
        os.close(lock)


def _remove_partial(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.suffix == ".part" and _NAME.fullmatch(entry.stem):
            entry.unlink()


def _require_room(index: Index, directory: Path, tables: Sequence[str]) -> None:
    """Raise Refused if a backup would not fit: filling the disk could also stop the index, if that is on it."""
    needed = dump.size_b(index, tables)
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise Refused(
            f"{directory}: too little room for a backup: up to {size(needed)} needed, {size(free)} free;"
            " older backups are unchanged"
        )


def _rotate(directory: Path, newest: Path, keep: int) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Remove all but the newest backups; never `newest`, even if a wrong clock dated others later."""
    others = sorted(
        (
            entry
            for entry in directory.iterdir()
            if _NAME.fullmatch(entry.name) and entry.suffix == newest.suffix and entry != newest
        ),
        reverse=True,
    )
    removed, not_removed = [], []
    for entry in others[keep - 1 :]:
        try:
            entry.unlink()
            removed.append(entry)
        except OSError as error:
            not_removed.append(f"{entry}: not removed: {error.strerror}")
    return tuple(removed), tuple(not_removed)
