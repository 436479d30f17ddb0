"""Copy requests, and the jobs that serve them."""

from enum import StrEnum
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import AttemptFact, Blame, Verdict
from alpenhorn.reasons import Why


class Method(StrEnum):
    """How bytes are brought to a node."""

    LINK = "hard link"
    COPY = "copy"
    RSYNC = "rsync"
    RSYNC_SSH = "rsync over ssh"
    BBCP = "bbcp"


class PullFact(NamedTuple):
    """One pending copy request with everything that decides it.

    `acq`, `name`, `size_b`, `md5sum` are None when the file's row is gone.  `source_has` is None when the
    source copy has no row.  `at_group` holds (node id, has_file) of the copies on the group's nodes.
    `claimed_by` names host and run when another run holds a live claim.  `once_good`: ids of the nodes of `at_group`
    whose corrupt copy was once recorded as good, so that it may be replaced; `found`: (node id, what the check said) of
    those whose corrupt copy never was.  `same_path`: (node id, acquisition) of another file that is, or may be, at
    the same path on a node of the group.  `fault`: why the rows cannot be relied on, "" when they can.
    """

    request_id: int
    file_id: int
    acq: str | None
    name: str | None
    size_b: int | None
    md5sum: str | None
    node_from_id: int
    source_has: str | None
    source_ready: bool
    group_to_id: int
    at_group: tuple[tuple[int, str], ...] = ()
    attempt: AttemptFact | None = None
    claimed_by: str | None = None
    once_good: tuple[int, ...] = ()
    found: tuple[tuple[int, str], ...] = ()
    same_path: tuple[tuple[int, str], ...] = ()
    fault: Why = ""


class PullFile(NamedTuple):
    """`path` is relative to the roots.  `replace`: the index knows a corrupt copy there, once good, to be replaced.
    `fence`: that of the claim under which it is pulled."""

    request_id: int
    file_id: int
    path: str
    size_b: int
    md5sum: str
    replace: bool = False
    fence: int = 1


class PullJob(NamedTuple):
    """`rate`: the most that the job may move, in bytes per second, 0 for no limit.  `until`: when another limit
    begins; what has not arrived by then is left out of the outcome."""

    source: NodeFact
    node: NodeFact
    method: Method
    files: tuple[PullFile, ...]
    rate: int = 0
    until: float | None = None


class PullResult(NamedTuple):
    """`space_b` is what the file takes on the medium; `blame` and `error` are set when it failed.  `unmounted`: it
    failed since the source's storage was not seen on its host.  `advanced`: the connection ended before its turn, or
    within it, and something of the job had arrived, so that the next run goes on from there."""

    file: PullFile
    verdict: Verdict
    started: float
    ended: float
    space_b: int | None = None
    method: Method | None = None
    blame: Blame | None = None
    error: Why = ""
    unmounted: bool = False
    advanced: bool = False
