"""The plain data that the steps of a run hand to one another about copies that are looked at without being read, and
about copies with more than one name; as `alpenhorn.model`, apart from it since few runs need it.
"""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Reason, Why


class Sums(NamedTuple):
    """Number of copies looked at on a node, and how many of them were missing or unreadable."""

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
    """Look whether files are there, and how many names each has; none is read."""

    node: NodeFact
    files: tuple[LookFile, ...]


class LookOutcome(NamedTuple):
    """`looked`: number of files looked at, the first ones of the job; `lost`: (file, why) of those that are not there
    or cannot be looked at; `linked`: those with more than one name."""

    looked: int
    lost: tuple[tuple[LookFile, Reason], ...] = ()
    linked: tuple[LookFile, ...] = ()


class SeparateJob(NamedTuple):
    """Give each of the files bytes of its own."""

    node: NodeFact
    files: tuple[LookFile, ...]


class SeparateResult(NamedTuple):
    """`wrong`: why the file is not what the index says; `left`: why it still shares its bytes; both "" when it has
    bytes of its own."""

    file: LookFile
    wrong: Why = ""
    left: Why = ""
