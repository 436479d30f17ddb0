"""The plain frozen data that the steps of a run hand to one another.

    scan ──Fact──► plan ──Task(job)──► run ──Outcome──► record

Named tuples where there are millions of them, since they are made three times faster than frozen
dataclasses, and pickle smaller.  Sizes are bytes, durations seconds, times POSIX seconds in UTC, unless a
name says otherwise.
"""

# Without `from __future__ import annotations`, on purpose: each annotation of a named tuple would be a text
# that is compiled at every start.

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from alpenhorn.reasons import Code, Reason, Why, headed

MARKER = "ALPENHORN_NODE"
MANIFEST = ".alpenhorn/manifest.md5"
GIB = 2**30


class HasFile(StrEnum):
    YES = "Y"
    NO = "N"
    MAYBE = "M"
    CORRUPT = "X"


class WantsFile(StrEnum):
    YES = "Y"
    MAYBE = "M"
    NO = "N"


class Blame(StrEnum):
    """Who a failed attempt is put down to; this decides what is touched and what is left alone."""

    SOURCE = "source"
    DESTINATION = "destination"
    NETWORK = "network"
    WORKER = "worker"  # it was killed
    UNKNOWN = "unknown"  # could not be read, or not be told: says nothing about any copy, node or host


class Method(StrEnum):
    """How bytes are brought to a node."""

    LINK = "hard link"
    COPY = "copy"
    RSYNC = "rsync"
    RSYNC_SSH = "rsync over ssh"
    BBCP = "bbcp"


class Kind(StrEnum):
    """What a worker can be told to do; also the queue classes of `--only`."""

    PROBE = "probe"
    INIT = "init"
    SURVEY = "survey"
    SEARCH = "search"
    REMEMBER = "remember"
    IMPORT = "import"
    CHECK = "check"
    DELETE = "delete"
    PULL = "pull"
    TAPE = "tape"
    COMPARE = "compare"
    MANIFEST = "manifest"
    IDENTITY = "identity"
    LOOK = "look"
    SEPARATE = "separate"


# --- facts: rows as scan read them ---------------------------------------------------------------------


class NodeFact(NamedTuple):
    """A row of storagenode with its host.

    `manifest`: the token of the manifest on it while somebody vouches that the files there are what they were: "" when
    it could not be written; None: nobody does.  `medium`: the random id of its medium, None when no run has seen it.
    `separate`: every copy on it is known to have bytes of its own.  `fault`: why the row cannot be relied on, or "".
    """

    id: int
    name: str
    root: str | None
    group_id: int
    host: str | None
    username: str | None
    address: str | None
    active: bool
    archive: bool
    io_class: str | None
    io_config: str | None
    max_total_gb: float | None
    min_avail_gb: float
    avail_gb: float | None
    auto_import: bool = False
    auto_verify: int = 0
    manifest: str | None = None
    medium: str | None = None
    separate: bool = False
    fault: Why = ""


class Identity(NamedTuple):
    """What the identity file on a medium says: to which index it belongs, which medium it is, and its generation, a
    number and a random word.  Ids are 32 hexadecimal digits, words 16."""

    index_id: str
    medium: str
    generation: int
    word: str


class MediumFact(NamedTuple):
    """What the index knows of the medium of a node, as in the table sync_medium.  `seen`: POSIX seconds."""

    node_id: int
    medium: str | None = None
    generation: int = 0
    word: str | None = None
    next_generation: int | None = None
    next_word: str | None = None
    seen: float | None = None
    wrong: bool = False
    distrust: str | None = None


class GroupFact(NamedTuple):
    """`fault`: why its row cannot be relied on, "" when it can."""

    id: int
    name: str
    io_class: str | None
    io_config: str | None
    fault: Why = ""


class AttemptFact(NamedTuple):
    """The failed attempts so far; `next` is when the next one may be made."""

    tries: int
    last: float
    next: float
    blame: str
    error: str


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


class CheckFact(NamedTuple):
    """One copy on a node of this host that is to be read: a suspect one, or one whose turn has come.

    `fault`: why its rows cannot be relied on, "" when they can.
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


class DeletionFact(NamedTuple):
    """One copy that may be deleted from a node of this host, with everything that decides whether it may go now.

    `others` names the other active archive nodes with a good copy of the file that nobody wants gone and that counts,
    `released` those whose good copy is wanted gone and not claimed for deletion yet.  `uncounted`: for each further
    good archive copy, its node and why it does not count ("v1, not seen since …").  `source_of` and `wanted_by` are
    pending requests: one that has this copy as its source, one for the file into this node's group; 0: none.
    `pinned` says by what it is kept, `claimed_by` by which other run it is being deleted, `same_path` of which
    acquisition another file lies at the same path; "" when it is not so.  `by_rule`: an autoclean edge releases it.
    `space_b`: what it takes on the medium, if known.  `other_ids` and `released_ids`: the nodes of `others` and
    `released`.  `twice`: the index has more than one row for this copy.  `restored`: why the index is older than the
    disks, "" when it is not.  `merely_found`: what lies there is not the file, and never was recorded as a good copy.
    `fault`: why its rows cannot be relied on, "" when they can.
    """

    copy_id: int
    file_id: int
    node_id: int
    acq: str | None
    name: str | None
    size_b: int | None
    space_b: int | None
    has_file: str
    wants_file: str
    others: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    source_of: int = 0
    wanted_by: int = 0
    pinned: str = ""
    claimed_by: str = ""
    same_path: str = ""
    attempt: AttemptFact | None = None
    by_rule: bool = False
    uncounted: tuple[str, ...] = ()
    other_ids: tuple[int, ...] = ()
    released_ids: tuple[int, ...] = ()
    twice: bool = False
    restored: str = ""
    merely_found: bool = False
    fault: Why = ""


class Evidence(NamedTuple):
    """What a deletion may rely on.

    `minimum`: good archive copies that must be left; `seen_within`: seconds since a node was last found right;
    `trust_unseen`: count copies also on nodes that no run has ever seen.  `absent`: nodes that the run itself knows
    not to answer, and why.
    """

    minimum: int = 2
    seen_within: float = 7 * 86_400.0
    trust_unseen: bool = False
    absent: Mapping[int, Reason] = {}


class GoodCopy(NamedTuple):
    """A copy from which a bad one may be mended."""

    node_id: int
    wants_file: str
    ready: bool


class BadCopy(NamedTuple):
    """A copy that is corrupt, or gone without our doing, with everything that decides how it is mended.

    `acq`, `name`, `size_b`, `md5sum` are None when the file's row is gone.  `good`: the good copies on other
    nodes.  `requested`: a pending request for the file into this node's group, 0: none.  `once_good`: it was once
    recorded as good, so that it may be replaced; if not, `found` is what the check said.
    """

    copy_id: int
    file_id: int
    node_id: int
    has_file: str
    acq: str | None
    name: str | None
    size_b: int | None
    md5sum: str | None
    good: tuple[GoodCopy, ...] = ()
    requested: int = 0
    once_good: bool = False
    found: str = ""


class ImportRequestFact(NamedTuple):
    """`fault`: why its row cannot be relied on, "" when it can."""

    request_id: int
    node_id: int
    path: str
    recurse: bool
    register: bool
    attempt: AttemptFact | None = None
    fault: Why = ""


class KnownFile(NamedTuple):
    """What the index says about a path that was found on a node; `has_file` None: no copy row there."""

    file_id: int
    acq: str
    name: str
    size_b: int | None
    md5sum: str | None
    has_file: str | None


# --- jobs: all that a worker needs, and nothing else ---------------------------------------------------


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


class CheckFile(NamedTuple):
    """`had` and `wants`: the copy's state when it was handed out; a verdict is for a copy in that state."""

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    md5sum: str | None
    had: str = "M"
    wants: str = "Y"


class CheckJob(NamedTuple):
    node: NodeFact
    files: tuple[CheckFile, ...]


class DeleteFile(NamedTuple):
    """`had`: what has_file was before the claim; it is put back when the file could not be removed.  `size_b`:
    the length that the file must have to be removed, None for a copy that is known to be corrupt.  `by_rule`: the
    brake does not count it.

    `keepers`: ids of the nodes whose copies were counted and are to be looked at before; `spare`: of how many of them
    the copy may be lacking or wrong, so that enough are left all the same.  `length`: what the keepers must have, None:
    `size_b`, if that is set."""

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    had: str
    by_rule: bool = False
    keepers: tuple[int, ...] = ()
    spare: int = 0
    length: int | None = None


class DeleteJob(NamedTuple):
    """`keepers`: this host's nodes that are named as keepers of any of the files.  `expires`: by CLOCK_BOOTTIME, in
    seconds, when the claims are too old for anything to be removed on their strength; None: never.  `remote`: the
    nodes on other hosts that are named as keepers, which are looked at over ssh."""

    node: NodeFact
    files: tuple[DeleteFile, ...]
    keepers: tuple[NodeFact, ...] = ()
    expires: float | None = None
    remote: tuple[NodeFact, ...] = ()


class Stamp(NamedTuple):
    """A directory as it was when it was listed: any change of its entries changes its times.  Both are 0 when
    it is to be listed again whatever they are.  `below`: the names of its subdirectories, joined by slashes."""

    path: str
    mtime_ns: int
    ctime_ns: int
    below: str = ""


class SurveyJob(NamedTuple):
    """Look at the remembered directories from byte `offset` of the node's memory on: which have changed?"""

    node: NodeFact
    search: int
    offset: int = 0


class RememberJob(NamedTuple):
    """Write the node's memory anew: `heading` as it is to stand there, the directories `forget` taken out,
    `listed` put in."""

    node: NodeFact
    search: int
    heading: str
    forget: tuple[str, ...]
    listed: tuple[Stamp, ...]
    everything: bool = False  # forget all that was there


class SearchJob(NamedTuple):
    """Look at `paths` (relative to the root; "" is the root): list directories, look at files.  `search`: the
    number of the search that the job is part of."""

    node: NodeFact
    search: int
    paths: tuple[str, ...]


class DetectJob(NamedTuple):
    """Ask the import detectors of packages for the acquisitions of these files.  `listing`: the number, within the
    search, of the listing that found them; `settle`: as in ImportJob."""

    node: NodeFact
    search: int
    listing: int
    settle: float
    files: tuple["Found", ...]


class ImportFile(NamedTuple):
    """A found file to be hashed.  `known` is what the index says of it, None for a new one."""

    path: str
    acq: str
    name: str
    known: KnownFile | None = None


class ImportJob(NamedTuple):
    """`settle`: seconds for which a file must not have changed; `search`: the one that found the files."""

    node: NodeFact
    search: int
    settle: float
    files: tuple[ImportFile, ...]


class ProbeJob(NamedTuple):
    """Is the node there?  With `tidy`, which only the holder of the node's run lock may ask for, leftovers
    of earlier runs are removed as well."""

    node: NodeFact
    tidy: bool = False


class InitJob(NamedTuple):
    """Mark a root as the node's: `request_id` when a request asks for it; `formerly` when the root bears that
    name, which the node had before it was renamed."""

    node: NodeFact
    request_id: int | None
    formerly: str | None = None


class IdentityJob(NamedTuple):
    """Write what the identity file of a node is to say: over its older slot, or, with `anew`, in place of whatever is
    there."""

    node: NodeFact
    identity: Identity
    anew: bool = False


class Job(Protocol):
    """Those above, and those of `alpenhorn.tape` and `alpenhorn.manifests`, which few runs need."""

    @property
    def node(self) -> NodeFact: ...


class Task(NamedTuple):
    """One job for a worker.  `deadline` is in seconds from its start, None for no limit.

    `stage` names the directory below the node's `.alpenhorn/` in which the job may work; it is unique in
    the run, so that what a killed worker left there is known to be nobody's.
    """

    kind: Kind
    node_id: int
    job: Job
    files: int = 1
    bytes: int = 0
    deadline: float | None = None
    stage: str = ""


# --- outcomes: what a worker found and did -------------------------------------------------------------


class Verdict(StrEnum):
    # of a pull
    PULLED = "pulled"
    OCCUPIED = "occupied"  # something is at the path that the index does not know of
    FAILED = "failed"
    # of a check; FAILED as well: the job came to nothing, which says nothing about the file
    GOOD = "good"
    MISSING = "missing"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"
    AWAY = "on tape only"  # of a pull as well: the source was not read, since that would wait for the tape
    # of a deletion; MISSING and CORRUPT (it is not the file that the index knows: left alone), FAILED as well
    DELETED = "deleted"
    KEPT = "kept"  # the file was left alone, since keepers are not what the index says
    # of an import
    HASHED = "hashed"
    DECLINED = "declined"  # can never be imported; `error` says why
    LATER = "later"  # locked or still changing


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


class CheckResult(NamedTuple):
    """`linked`: the file has more than one name."""

    file: CheckFile
    verdict: Verdict
    space_b: int | None = None
    error: Why = ""
    linked: bool = False


class DeleteResult(NamedTuple):
    """`freed_b`: the space that it took on the medium.  `wrong`: (node id, why) of keepers that are not what the
    index says."""

    file: DeleteFile
    verdict: Verdict
    freed_b: int = 0
    error: Why = ""
    wrong: tuple[tuple[int, Reason], ...] = ()


class DeleteOutcome(NamedTuple):
    """Files without a result were not touched; `error`: why the node can no longer be worked on; `expired`: the claims
    became too old before all was done."""

    results: tuple[DeleteResult, ...] = ()
    error: Why = ""
    expired: bool = False


class SurveyOutcome(NamedTuple):
    """`heading` None: nothing is remembered.  `changed`: directories to be listed, as they are remembered;
    `gone`: those not there any more; `seen`: how many were looked at; `next`: the offset to go on from, None at
    the end."""

    heading: str | None = None
    changed: tuple[Stamp, ...] = ()
    gone: tuple[str, ...] = ()
    seen: int = 0
    next: int | None = None


class Found(NamedTuple):
    """A regular file that a search came upon."""

    path: str
    size_b: int


class SearchOutcome(NamedTuple):
    """`stamps`: the directories that were listed; `declined`: (path, why) of paths that can never be
    imported; `failed`: (path, why) of those that could not be looked at, and may be another time; `rest`: paths
    of the job that were not come to, since so many files had been found.  `others`: (path, directory, node) of paths
    that lie in the root of another node, which is `directory`, or are it; `node`: the name that it is marked with."""

    files: tuple[Found, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    declined: tuple[tuple[str, Reason], ...] = ()
    failed: tuple[tuple[str, Reason], ...] = ()
    rest: tuple[str, ...] = ()
    others: tuple[tuple[str, str, str], ...] = ()


class Detected(NamedTuple):
    """What import detectors made of a file.  `acq` is "" when none claims it; `by`: the name of the one that does;
    `callback`: what it wants called afterwards, pickled, b"" for nothing.  `error`: why it is not known who claims
    it; with `later` because it is not finished."""

    found: Found
    acq: str = ""
    by: str = ""
    callback: bytes = b""
    error: Why = ""
    later: bool = False


class ImportedFile(NamedTuple):
    """A file that was taken into the index, as a detector's callback is told.

    `path` is that below the node's root, `acq`/`name`.  `new_file`, `new_acq`: whether the index did not know them
    before.
    """

    file_id: int
    acq_id: int
    node_id: int
    acq: str
    name: str
    node: str
    size_b: int
    md5sum: str
    new_file: bool
    new_acq: bool

    @property
    def path(self) -> str:
        return f"{self.acq}/{self.name}"


class ImportResult(NamedTuple):
    """`linked`: the file has more than one name."""

    file: ImportFile
    verdict: Verdict
    size_b: int | None = None
    md5sum: str | None = None
    space_b: int | None = None
    error: Why = ""
    linked: bool = False


class ProbeOutcome(NamedTuple):
    """`error` is set when the node may not be worked on; `free_b` None: unknown.  `uninitialised`: the
    root is there and has no marker at all.  `owner`: the other name that the root bears, "" for none.
    `warning`: what should be told although the node may be worked on.  `manifest`: the token of the manifest that
    lies there, "" for none.  `identity`: what the identity file there says, None without one.
    `place`: device and inode of the root, None where they are not known.  `free_files`: free inodes, None where there
    is no limit."""

    node_id: int
    free_b: int | None = None
    uninitialised: bool = False
    owner: str = ""
    error: Why = ""
    warning: Why = ""
    manifest: str = ""
    identity: Identity | None = None
    place: tuple[int, int] | None = None
    free_files: int | None = None


class InitOutcome(NamedTuple):
    request_id: int | None
    error: Why = ""


class Reporter(Protocol):
    """What a worker's job may tell while it works, and ask."""

    def progress(self, files: int, bytes: int) -> None:
        """So many more files and bytes are done."""

    def stopping(self) -> bool:
        """True once the run was asked to stop: finish or drop the file in hand, and return what is done."""
        ...


class Fate(StrEnum):
    """How a task ended."""

    DONE = "done"
    DIED = "died"  # its worker was killed
    TIMED_OUT = "timed out"
    ABANDONED = "abandoned"  # its worker could not be killed
    BROKEN = "broken"  # it raised


class Done(NamedTuple):
    """A task that has ended.  `outcome` is set for DONE only, `error` for all others."""

    task: Task
    fate: Fate
    outcome: Any = None
    error: Why = ""
    seconds: float = 0.0

    @property
    def reason(self) -> Reason:
        """Why it came to nothing."""
        return self.error or Code.TASK_ENDED(fate=self.fate)

    @property
    def why(self) -> Reason:
        """How it came to nothing, in words."""
        return headed(f"{self.fate}", self.error) if self.error else Code.TASK_ENDED(fate=self.fate)
