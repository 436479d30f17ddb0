"""Data of the trash of nodes: batches on the disk, jobs and results.

A batch is a directory in ROOT/.alpenhorn/trash: what one job deleted.  Its name is TIME-RUN-NUMBER,
with the time of the deletion by the clock of the index's server, the id of the run, and a number that is unique in the
run.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Why

_FORMAT = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"([0-9]{8}T[0-9]{6}Z)-[0-9]{1,19}-[0-9]{1,19}")


def batch_name(deleted: datetime, run_id: int, number: int) -> str:
    """Return the name of a new batch.  `deleted`: naive UTC."""
    return f"{deleted.strftime(_FORMAT)}-{run_id}-{number}"


def deleted_at(name: str) -> float | None:
    """Return when the files of a batch were deleted, in POSIX seconds; None if that is no name of a batch."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], _FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


class TrashedFile(NamedTuple):
    """A row of a file in the trash.  `path`: relative to the root; `size_b`: the file's length, None if unknown."""

    row_id: int
    file_id: int
    batch: str
    path: str
    size_b: int | None = None


class FoundInTrash(NamedTuple):
    """A file in a batch on a disk.  `space_b`: bytes that it takes on the medium."""

    path: str
    space_b: int


class RestoreJob(NamedTuple):
    """Move files from the trash back to their paths."""

    node: NodeFact
    files: tuple[TrashedFile, ...]


class Restored(StrEnum):
    """The ways in which the return of a file can end."""

    BACK = "back"
    OCCUPIED = "occupied"  # something is at its path; it stays in the trash
    GONE = "gone"  # neither in the trash nor at its path
    FAILED = "failed"  # to be tried again


class RestoreResult(NamedTuple):
    file: TrashedFile
    outcome: Restored
    why: Why = ""


class RestoreOutcome(NamedTuple):
    """`error`: why the node cannot be used any more.  Files without a result were not touched."""

    results: tuple[RestoreResult, ...] = ()
    error: Why = ""


class EmptyJob(NamedTuple):
    """Delete what is in batches, in their order, until `room_b` bytes are freed; None: all of it.

    `needed`: by batch, paths of files that stay.
    """

    node: NodeFact
    batches: tuple[str, ...]
    room_b: float | None = None
    needed: Mapping[str, frozenset[str]] = {}


class EmptyOutcome(NamedTuple):
    """`emptied`: batches that are gone.  `partly`: batches of which something is left, with the paths of the files that
    were deleted.  `files`, `freed_b`: the deleted files.  `left`: batches that could not be deleted, and why.  `error`:
    why the trash cannot be used.
    """

    emptied: tuple[str, ...] = ()
    partly: tuple[tuple[str, tuple[str, ...]], ...] = ()
    files: int = 0
    freed_b: int = 0
    left: tuple[tuple[str, Why], ...] = ()
    error: Why = ""


class LookIntoTrashJob(NamedTuple):
    """List the files of batches that the index does not know, and remove those without any.

    `future`: batches that are dated in the future by all clocks, so that their age begins now.
    """

    node: NodeFact
    batches: tuple[str, ...]
    future: tuple[str, ...] = ()


class LookIntoTrashOutcome(NamedTuple):
    """`found`: the files of each batch that is still there.  `error`: why the trash cannot be used."""

    found: tuple[tuple[str, tuple[FoundInTrash, ...]], ...] = ()
    error: Why = ""
