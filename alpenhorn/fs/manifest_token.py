"""The token in the first line of a manifest, which every run reads from every node; the rest: `fs.manifest`."""

from __future__ import annotations

UNREADABLE = "?"  # stands for the token of what is no manifest, and is none
_DIGITS = frozenset(b"0123456789abcdef")


def token_in(head: bytes) -> str:
    """The token of the manifest that begins with `head`; UNREADABLE when it is none."""
    line, end, _ = head.partition(b"\n")
    # Without a regular expression, whose compiling takes longer than all else that is done here.
    words = line.split(b" ")
    if not end or len(words) != 5 or words[:3] != [b"#", b"alpenhorn", b"manifest"]:
        return UNREADABLE
    version, token = words[3:]
    if version not in (b"1", b"2") or len(token) != 32 or not _DIGITS.issuperset(token):
        return UNREADABLE
    return token.decode()
