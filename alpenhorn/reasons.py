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
    NAME_IMPOSSIBLE = (
        "name-impossible",
        "the file system of node {node} ({kind}) cannot hold a file called {name!r}; rename the file, or keep it"
        " elsewhere",
    )
    NAME_TAKEN = (
        "name-taken",
        "the file system of node {node} ({kind}) takes {path!r} and {other!r} for one name; rename one of the two, or"
        " keep one of them elsewhere",
    )
    FILE_TOO_LARGE = (
        "file-too-large",
        "the file system of node {node} ({kind}) cannot hold a file of {size_b} bytes; keep it elsewhere, or format the"
        " node's disk with exFAT or ext4",
    )
    LARGER_THAN_POSSIBLE = (
        "larger-than-possible",
        "the destination's file system, or the limit of the user running alpenhorn (ulimit -f), allows no file of that"
        " length",
    )
    NOT_SHARED = (
        "not-shared",
        "{path}: permission denied; where several users run alpenhorn on one root, all of them need a common"
        " group that may write to it (chgrp -R GROUP {root}; chmod -R g+rwX {root}; find {root} -type d -exec chmod g+s"
        " {{}} +)",
    )
    NO_INODES = (
        "no-inodes",
        "no room on {node}: its file system has {left} free inodes, of which each file and directory takes one; delete"
        " or pack small files there, or make the file system anew with more inodes (mke2fs -i)",
    )
    TOO_MANY_OPEN_FILES = (
        "too-many-open-files",
        "too many open files: raise the limit of the user running alpenhorn (ulimit -n), or of the system"
        " (fs.file-max)",
    )
    SOURCE_INACTIVE = "source-inactive", "source node {node} is not active"


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
