"""Rebuild of an empty index from manifests: nodes, acquisitions, files and suspect copies.

Call everything within one transaction, so that a failed rebuild leaves the index empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from shlex import quote
from typing import NamedTuple

from alpenhorn.edits.rows import create
from alpenhorn.errors import Refused
from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index

FILE = ("id", "acq_id", "name", "size_b", "md5sum", "registered")
COPY = ("file_id", "node_id", "has_file", "wants_file", "ready", "last_update")


class Listed(NamedTuple):
    """A file as a manifest lists it."""

    acq: str
    name: str
    size_b: int
    md5sum: str


class Claim(NamedTuple):
    """The length and MD5 sum of a file in the manifest of one node."""

    node: str
    size_b: int
    md5sum: str


class Filled(NamedTuple):
    """The result of a rebuild.  `contradictions`: by path, files that were left out because manifests differ."""

    files: int
    acqs: int
    copies: int
    contradictions: dict[str, list[Claim]]


class _NodePlace(NamedTuple):
    host: str | None
    root: str | None


class _File(NamedTuple):
    """A row of archivefile."""

    id: int
    size_b: int
    md5sum: str

    def claim(self, node: str) -> Claim:
        return Claim(node, self.size_b, self.md5sum)


def require_empty(index: Index) -> None:
    """Raise Refused unless the index has neither files nor copies."""
    files, copies = (
        index.value(f"SELECT COUNT(*) FROM {table}") for table in ("archivefile", "archivefilecopy")
    )
    if files or copies:
        raise Refused(
            f"index {index.url}: not empty: has {files} files and {copies} copies; to rebuild, set [database] url to a"
            " new index and run `alpenhorn db init`"
        )


def node_fault(index: Index, name: str, host: str, root: str, objects: bool) -> str:
    """Return why a node cannot be created on a host; "" if it can, or exists with the same host and root.

    `objects`: its copies are objects.  Where they are is not known, so it cannot be created.
    """
    there = index.fact(
        _NodePlace,
        "SELECT h.name AS host__name, n.root"
        " FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id WHERE n.name = ?",
        (name,),
    )
    if there is None and objects:
        return (
            f"node {name}: its copies are objects; create it first, as it was:"
            f" alpenhorn node create {quote(name)} --host {quote(host)} --root {quote(root)}"
            " --create-group --class Rclone --io-var remote=REMOTE"
        )
    if there is None or there == (host, root):
        return ""
    return (
        f"node {name}: exists already, on host {there.host} with the root {there.root};"
        f" to change it: alpenhorn node modify {quote(name)}"
    )


class Filling:
    """A rebuild, within a transaction.  `now`: naive UTC."""

    def __init__(self, index: Index, now: datetime) -> None:
        self._index = index
        self._now = now
        self._next = 1 + self._greatest("archivefile")
        self._acqs: dict[str, int] = dict(index.execute("SELECT name, id FROM archiveacq").fetchall())
        self._left_out: dict[tuple[str, str], list[Claim]] = {}

    def _greatest(self, table: str) -> int:
        return int(self._index.value(f"SELECT COALESCE(MAX(id), 0) FROM {table}"))

    def node(self, name: str, host: str, root: str, group: str) -> int:
        """Return the id of the active node; create it, its host and its group if missing.  Raises Refused."""
        node_id = self._index.value("SELECT id FROM storagenode WHERE name = ?", (name,))
        if node_id is not None:
            return int(node_id)
        host_id = self._named("storagehost", host)
        group_id = self._named("storagegroup", group)
        values = {
            "name": name,
            "root": root,
            "host_id": host_id,
            "group_id": group_id,
            "active": True,
            "auto_import": False,
            "auto_verify": 0,
            "archive": False,
            "min_avail_gb": 0,
        }
        return create(self._index, "storagenode", values)

    def _named(self, table: str, name: str) -> int:
        row_id = self._index.value(f"SELECT id FROM {table} WHERE name = ?", (name,))
        return create(self._index, table, {"name": name}) if row_id is None else int(row_id)

    def known(self, names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return the pairs (acquisition, file name) that are in the index already, or were left out."""
        wanted = set(names)
        return (wanted & self._left_out.keys()) | set(self._files(wanted))

    def add(self, node_id: int, node: str, listed: Sequence[Listed]) -> None:
        """Add a page of a node's files, each with a suspect copy."""
        pairs = [(one.acq, one.name) for one in listed]
        rows = self._files(set(pairs))
        new: dict[tuple[str, str], _File] = {}
        copies: list[int] = []
        for pair, one in zip(pairs, listed, strict=True):
            claim = Claim(node, one.size_b, one.md5sum)
            if pair in self._left_out:
                self._left_out[pair].append(claim)
                continue
            row = rows.get(pair) or new.get(pair)
            if row is None:
                row = new[pair] = _File(self._next, one.size_b, one.md5sum)
                self._next += 1
            elif row.claim(node) != claim:
                if pair in new:
                    self._left_out[pair] = [new.pop(pair).claim(node), claim]
                else:
                    self._left_out[pair] = [*self._claims(row), claim]
                    self._drop(row.id)
                copies = [file_id for file_id in copies if file_id != row.id]
                continue
            copies.append(row.id)
        self._insert(node_id, new, list(dict.fromkeys(copies)))

    def _insert(self, node_id: int, new: dict[tuple[str, str], _File], copies: Sequence[int]) -> None:
        for acq in dict.fromkeys(acq for acq, _ in new):
            if acq not in self._acqs:
                self._acqs[acq] = create(self._index, "archiveacq", {"name": acq})
        self._index.executemany(
            f"INSERT INTO archivefile ({', '.join(FILE)}) VALUES ({', '.join('?' * len(FILE))})",
            [
                (file_id, self._acqs[acq], name, size_b, md5sum, self._now)
                for (acq, name), (file_id, size_b, md5sum) in new.items()
            ],
        )
        self._index.executemany(
            self._index.insert_ignore("archivefilecopy", COPY),
            [(file_id, node_id, "M", "Y", True, self._now) for file_id in copies],
        )

    def _files(self, pairs: set[tuple[str, str]]) -> dict[tuple[str, str], _File]:
        """Return the rows of the files that are in the index, by (acquisition, file name)."""
        by_acq: dict[str, list[str]] = {}
        for acq, name in pairs:
            if acq in self._acqs:
                by_acq.setdefault(acq, []).append(name)
        found: dict[tuple[str, str], _File] = {}
        for acq, names in by_acq.items():
            for some in chunks(names):
                rows = self._index.execute(
                    f"SELECT name, id, size_b, md5sum FROM archivefile WHERE acq_id = ? AND name IN ({marks(some)})",
                    (self._acqs[acq], *some),
                )
                found |= {
                    (acq, name): _File(file_id, size_b, md5sum)
                    for name, file_id, size_b, md5sum in rows.fetchall()
                }
        return found

    def _claims(self, row: _File) -> list[Claim]:
        nodes = self._index.values(
            "SELECT n.name FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id WHERE c.file_id = ?"
            " ORDER BY c.id",
            (row.id,),
        )
        return [row.claim(node) for node in nodes]

    def _drop(self, file_id: int) -> None:
        for table, column in (("archivefilecopy", "file_id"), ("archivefile", "id")):
            self._index.execute(f"DELETE FROM {table} WHERE {column} = ?", (file_id,))

    def filled(self) -> Filled:
        files, acqs, copies = (
            int(self._index.value(f"SELECT COUNT(*) FROM {table}"))
            for table in ("archivefile", "archiveacq", "archivefilecopy")
        )
        return Filled(
            files, acqs, copies, {f"{acq}/{name}": claims for (acq, name), claims in self._left_out.items()}
        )
