"""Data of pulls: copy requests, and the jobs and results.

A pull is a PullFact when it is read, a PullDecision (`alpenhorn.plan.pulls`) when it is decided and
claimed, a PullFile of a PullJob when it is carried out, and a PullResult when it is recorded.
"""

from enum import StrEnum
from math import inf
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import AttemptFact, Blame, Verdict
from alpenhorn.reasons import Reason, Why


class Method(StrEnum):
    """The methods of transferring a file to a node."""

    LINK = "hard link"
    COPY = "copy"
    RSYNC = "rsync"
    RSYNC_SSH = "rsync over ssh"
    TAR = "tar over ssh"
    BBCP = "bbcp"
    STREAMS = "ssh streams"
    OBJECTS = "objects"


class OtherSource(NamedTuple):
    """A good copy of a requested file on any node.

    `released`: it is no longer wanted there.  `attempt`: the failed attempts to pull from it in place of the requested
    source.
    """

    node_id: int
    copy_id: int
    ready: bool
    released: bool
    attempt: AttemptFact | None = None


class PullFact(NamedTuple):
    """A pending copy request with all that decides about it.

    `acq`, `name`, `size_b`, `md5sum`: None if the file has no row.  `source_has`: `has_file` of the source
    copy, None if it has no row.  `at_group`: (node id, has_file) of the copies on the group's nodes.
    `claimed_by`: host and run with a live claim on it.

    `once_good`: ids of the nodes in `at_group` whose corrupt copy was once good and may be replaced; `since`:
    (node id, time) since when, as in `CheckFile`; `aside`: ids of those whose copy may also be replaced if its
    owner changed it, which is then kept under another name; `found`:
    (node id, result of the check) of those whose corrupt copy never was.  `same_path`: (node id, acquisition)
    of another file that is or may be at the same path on a node of the group.  `fault`: why the rows are
    inconsistent; "" if they are not.  `others`: the good copies of the file, if the requested source cannot be
    used now.  `priority`: larger ones are done first.  `sha256`, `verified_status`: as in `PullFile`.
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
    found: tuple[tuple[int, Reason], ...] = ()
    same_path: tuple[tuple[int, str], ...] = ()
    fault: Why = ""
    since: tuple[tuple[int, float], ...] = ()
    aside: tuple[int, ...] = ()
    others: tuple[OtherSource, ...] = ()
    priority: int = 0
    sha256: str | None = None
    verified_status: str = ""


class PullFile(NamedTuple):
    """One file of a pull job.

    `path`: relative to both roots.  `replace`: the destination has a corrupt copy, once good, to replace.
    `fence`: the fence of the claim under which it is pulled.  `since`: as in `CheckFile`; what is at the path is not
    replaced if it was written since then.  `aside`: what is there is renamed.  `other_copy`: the id of the source copy
    if it is not the requested one, else 0; `instead`: the requested source, and why it is not used.

    `sha256`: the known SHA-256 sum, "" if none is known, None if it is not to be computed.  `verified_status`: the
    status with which the bytes of the source were verified (`alpenhorn.fs.verified_status`), so that a link need not
    read them; "" if they must be read.
    """

    request_id: int
    file_id: int
    path: str
    size_b: int
    md5sum: str
    replace: bool = False
    fence: int = 1
    since: float = inf
    aside: bool = False
    other_copy: int = 0
    instead: tuple[str, Why] = ("", "")
    sha256: str | None = None
    verified_status: str = ""


class PullJob(NamedTuple):
    """A pull job.

    `rate`: bandwidth limit in bytes per second, 0 for none.  `until`: when another limit begins; files that
    have not arrived by then get no result.  `staged`: the files become objects, and are fetched into a stage of this
    host before.
    """

    source: NodeFact
    node: NodeFact
    method: Method
    files: tuple[PullFile, ...]
    rate: int = 0
    until: float | None = None
    staged: bool = False


class PullResult(NamedTuple):
    """The result for one file.

    `space_b`: bytes on the medium.  `blame`, `error`: set if the pull failed.  `unmounted`: it failed because
    the source's storage was not seen on its host, or its objects not from this one.  `advanced`: the connection
    ended before or during this file, but other data of the job had arrived; the next run continues from there.
    `aside`: the name of the changed file that it replaced, relative to the root.  `sha256`: that of a pulled file, ""
    if it was not computed.  `verified_status`: of a pulled file and, if it is a hard link, of its source; "" if there
    is none that proves something.  `unread`: the source was known by its status, and not read.
    """

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
    aside: str = ""
    sha256: str = ""
    verified_status: str = ""
    unread: bool = False
