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

    # --- other hosts

    HOST_UNREACHABLE = "host-unreachable", "host {host} cannot be reached: {detail}"
    """ssh could not connect: the host is down, the address is wrong, or a firewall is in the way."""
    HOST_KEY_CHANGED = "host-key-changed", "host {host} shows another host key than before: {detail}"
    """The host was installed anew, or another machine answers at its address."""
    HOST_KEY_UNKNOWN = "host-key-unknown", "host {host} has a host key that is not known here: {detail}"
    """Nobody has accepted the host's key for the user running alpenhorn."""
    HOST_REFUSES_LOGIN = "host-refuses-login", "host {host} refuses the login: {detail}"
    """The host accepts no key of the user running alpenhorn."""
    HOST_RESTRICTS_COMMANDS = (
        "host-restricts-commands",
        "host {host} does not allow that command with this key: {detail}",
    )
    """The key is restricted on the host, as with rrsync, to other commands than the one that was needed."""
    HOST_RESTRICTS_LOOK = (
        "host-restricts-look",
        'host {host} allows only rsync with this key, so that its copies cannot be looked at (delete_evidence = "stat"'
        " takes a key that may run commands): {detail}",
    )
    """The key is restricted on the host, and looking at copies before a deletion takes a shell there."""
    HOST_WITHOUT_RSYNC = "host-without-rsync", "host {host} has no rsync on the login's PATH: {detail}"
    """rsync is not installed there, or not where a login without a terminal looks."""
    HOST_PRINTS_AT_LOGIN = (
        "host-prints-at-login",
        "host {host} prints text when a shell starts, which corrupts rsync's data; remove that from the login's"
        " start-up files ({detail})",
    )
    """A start-up file such as .bashrc writes to standard output without a terminal."""
    HOST_SESSION_FAILED = "host-session-failed", "the session with host {host} failed: {detail}"
    """ssh or the program that it started ended with an error."""
    CONNECTION_LOST = "connection-lost", "the connection to host {host} broke: {detail}"
    """The session ended before all files had arrived."""
    TRANSFER_STALLED = (
        "transfer-stalled",
        "timed out: no data came from host {host} for {seconds:g} s (stall_timeout)",
    )
    """The session was ended since nothing had arrived for stall_timeout; what had arrived is kept."""
    PULL_TIMED_OUT = "pull-timed-out", "timed out: the pull from host {host} did not end within {seconds:g} s"
    """The session was ended at the deadline of its job (pull_timeout_base, pull_bytes_per_second)."""
    RSYNC_TOO_OLD = (
        "rsync-too-old",
        "{rsync} is version {version}, and alpenhorn needs {oldest} or later; install a newer rsync",
    )
    """The rsync of this host lacks options that pulls use."""


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
