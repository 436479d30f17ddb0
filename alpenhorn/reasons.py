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
    ODD_VALUE = "odd-value", "{place}: {column} holds {value} instead of {kind}; correct the row in the index"
    """A row of the index whose column has a value of the wrong type, which SQLite keeps."""
    STORAGE_CLASS_FAILED = "storage-class-failed", "the storage class {io_class} {did} {owner}: {detail}"
    """What a package's storage class raised, or answered, is no answer."""
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


def reason_of(error: Exception) -> str:
    """Return what an error says, with its code where it has one."""
    said = error.args[0] if error.args else ""
    return said if isinstance(said, Reason) else str(error)


def code_of(why: str) -> Code:
    """Return the code of a reason; of plain text, which came from outside, UNKNOWN."""
    return why.code if isinstance(why, Reason) else Code.UNKNOWN
