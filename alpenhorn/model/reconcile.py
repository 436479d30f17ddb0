"""Data of `alpenhorn reconcile`, which compares nodes with their disks in both directions."""

from typing import Any, NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Why

KnownCopy = tuple[int, str, int | None, int, str, Any]
"""A copy in the index: acquisition id, name below the directory of its part, length in bytes, copy id,
has_file, and when it was last found good (or recorded as removed) as a naive UTC datetime or its text.  A
plain tuple as the database returns it, since there are hundreds of thousands.
"""

MISSING = "missing"
DIFFERING = "differing"
BACK = "back"
DARK = "dark"
UNREAD = "unread"
OTHER = "other"
KINDS = (MISSING, DIFFERING, BACK, DARK, UNREAD, OTHER)


class TreePart(NamedTuple):
    """A directory to compare, and the copies recorded below it.

    `path`: relative to the root; "" is the root.  `excluded`: directories below it that belong to other parts.
    `after`, `until`: only files whose path sorts (by bytes) after the one and not after the other belong to
    the part; None for no limit.
    """

    path: str
    known: tuple[KnownCopy, ...] = ()
    excluded: frozenset[str] = frozenset()
    after: str | None = None
    until: str | None = None


class ReconcileJob(NamedTuple):
    """Compare these parts with the disk.  Unknown files that changed less than `min_age` seconds ago are only
    counted.
    """

    node: NodeFact
    parts: tuple[TreePart, ...]
    min_age: float


class DiskFinding(NamedTuple):
    """A difference between the index and the disk; `kind` is one of KINDS.

    MISSING, DIFFERING: a good copy.  BACK: a copy recorded as removed.  DARK: a file that is no copy of this
    node.  UNREAD: a file or directory that cannot be looked at, with `copies` good copies in it.  OTHER: the
    root of another node.

    `what`: "file", "symbolic link", …  `size_b`, `mtime_ns`: those on the disk; None if nothing is there.
    """

    kind: str
    path: str
    copy_id: int = 0
    what: str = ""
    size_b: int | None = None
    mtime_ns: int | None = None
    why: Why = ""
    copies: int = 0


class ReconcileOutcome(NamedTuple):
    """The outcome of a ReconcileJob.

    `looked`: number of good copies looked at.  `young`: number of unknown files skipped for their age.
    `remaining`: the parts left for another job because of the number of differences.  `stopped`: the run was asked
    to stop.
    """

    looked: int = 0
    young: int = 0
    found: tuple[DiskFinding, ...] = ()
    remaining: tuple[TreePart, ...] = ()
    stopped: bool = False
