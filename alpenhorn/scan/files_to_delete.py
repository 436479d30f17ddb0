"""What keeps files in the index: copies, work that is pending, pins, and disks that may have more than it records."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import NamedTuple

from alpenhorn.index.bulk import marks
from alpenhorn.index.connection import Index
from alpenhorn.scan.media import restored
from alpenhorn.scan.pins import EVERY_NODE, IN_FORCE

# A copy that is there, may be there, or is to be there.
KEPT = "(c.has_file <> 'N' OR c.wants_file = 'Y')"


class KeptFile(NamedTuple):
    """A file that must stay in the index; `why`: the reason and what to do."""

    path: str
    why: str


class _CopyRow(NamedTuple):
    file_id: int
    node: str | None
    has_file: str


class _PlaceRow(NamedTuple):
    file_id: int
    place: str | None
    detail: str | None


class _ImportRow(NamedTuple):
    path: str
    recurse: bool
    node: str | None


def selected(acq_id: int) -> tuple[str, tuple[int, ...]]:
    """Return SQL text from FROM on for the files `f` of an acquisition, and its values."""
    return "FROM archivefile f WHERE f.acq_id = ?", (acq_id,)


def paths(index: Index, file_ids: Sequence[int]) -> dict[int, str]:
    """Return the paths of at most CHUNK files by id."""
    # Otherwise MariaDB may go through all files of the acquisition.
    rows = index.execute(
        f"SELECT f.id, a.name, f.name FROM archivefile f {index.dialect.lookup_join} archiveacq a"
        f" ON a.id = f.acq_id WHERE f.id IN ({marks(file_ids)})",
        tuple(file_ids),
    )
    return {file_id: f"{acq}/{name}" for file_id, acq, name in rows}


def first_kept(index: Index, file_ids: Sequence[int], *, lock: bool = False) -> KeptFile | None:
    """Return the first of at most CHUNK files that must stay in the index; None if all can be deleted.

    `lock`: lock the rows of the files and all rows about them until the transaction ends.  No copies and requests are
    added meanwhile, since they refer to the row of their file.
    """
    path_of = paths(index, file_ids)
    here = list(path_of)
    for file_id, why in _reasons(index, here, path_of, index.dialect.for_update if lock else ""):
        return KeptFile(path_of[file_id], why)
    return None


def _reasons(
    index: Index, file_ids: Sequence[int], path_of: dict[int, str], lock: str
) -> Iterator[tuple[int, str]]:
    among, values = f"file_id IN ({marks(file_ids)})", tuple(file_ids)
    if lock:
        # The files before their copies, in the same order as the recording of a check.
        index.execute(
            f"SELECT id FROM archivefile WHERE id IN ({marks(file_ids)}) ORDER BY id{lock}", values
        ).fetchall()
        # All copies, not only those that keep a file: a removed one may be about to come back.
        index.execute(f"SELECT id FROM archivefilecopy WHERE {among}{lock}", values).fetchall()
    for copy in index.facts(
        _CopyRow,
        "SELECT c.file_id, (SELECT n.name FROM storagenode n WHERE n.id = c.node_id) AS node__name, c.has_file"
        f" FROM archivefilecopy c WHERE {KEPT} AND c.{among} ORDER BY c.has_file = 'N', c.id{lock}",
        values,
    ):
        path = path_of[copy.file_id]
        what = {
            "Y": "has a copy",
            "M": "may have a copy, which was not checked,",
            "X": "has a corrupt copy",
        }.get(copy.has_file, "is missing and still wanted")
        gone = "if it is not wanted there" if copy.has_file == "N" else "if the copy is gone for good"
        yield (
            copy.file_id,
            f"it {what} on node {copy.node}; {gone}: alpenhorn file state {quote(path)} {quote(str(copy.node))}"
            " --set Absent",
        )
    for request in index.facts(
        _PlaceRow,
        "SELECT r.file_id, (SELECT g.name FROM storagegroup g WHERE g.id = r.group_to_id) AS place__name,"
        " (SELECT n.name FROM storagenode n WHERE n.id = r.node_from_id) AS detail__name"
        f" FROM archivefilecopyrequest r WHERE r.{among} AND r.completed = 0 AND r.cancelled = 0"
        f" ORDER BY r.id{lock}",
        values,
    ):
        yield (
            request.file_id,
            f"it is requested from node {request.detail} into group {request.place}; to cancel that:"
            f" alpenhorn file sync {quote(path_of[request.file_id])} --to {quote(str(request.place))} --cancel",
        )
    for claim in index.facts(
        _PlaceRow,
        "SELECT s.file_id, (SELECT n.name FROM storagenode n WHERE n.id = s.node_id) AS place__name,"
        " s.host AS detail__host FROM sync_claim s"
        f" WHERE s.kind IN ('pull', 'delete') AND s.{among} AND s.expires > ?{lock}",
        (*values, index.now()),
    ):
        yield (
            claim.file_id,
            f"a run on host {claim.detail} is working on it for node {claim.place};"
            " wait until the run has ended, and try again",
        )
    for pin in index.facts(
        _PlaceRow,
        "SELECT p.file_id, (SELECT n.name FROM storagenode n WHERE n.id = p.node_id) AS place__name,"
        f" p.reason AS detail__reason FROM sync_pin p WHERE p.{among} AND {IN_FORCE}"
        f" ORDER BY p.node_id <> {EVERY_NODE}, p.id{lock}",
        (*values, index.now()),
    ):
        where = "every node" if pin.place is None else f"node {pin.place}"
        only = "" if pin.place is None else f" --node {pin.place}"
        yield (
            pin.file_id,
            f"it is pinned on {where}{f' ({pin.detail})' if pin.detail else ''}; to remove the pin:"
            f" alpenhorn file unpin {quote(path_of[pin.file_id])}{only}",
        )
    yield from _unknown(index, file_ids, among, values)
    yield from _to_import(index, path_of)


def _unknown(
    index: Index, file_ids: Sequence[int], among: str, values: tuple[int, ...]
) -> Iterator[tuple[int, str]]:
    """Yield files of which disks may have copies although the index records none."""
    if file_ids and restored(index):
        yield (
            file_ids[0],
            "the index is older than the disks, so there may be copies that it does not record;"
            " run `alpenhorn reconcile` on each host",
        )
    for doubt in index.facts(
        _PlaceRow,
        "SELECT c.file_id, n.name AS place__name, m.distrust AS detail__distrust FROM archivefilecopy c"
        " JOIN sync_medium m ON m.node_id = c.node_id JOIN storagenode n ON n.id = c.node_id"
        f" WHERE m.distrust IS NOT NULL AND c.{among} ORDER BY c.id",
        values,
    ):
        do = "alpenhorn reconcile" if doubt.detail == "reconcile" else "alpenhorn sync"
        yield (
            doubt.file_id,
            f"node {doubt.place} was not compared with its disk since that changed, so it may have a copy;"
            f" run {do} on its host",
        )


def _to_import(index: Index, path_of: dict[int, str]) -> Iterator[tuple[int, str]]:
    """Yield files that a pending import request is about, also one for a directory above them."""
    files: dict[str, str | None] = {}
    trees: dict[str, str | None] = {}
    for row in index.facts(
        _ImportRow,
        "SELECT i.path, i.recurse, n.name AS node__name FROM archivefileimportrequest i"
        " LEFT JOIN storagenode n ON n.id = i.node_id WHERE i.completed = 0",
        recurse=bool,
    ):
        (trees if row.recurse else files)[posixpath.normpath(row.path)] = row.node
    for file_id, path in path_of.items():
        above = [".", *(path[:cut] for cut, char in enumerate(path) if char == "/"), path]
        found = [tree for tree in above if tree in trees]
        if path in files or found:
            node = files[path] if path in files else trees[found[0]]
            yield (
                file_id,
                f"node {node} is to be searched for it; run `alpenhorn sync` on the node's host, and try again",
            )
