"""Data of checks: the copies to read, and the results."""

from math import inf
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import AttemptFact, Verdict
from alpenhorn.reasons import Why


class CheckFact(NamedTuple):
    """A copy on a node of this host that is due for a check: a suspect one, or the next of a re-read.

    `fault`: why its rows are inconsistent; "" if they are not.
    """

    copy_id: int
    file_id: int
    node_id: int
    acq: str | None
    name: str | None
    size_b: int | None
    md5sum: str | None
    attempt: AttemptFact | None = None
    has_file: str = "M"
    wants_file: str = "Y"
    ready: bool = True
    fault: Why = ""


class CheckFile(NamedTuple):
    """One file of a check job.

    `has_file` and `wants_file`: those when the job was made; the result applies to a copy in that
    state only.  `since`: POSIX seconds since which the copy is known to be good; other data that was written later is
    the work of its owner.  `sha256`: as in `PullFile`.
    """

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    md5sum: str | None
    has_file: str = "M"
    wants_file: str = "Y"
    since: float = inf
    sha256: str | None = None


class CheckJob(NamedTuple):
    """`keep_status`: whether to return the statuses of good copies."""

    node: NodeFact
    files: tuple[CheckFile, ...]
    keep_status: bool = False


class CheckResult(NamedTuple):
    """The result for one file.

    `linked`: the file has more than one hard link.  `began`: when its job began, in POSIX
    seconds by the clock of the storage, as the times of its files; 0: unknown.
    `modified`: of a corrupt file that was written after the copy was last known to be good: when that was; "" for
    others.  `sha256`: that of a good copy, "" if it was not computed.  `verified_status`: that of a good copy, ""
    if there is none that proves something.
    """

    file: CheckFile
    verdict: Verdict
    space_b: int | None = None
    error: Why = ""
    linked: bool = False
    began: float = 0.0
    modified: str = ""
    sha256: str = ""
    verified_status: str = ""
