"""What the pool hands to workers and gets back, whatever the kind of work."""

from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason, Why, headed


class Blame(StrEnum):
    """Who a failed attempt is put down to; this decides what is touched and what is left alone."""

    SOURCE = "source"
    DESTINATION = "destination"
    NETWORK = "network"
    WORKER = "worker"  # it was killed
    UNKNOWN = "unknown"  # could not be read, or not be told: says nothing about any copy, node or host


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

    @property
    def changes(self) -> bool:
        """Whether its tasks change a node's copies, or what the index says of them: a new generation comes first."""
        return self in _CHANGING


_CHANGING = frozenset({Kind.PULL, Kind.DELETE, Kind.IMPORT, Kind.CHECK, Kind.TAPE, Kind.SEPARATE})


class AttemptFact(NamedTuple):
    """The failed attempts so far; `next` is when the next one may be made."""

    tries: int
    last: float
    next: float
    blame: str
    error: str


class Job(Protocol):
    """Those above, and those of `alpenhorn.model.tape` and `alpenhorn.model.manifests`, which few runs need."""

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
