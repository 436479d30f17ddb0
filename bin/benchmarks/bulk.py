"""Insert a million files into an index that alpenhorn created."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import md5
from itertools import islice
from pathlib import Path
from typing import Any

ROWS = 1_000_000
FILES_PER_ACQ = 1_000
SIZE_B = 100  # small enough for all of them to fit on any disk
WHEN = "2026-01-01 00:00:00"
BATCH = 10_000


def insert(index: Path, *, done: bool) -> None:
    """Insert a million files on the node src, each with a request into the group dst.

    With `done`, the requests are completed, and the copies are on the node dst as well.
    """
    with closing(sqlite3.connect(index)) as database:
        ids = {
            name: database.execute(f"SELECT id FROM {table} WHERE name = ?", (name[:3],)).fetchone()[0]
            for name, table in (("src", "storagenode"), ("dst", "storagenode"), ("dst group", "storagegroup"))
        }
        database.execute("PRAGMA synchronous = OFF")
        acqs = ((number, f"acq{number:04}") for number in range(1, ROWS // FILES_PER_ACQ + 1))
        _insert(database, "archiveacq (id, name)", 2, acqs)
        _insert(database, "archivefile (id, acq_id, name, size_b, md5sum, registered)", 6, _files())
        columns = "archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
        for node in ("src", "dst") if done else ("src",):
            copies = ((number, ids[node], "Y", "Y", 1, 4096, WHEN) for number in range(1, ROWS + 1))
            _insert(database, columns, 7, copies)
        columns = (
            "archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)"
        )
        requests = (
            (number, ids["dst group"], ids["src"], int(done), 0, WHEN) for number in range(1, ROWS + 1)
        )
        _insert(database, columns, 6, requests)


def _files() -> Iterator[tuple[Any, ...]]:
    for number in range(1, ROWS + 1):
        name = f"file{number:07}.dat"
        digest = md5(name.encode(), usedforsecurity=False).hexdigest()
        yield number, (number - 1) // FILES_PER_ACQ + 1, name, SIZE_B, digest, WHEN


def _insert(database: sqlite3.Connection, columns: str, width: int, rows: Iterator[tuple[Any, ...]]) -> None:
    """Insert in batches: the peak memory of a child process includes that of this process when it was started."""
    statement = f"INSERT INTO {columns} VALUES ({', '.join('?' * width)})"
    while batch := list(islice(rows, BATCH)):
        database.executemany(statement, batch)
    database.commit()
