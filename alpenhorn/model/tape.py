"""The plain data that the steps of a run hand to one another about files that may be on tape; as `alpenhorn.model`,
apart from it since most archives have no tape.
"""

from enum import StrEnum
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Why


class Where(StrEnum):
    """Where a file of a node with tape behind it is."""

    DISK = "on disk, not on tape yet"
    BOTH = "on disk and on tape"
    COMING = "on its way back from tape"
    TAPE = "on tape only"
    GONE = "not there"

    @property
    def readable(self) -> bool:
        """Whether it can be read without waiting for the tape."""
        return self in (Where.DISK, Where.BOTH)


class Told(NamedTuple):
    """Where a file is; None when that could not be told, for the reason `error`.

    `held`: it cannot be left to the tape now, as it was changed since, or is to stay on disk.
    """

    where: Where | None
    error: Why = ""
    held: bool = False


class Verb(StrEnum):
    """What a worker is to do with files of such a node."""

    LOOK = "look"
    RESTORE = "restore"  # those that are on tape only
    LEAVE = "leave to tape"  # those that are on both


class TapeFile(NamedTuple):
    """`ready`: what the index says of it; `held_b`: what it takes on disk when it is there."""

    copy_id: int
    file_id: int
    path: str
    held_b: int
    ready: bool


class TapeJob(NamedTuple):
    node: NodeFact
    verb: Verb
    files: tuple[TapeFile, ...]


class TapeResult(NamedTuple):
    """`where`: where the file is after what was done, None when that is not known; `error`: why what was to be done
    was not."""

    file: TapeFile
    where: Where | None
    error: Why = ""


class Purpose(StrEnum):
    """For what a copy is asked back."""

    PULL = "pull"  # a pending request has it as its source
    CHECK = "check"


class State(StrEnum):
    """How far a copy is that was asked back."""

    ASKED = "asked"
    FAILED = "failed"  # to be tried again
    BACK = "back"  # on disk to be checked, and for nobody else
    CHECKED = "checked"  # to be left to the tape again


class RestoreFact(NamedTuple):
    """A row of sync_restore with its copy.  `tries`: how often it was asked for; `next`: when it is looked at or tried
    again; `requested`: whether a pending request has it as its source; `there`: whether the copy still has a row by
    which it may be on the node."""

    file: TapeFile
    purpose: Purpose
    state: State
    tries: int
    next: float
    requested: bool
    there: bool


class Wanted(NamedTuple):
    """A copy that is on tape only and is to come back.  `tries`: how often it was asked for before."""

    file: TapeFile
    purpose: Purpose
    tries: int = 0
