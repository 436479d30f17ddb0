"""Data of nodes whose files may be on tape.

A module of its own: most archives have no tape.
"""

from enum import StrEnum
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Why


class Location(StrEnum):
    """Where a file of a tape node is."""

    DISK = "on disk, not on tape yet"
    BOTH = "on disk and on tape"
    COMING = "on its way back from tape"
    TAPE = "on tape only"
    GONE = "not there"

    @property
    def readable(self) -> bool:
        """Whether it can be read without waiting for tape."""
        return self in (Location.DISK, Location.BOTH)


class TapeState(NamedTuple):
    """Where a file is; `where` is None if that is unknown, because of `error`.

    `held`: it must stay on disk for now, because it changed or is marked to stay.
    """

    where: Location | None
    error: Why = ""
    held: bool = False


class TapeAction(StrEnum):
    """The actions of tape jobs."""

    LOOK = "look"
    RESTORE = "restore"  # files that are on tape only
    LEAVE = "leave to tape"  # files that are on disk and on tape


class TapeFile(NamedTuple):
    """One file of a tape job.

    `ready`: whether the index says that it is on disk.  `held_b`: bytes that it takes on disk.
    """

    copy_id: int
    file_id: int
    path: str
    held_b: int
    ready: bool


class TapeJob(NamedTuple):
    node: NodeFact
    verb: TapeAction
    files: tuple[TapeFile, ...]


class TapeResult(NamedTuple):
    """The result for one file.

    `where`: where the file is afterwards, None if unknown.  `error`: why the work was not done.
    """

    file: TapeFile
    where: Location | None
    error: Why = ""


class Purpose(StrEnum):
    """Why a copy is restored from tape."""

    PULL = "pull"  # a pending request has it as its source
    CHECK = "check"


class RestoreState(StrEnum):
    """The progress of a restore."""

    ASKED = "asked"
    FAILED = "failed"  # to be retried
    BACK = "back"  # on disk to be checked
    CHECKED = "checked"  # to be released to tape again


class RestoreFact(NamedTuple):
    """A row of sync_restore with its copy.

    `tries`: number of requests so far.  `next`: time of the next look or retry.  `requested`: a pending
    request has the copy as its source.  `there`: the copy's row says that it may be on the node.
    """

    file: TapeFile
    purpose: Purpose
    state: RestoreState
    tries: int
    next: float
    requested: bool
    there: bool


class RestoreCandidate(NamedTuple):
    """A copy on tape only that is to be restored.  `tries`: number of earlier requests for it."""

    file: TapeFile
    purpose: Purpose
    tries: int = 0
