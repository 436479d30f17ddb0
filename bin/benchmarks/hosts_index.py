"""The hosts whose common work is measured, their files, and the rows of these in the index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

FILES_PER_ACQ = 500  # of each host
LINES = 30  # in a file, each with its path
BATCH = 5_000  # rows in one statement
NODES = ("src", "new", "vault", "mirror")
ARCHIVES = ("vault", "mirror")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work: the nodes that have its files at the start, and has_file of copies that it changes or adds."""

    name: str
    nodes: tuple[str, ...]
    afterwards: dict[str, str]


PULL = Kind("pull", ("src",), {"vault": "Y"})
DELETE = Kind("delete", ("src", "vault", "mirror"), {"src": "N"})
IMPORT = Kind("import", ("new",), {})  # its files are not in the index at the start
KINDS = (PULL, DELETE, IMPORT)

ACQS = "archiveacq (id, name)"
FILES = "archivefile (id, acq_id, name, size_b, md5sum, registered)"
COPIES = "archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
VERIFIED = "sync_verification (file_id, node_id, verified)"
REQUESTS = "archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)"
STATES = """
SELECT a.name, f.name, f.size_b, f.md5sum, c.has_file FROM archivefilecopy c
JOIN archivefile f ON f.id = c.file_id JOIN archiveacq a ON a.id = f.acq_id JOIN storagenode n ON n.id = c.node_id
WHERE n.name = '{node}'
"""
UNFINISHED = """
SELECT (SELECT COUNT(*) FROM archivefilecopyrequest WHERE completed = 0 OR cancelled = 1),
(SELECT COUNT(*) FROM sync_claim)
"""

Row = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A host; its configuration, its log and the roots of its nodes are in the directory `base`."""

    name: str
    base: Path

    @property
    def config(self) -> Path:
        return self.base / "alpenhorn.toml"

    @property
    def log(self) -> Path:
        return self.base / "log"

    def root(self, node: str) -> Path:
        return self.base / node

    def node(self, node: str) -> str:
        """Return the name that one of `NODES` has in the index; its group has the same one."""
        return f"{node}-{self.name}"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a host.  Those of all hosts are in the same acquisitions, so their rows are beside each other."""

    host: Host
    kind: Kind
    number: int

    @property
    def acq(self) -> str:
        return f"{self.kind.name}{self.number // FILES_PER_ACQ:05}"

    @property
    def name(self) -> str:
        return f"{self.number:07}-{self.host.name}.dat"

    @property
    def content(self) -> bytes:
        return LINES * f"{self.acq}/{self.name}\n".encode()

    @property
    def md5sum(self) -> str:
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()

    def path(self, node: str) -> Path:
        """Return where the file is on one of `NODES`."""
        return self.host.root(node) / self.acq / self.name


def files_of(hosts: Iterable[Host], kind: Kind, files: int) -> Iterator[File]:
    """Yield a number of files of each host in turn."""
    hosts = tuple(hosts)
    return (File(host, kind, number) for number in range(files) for host in hosts)


def filling(hosts: Sequence[Host], files: int, ids: Mapping[str, int], now: str) -> Iterator[str]:
    """Yield statements that insert the files to be pulled and deleted, with copies and requests.

    `files`: of each kind, on each host; `ids`: those of the nodes, which are also those of their groups; `now`: later
    than the times of the files on the disks, which would otherwise count as written since they were recorded.
    """
    known = list(enumerate((file for kind in (PULL, DELETE) for file in files_of(hosts, kind, files)), 1))
    acqs = {name: number for number, name in enumerate(sorted({file.acq for _, file in known}), 1)}
    copies = [
        (number, ids[file.host.node(node)], _wanted(file.kind, node), len(file.content))
        for number, file in known
        for node in file.kind.nodes
    ]
    yield from _insert(ACQS, ((number, name) for name, number in acqs.items()))
    yield from _insert(
        FILES,
        ((number, acqs[file.acq], file.name, len(file.content), file.md5sum, now) for number, file in known),
    )
    yield from _insert(
        COPIES, ((number, node, "Y", wanted, 1, size_b, now) for number, node, wanted, size_b in copies)
    )
    yield from _insert(VERIFIED, ((number, node, now) for number, node, *_ in copies))
    yield from _insert(
        REQUESTS,
        (
            (number, ids[file.host.node("vault")], ids[file.host.node("src")], 0, 0, now)
            for number, file in known
            if file.kind is PULL
        ),
    )


def _wanted(kind: Kind, node: str) -> str:
    return "N" if kind.afterwards.get(node) == "N" else "Y"


def _insert(table: str, rows: Iterator[Row]) -> Iterator[str]:
    while batch := list(islice(rows, BATCH)):
        yield f"INSERT INTO {table} VALUES " + ", ".join(
            "(" + ", ".join(str(value) if isinstance(value, int) else f"'{value}'" for value in row) + ")"
            for row in batch
        )
