"""Tasks, and their results, for all kinds of work."""

from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, Reason, Why, headed


class Blame(StrEnum):
    """The party held responsible for a failed attempt; decides what is retried and what is checked."""

    SOURCE = "source"
    DESTINATION = "destination"
    NETWORK = "network"
    WORKER = "worker"  # it was killed
    UNKNOWN = "unknown"  # cannot be read or determined: proves nothing about any copy, node or host


class TaskKind(StrEnum):
    """The kinds of work; also the queue classes of `--only`."""

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
    TRASH = "trash"
    EXPORT = "export"
    SHARE = "share"

    @property
    def changes(self) -> bool:
        """Whether its tasks change copies or what the index records of them, which requires a new generation."""
        return self in _CHANGING


_CHANGING = frozenset(
    {
        TaskKind.PULL,
        TaskKind.DELETE,
        TaskKind.IMPORT,
        TaskKind.CHECK,
        TaskKind.TAPE,
        TaskKind.SEPARATE,
        TaskKind.TRASH,
    }
)


class AttemptFact(NamedTuple):
    """The failed attempts so far; `next`: time of the next attempt."""

    tries: int
    last: float
    next: float
    blame: str
    error: str


class Job(Protocol):
    """A job of any kind of work."""

    @property
    def node(self) -> NodeFact: ...


class Task(NamedTuple):
    """One job for a worker.  `deadline`: seconds from its start, None for no limit.

    `stage`: the directory below the node's `.alpenhorn/` for the job's temporary files.  Its name is unique
    in the run, so that the leftovers of a killed worker can be removed safely.  `at`: the address of the machine of
    the cluster that carries it out, "" for this one.  `network`: it mostly waits for another host or a service.
    """

    kind: TaskKind
    node_id: int
    job: Job
    files: int = 1
    bytes: int = 0
    deadline: float | None = None
    stage: str = ""
    at: str = ""
    network: bool = False


class Verdict(StrEnum):
    # of pulls
    PULLED = "pulled"
    OCCUPIED = "occupied"  # an unknown file is at the path
    FAILED = "failed"
    # of checks; also FAILED: the job failed, which proves nothing about the file
    GOOD = "good"
    MISSING = "missing"
    CORRUPT = "corrupt"
    CHANGED = "changed"  # written by its owner after it was registered; decided when it is recorded
    UNREADABLE = "unreadable"
    AWAY = "on tape only"  # also of pulls: the source was not read, since that would wait for tape
    # of deletions; also MISSING, FAILED, and CORRUPT (a different file, left alone)
    DELETED = "deleted"
    KEPT = "kept"  # left alone, because keepers differ from the index
    # of imports
    HASHED = "hashed"
    DECLINED = "declined"  # can never be imported; `error` says why
    LATER = "later"  # locked or still changing


class Reporter(Protocol):
    """The link from a worker's job to the run."""

    def begin(self, path: str) -> None:
        """Report the file that is worked on now, or that arrived last."""

    def fail(self) -> None:
        """Count a file of the task that failed, for displays."""

    def progress(self, files: int, bytes: int) -> None:
        """Report the number of files and bytes done since the last call."""

    def stopping(self) -> bool:
        """Return True once the run was asked to stop, or the task to end early: finish or drop the current file, and
        return the results."""
        ...


class Fate(StrEnum):
    """The ways in which a task can end."""

    DONE = "done"
    DIED = "died"  # its worker was killed
    TIMED_OUT = "timed out"
    ABANDONED = "abandoned"  # its worker could not be killed
    BROKEN = "broken"  # it raised an exception


class Done(NamedTuple):
    """A task that has ended.  `outcome` is set for DONE, `error` for all others."""

    task: Task
    fate: Fate
    outcome: Any = None
    error: Why = ""
    seconds: float = 0.0

    @property
    def reason(self) -> Reason:
        """Why it failed."""
        return self.error or Code.TASK_ENDED(fate=self.fate)

    @property
    def why(self) -> Reason:
        """The way in which it failed, and why."""
        return headed(f"{self.fate}", self.error) if self.error else Code.TASK_ENDED(fate=self.fate)
