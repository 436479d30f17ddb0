"""The plain data that the steps of a run hand to one another about comparing a node with its disk, both ways; as
`alpenhorn.model`, apart from it since only `alpenhorn reconcile` needs it.
"""

from typing import Any, NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Why

Known = tuple[int, str, int | None, int, str, Any]
"""A copy as the index has it: acquisition id, name below the directory of its part, length in bytes, copy id,
has_file, and the last good look (of a copy that is recorded as gone: when that was recorded) as a naive UTC datetime
or its text.  A plain tuple, just as the database hands it out: there are hundreds of thousands."""

MISSING = "missing"
DIFFERING = "differing"
BACK = "back"
DARK = "dark"
UNREAD = "unread"
OTHER = "other"
KINDS = (MISSING, DIFFERING, BACK, DARK, UNREAD, OTHER)


class Part(NamedTuple):
    """A directory (`path`, relative to the root, "" is the root) with the copies that the index knows below it.

    `apart`: directories below it, by the same kind of path, that belong to other parts.  Only files whose whole path,
    in the order of its bytes, lies behind `after` and not behind `until` belong to the part; None: no limit.
    """

    path: str
    known: tuple[Known, ...] = ()
    apart: frozenset[str] = frozenset()
    after: str | None = None
    until: str | None = None


class ReconcileJob(NamedTuple):
    """Compare these parts with the disk.  Unknown files that changed less than `min_age` seconds ago are only
    counted."""

    node: NodeFact
    parts: tuple[Part, ...]
    min_age: float


class DiskFinding(NamedTuple):
    """Something that is not as the index has it; `kind` is one of KINDS.

    MISSING, DIFFERING: a good copy.  BACK: a copy that is recorded as gone.  DARK: something that is no copy of this
    node.  UNREAD: a file or directory that could not be looked at, with `copies` good copies in it.  OTHER: the root of
    another node.  `what`: "file", "symbolic link", …; `size_b` and `mtime_ns` as they are on the disk, None where
    nothing is there.
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
    """`looked`: good copies that were looked at; `young`: unknown files left out for their age; `rest`: what is still
    to be looked at, since so much was found; `stopped`: the run was asked to stop in the middle."""

    looked: int = 0
    young: int = 0
    found: tuple[DiskFinding, ...] = ()
    rest: tuple[Part, ...] = ()
    stopped: bool = False
