"""Every error that a user can see, with the exit status it brings.

Inside the program an error is raised, naming what was being done to which thing; the edge
(`alpenhorn.cli.main`) prints its message and leaves with its `exit_status`.  All of them pickle, because
they cross from the workers to the parent.
"""

from __future__ import annotations

from alpenhorn.outside import text
from alpenhorn.reasons import Code, Reason

DONE = 0
FAILED = 1
USAGE = 2
UNUSABLE = 3
BUSY = 75
INTERRUPTED = 130


class AlpenhornError(Exception):
    """Something failed that a user should know of; the message says what, and what to do about it.

    `code`: which reason it is where it is the reason for something else, unless its message is a reason itself.
    """

    exit_status = FAILED
    code = Code.UNKNOWN

    @property
    def reason(self) -> Reason:
        said = self.args[0] if self.args else ""
        return said if isinstance(said, Reason) else Reason(str(self), self.code)


class ConfigError(AlpenhornError):
    """The configuration cannot be used.  `faults` holds one line for each fault found."""

    exit_status = UNUSABLE
    code = Code.CONFIGURATION_WRONG

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


class IndexUnusable(AlpenhornError):
    """The data index is missing, cannot be reached, or has a version that this program does not know."""

    exit_status = UNUSABLE
    code = Code.INDEX_UNUSABLE


class NotFound(AlpenhornError):
    """A name that a user gave does not exist in the index."""


class Refused(AlpenhornError):
    """A command was understood and may not be done as it stands; nothing was changed."""


class Busy(AlpenhornError):
    """Another run holds every node that was asked for; `notes`: what somebody should know of it all the same."""

    exit_status = BUSY
    notes: tuple[str, ...] = ()


class StorageError(AlpenhornError):
    """A node's storage cannot be used as it is: no root, another node's marker, no file locks.

    Extensions may raise it with plain text, which gets its `code`.
    """

    code = Code.STORAGE_UNUSABLE

    def __init__(self, why: Reason) -> None:
        super().__init__(why)


class UnsafePath(AlpenhornError):
    """A path from the index or from a user that does not stay below its root."""

    code = Code.PATH_UNSAFE

    def __init__(self, why: Reason) -> None:
        super().__init__(why)


class CommandFailed(AlpenhornError):
    """A program that we ran ended with an error.

    `status` is its exit status (negative: the signal that ended it), `stderr` the last lines it wrote, `stdout` what
    it had answered by then.
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
            f"was ended by signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"
        )
        detail = self.stderr.strip().splitlines()
        return f"{self.program} {ended}" + (f": {text(detail[-1])}" if detail else "")


class CommandTimedOut(AlpenhornError):
    """A program that we ran did not end in time and was killed with all its children."""

    code = Code.PROGRAM_TIMED_OUT

    def __init__(self, program: str, seconds: float) -> None:
        super().__init__(program, seconds)
        self.program = program
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.program} did not end within {self.seconds:g} s and was killed"


class Stopped(AlpenhornError):
    """The run was asked to stop (SIGINT, SIGTERM, SIGHUP) and this piece of work was left where it was."""

    code = Code.RUN_STOPPED
