"""Data of jobs that look at copies without reading them, and of copies with more than one hard link.

A module of its own: few runs need it.
"""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Reason, Why


class LookTotals(NamedTuple):
    """Number of copies looked at on a node, and number of those missing or unreadable."""

    looked: int = 0
    lost: int = 0


class LookFile(NamedTuple):
    """A good copy; `path` is relative to the root."""

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    md5sum: str | None


class LookJob(NamedTuple):
    """Look whether files exist, and how many hard links each has; read none."""

    node: NodeFact
    files: tuple[LookFile, ...]


class LookOutcome(NamedTuple):
    """The outcome of a LookJob.

    `looked`: number of files looked at, from the start of the job.  `lost`: (file, reason) of those that are
    missing or cannot be looked at.  `linked`: those with more than one hard link.
    """

    looked: int
    lost: tuple[tuple[LookFile, Reason], ...] = ()
    linked: tuple[LookFile, ...] = ()


class SeparateJob(NamedTuple):
    """Replace each hard link by a file of its own."""

    node: NodeFact
    files: tuple[LookFile, ...]


class SeparateResult(NamedTuple):
    """The result for one file.

    `wrong`: why the file differs from the index; `left`: why it is still a hard link; both "" once it is a
    file of its own.
    """

    file: LookFile
    wrong: Why = ""
    left: Why = ""
