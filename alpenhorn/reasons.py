"""Why something is not done, failed, or needs attention: one enumeration, so that scripts need not read prose.

A reason is a string that also carries its code, so it goes wherever text goes: through the workers' pipes, into the
index and into JSON, where `why` is the text and `code` the member of the enumeration.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """The value is the code that scripts see and never changes; `text` is what people read.

    Call a member with the values that its text names, to get the reason: `Code.SOURCE_INACTIVE(node="a")`.
    """

    text: str

    def __new__(cls, code: str, text: str) -> Code:
        member = str.__new__(cls, code)
        member._value_ = code
        member.text = text
        return member

    def __call__(self, **details: object) -> Reason:
        """Raises KeyError when a value is missing that the text names."""
        return Reason(self.text.format(**details), self)

    UNKNOWN = "unknown", "{detail}"
    """What another program, an extension or an earlier version of this program said."""
    SOURCE_INACTIVE = "source-inactive", "source node {node} is not active"

    # what lies on a node where one of our own files should be, and its locks
    OWN_LINK = (
        "own-link",
        "{path} is a symbolic link, which is not followed; find out who made it, and move it away",
    )
    OWN_OTHER = "own-other", "{path} is not a {wanted}; find out who made it, and move it away"
    OWN_NAMES = (
        "own-names",
        "{path} has {names} names (hard links), and writing to it would change the file of that other name; find out"
        " who made them, and run: rm {path}",
    )
    OWN_STRANGER = (
        "own-stranger",
        "{path} belongs to user {user}, to whom the root does not; find out who made it, and run: rm -r {path} (or,"
        " when it is right: chown {me} {path})",
    )
    OWN_OPEN = "own-open", "{path} can be written by every user; run: chmod o-w {path}"
    LOCK_HANGS = (
        "lock-hangs",
        "its run lock {path} could not be taken within {seconds:g} s: its storage answers reads and no writes; see"
        " whether its disk or file server is in order",
    )
    LOCK_STUCK = (
        "lock-stuck",
        "process {pid} of an earlier run still hangs on its run lock {path} and cannot be killed: its storage answers"
        " reads and no writes; see whether its disk or file server is in order",
    )
    LOCK_LOST = "lock-lost", "the process that held its run lock {path} was killed"


class Reason(str):
    """The text of a reason; `code` says which one it is."""

    __slots__ = ("code",)
    code: Code

    def __new__(cls, text: str, code: Code) -> Reason:
        reason = super().__new__(cls, text)
        reason.code = code
        return reason

    def __getnewargs__(self) -> tuple[str, Code]:  # type: ignore[override]
        return str(self), self.code


def code_of(why: str) -> Code:
    """Return the code of a reason; of plain text, which came from outside, UNKNOWN."""
    return why.code if isinstance(why, Reason) else Code.UNKNOWN


def reason_of(error: Exception) -> str:
    """Return the reason that an error was raised with, with its code where it has one."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, Reason) else str(error)
