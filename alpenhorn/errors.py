"""The errors that a user can see, with their exit statuses.

`alpenhorn.cli.main` prints the message of an error and exits with its `exit_status`.  All errors can be pickled,
because workers send them to the parent.
"""

from __future__ import annotations

from alpenhorn.outside import text
from alpenhorn.reasons import Code, Reason

DONE = 0
FAILED = 1
USAGE = 2
UNUSABLE = 3
ATTENTION = 4  # `status --check`: something needs attention
BUSY = 75
INTERRUPTED = 130


class AlpenhornError(Exception):
    """An error that a user should see; the message says what is wrong and what to do.

    `code`: the code of its reason, unless the message is a reason itself.
    """

    exit_status = FAILED
    code = Code.UNKNOWN

    @property
    def reason(self) -> Reason:
        said = self.args[0] if self.args else ""
        return said if isinstance(said, Reason) else Reason(str(self), self.code)


class ConfigError(AlpenhornError):
    """The configuration cannot be used.  `faults`: one line for each fault."""

    exit_status = UNUSABLE
    code = Code.CONFIGURATION_WRONG

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


class IndexUnusable(AlpenhornError):
    """The index is missing, cannot be reached, or has an unknown version."""

    exit_status = UNUSABLE
    code = Code.INDEX_UNUSABLE


class IndexIncomplete(IndexUnusable):
    """The index lacks tables, which `alpenhorn db init` adds."""


class NotFound(AlpenhornError):
    """A name given by the user does not exist in the index."""


class Refused(AlpenhornError):
    """A command is valid but not permitted; nothing was changed."""


class Busy(AlpenhornError):
    """Another run holds every requested node.

    `notes`: further lines for the user.  `conditions`: those of the report, as (code, subject) and reason; `left_out`:
    names of the nodes.
    """

    exit_status = BUSY
    notes: tuple[str, ...] = ()
    conditions: tuple[tuple[tuple[str, str], Reason], ...] = ()
    left_out: tuple[str, ...] = ()


class StorageError(AlpenhornError):
    """The storage of a node cannot be used: no root, another node's marker, no file locks.

    Extensions may raise it with plain text, which then has this `code`.
    """

    code = Code.STORAGE_UNUSABLE

    def __init__(self, why: Reason) -> None:
        super().__init__(why)


class UnsafePath(AlpenhornError):
    """A path, from the index or the user, leads outside its root."""

    code = Code.PATH_UNSAFE

    def __init__(self, why: Reason) -> None:
        super().__init__(why)


class CommandFailed(AlpenhornError):
    """A program failed.

    `status` is its exit status (negative: the signal that killed it), `stderr` its last lines of error output, `stdout`
    its output.
    """

    code = Code.PROGRAM_FAILED

    def __init__(self, program: str, status: int, stderr: str = "", stdout: str = "") -> None:
        super().__init__(program, status, stderr, stdout)
        self.program = program
        self.status = status
        self.stderr = stderr
        self.stdout = stdout

    def __str__(self) -> str:
        ended = (
            f"was killed by signal {-self.status}" if self.status < 0 else f"exited with status {self.status}"
        )
        detail = self.stderr.strip().splitlines()
        return f"{self.program} {ended}" + (f": {text(detail[-1])}" if detail else "")


class CommandTimedOut(AlpenhornError):
    """A program did not end in time and was killed with all its children."""

    code = Code.PROGRAM_TIMED_OUT

    def __init__(self, program: str, seconds: float) -> None:
        super().__init__(program, seconds)
        self.program = program
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.program} did not end within {self.seconds:g} s and was killed"


class Stopped(AlpenhornError):
    """The run was asked to stop (SIGINT, SIGTERM, SIGHUP), and this work was abandoned.  `why`: in which work."""

    code = Code.RUN_STOPPED

    def __init__(self, why: str = Code.RUN_STOPPED()) -> None:
        super().__init__(why)
