"""Fill an index with the rows of an archive that has run for years, in bulk and without files.

Two hosts, `here` and `there`.  Of each file, the nodes `field` and `vault` have a good copy here, and `mirror` there.
A few copies on field are released, and as many on mirror are corrupt.  All requests into vault and mirror are done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

FILES_PER_ACQ = 1_000
SIZE_B = 10_000
WHEN = "2026-01-01 00:00:00"
BATCH = 100_000  # files in one statement
RARE = 100

# {series} is a table with the numbers of the files, i.
ACQS = "INSERT INTO archiveacq (id, name) SELECT i, {acq} FROM {series}"
FILES = f"""
    INSERT INTO archivefile (id, acq_id, name, size_b, md5sum, registered)
    SELECT i, (i - 1 - (i - 1) % {FILES_PER_ACQ}) / {FILES_PER_ACQ} + 1, {{file}}, {SIZE_B}, {{md5}}, '{WHEN}'
    FROM {{series}}
"""
COPIES = f"""
    INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)
    SELECT i, n.id, CASE WHEN n.name = 'mirror' AND i <= {RARE} THEN 'X' ELSE 'Y' END,
        CASE WHEN n.name = 'field' AND i BETWEEN {RARE} + 1 AND 2 * {RARE} THEN 'N' ELSE 'Y' END, 1, {SIZE_B}, '{WHEN}'
    FROM {{series}} CROSS JOIN storagenode n WHERE n.name IN ('field', 'vault', 'mirror')
"""
VERIFIED = f"""
    INSERT INTO sync_verification (file_id, node_id, verified)
    SELECT i, n.id, '{WHEN}' FROM {{series}} CROSS JOIN storagenode n WHERE n.name IN ('field', 'vault', 'mirror')
"""
REQUESTS = f"""
    INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)
    SELECT i, g.id, n.id, {{done}}, 0, '{WHEN}' FROM {{series}}
    JOIN storagenode n ON n.name = '{{source}}' JOIN storagegroup g ON g.name IN ({{groups}})
"""
EVENTS = f"""
    INSERT INTO sync_event (at, file_id, node_id, what, why)
    SELECT '{WHEN}', i, n.id, 'pulled', '' FROM {{series}} JOIN storagenode n ON n.name IN ('vault', 'mirror')
"""
ARCHIVE = (
    FILES,
    COPIES,
    VERIFIED,
    REQUESTS.format(done=1, source="field", groups="'vault', 'mirror'", series="{series}"),
    EVENTS,
)
Fill = Callable[[Iterator[str]], None]
"""Executes statements in an index."""

PENDING = (REQUESTS.format(done=0, source="vault", groups="'spare'", series="{series}"),)


def in_sqlite(path: Path) -> Fill:
    """Return a function that executes statements in this SQLite index, without flushing."""

    def execute_all(statements: Iterator[str]) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA synchronous = OFF")
            for statement in statements:
                database.execute(statement)
                database.commit()

    return execute_all


def archive(files: int, sqlite: bool) -> Iterator[str]:
    """Yield statements that insert a number of files, with acquisitions, copies, finished requests and history."""
    yield _in(ACQS, 1, files // FILES_PER_ACQ, sqlite)
    yield from _batches(ARCHIVE, files, sqlite)
    # The next run looks for changed copies, as runs do all the time.
    yield "DELETE FROM sync_index WHERE name = 'tallies'"


def pending(requests: int, sqlite: bool) -> Iterator[str]:
    """Yield statements that request a number of files from vault into the group spare."""
    yield from _batches(PENDING, requests, sqlite)


def _batches(statements: tuple[str, ...], last: int, sqlite: bool) -> Iterator[str]:
    for first in range(1, last + 1, BATCH):
        for statement in statements:
            yield _in(statement, first, min(first + BATCH - 1, last), sqlite)


def _in(statement: str, first: int, last: int, sqlite: bool) -> str:
    if sqlite:
        counting = f"SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}"
        words = {
            "series": f"(WITH RECURSIVE n(i) AS ({counting}) SELECT i FROM n) s",
            "acq": "printf('acq%08d', i)",
            "file": "printf('file%010d.dat', i)",
            "md5": "printf('%032x', i)",
        }
    else:
        words = {
            "series": f"(SELECT seq AS i FROM seq_{first}_to_{last}) s",
            "acq": "CONCAT('acq', LPAD(i, 8, '0'))",
            "file": "CONCAT('file', LPAD(i, 10, '0'), '.dat')",
            "md5": "MD5(i)",
        }
    for name, text in words.items():
        statement = statement.replace(f"{{{name}}}", text)
    return statement
