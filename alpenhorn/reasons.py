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

    # What lasts, and how it ends.
    NODE_LEFT_OUT = "node-left-out", "node {node} is left out: {why}"
    NODE_LOST = "node-lost", "node {node}: {why}"
    NODE_BACK = "node-back", "node {node} is back, after {span}"
    HOST_SILENT = "host-silent", "host {host} could not be reached ({error})"
    SOURCE_UNSEEN = "source-unseen", "{error}"
    STUCK = (
        "stuck",
        "another run has held {nodes} for {age} ({holder}); see there what it does, and end it if it hangs",
    )
    HOST_BACK = "host-back", "host {host} answers again, after {span}"
    OVER = "over", "no longer, after {span}: {why}"

    # Back-off by host and by node.
    HOST_WAITS = (
        "host-waits",
        "host {host} could not be reached: {tries} failed attempts, the last at {last} UTC ({error}); next attempt at"
        " {next} UTC",
    )
    SOURCE_WAITS = (
        "source-waits",
        "node {node} was not found on its host {host}: {tries} failed attempts, the last at {last} UTC; next attempt at"
        " {next} UTC",
    )
    SOURCE_PROBED = (
        "source-probed",
        "{source} did not answer before; another request tries first whether it does",
    )

    # How a run ended that did not come to its end, or left something out.
    RUN_NO_NODE = "run-no-node", "no node of host {host} could be worked on"
    RUN_NODES_LOST = "run-nodes-lost", "every node was lost while the run went on"
    RUN_STOPPED = "run-stopped", "stopped as asked"
    RUN_OUT_OF_TIME = "run-out-of-time", "the time limit was reached"
    RUN_NO_WORKERS = "run-no-workers", "the worker processes could not be started: {error}"
    RUN_INDEX_LOST = "run-index-lost", "the index was lost: {error}"
    RUN_SIGNAL = "run-signal", "ended at once by {signal}"
    RUN_NO_MEMORY = "run-no-memory", "out of memory"
    RUN_FAILED = "run-failed", "{error}"
    RUN_UNHEARD = "run-unheard", "its messages could not be printed: {error}"
    RUN_NOT_ENDED = "run-not-ended", "did not end: killed or the machine went down"


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
