"""The token in the first line of a manifest.

Apart from `fs.manifest`, because every run reads it from every node.
"""

from __future__ import annotations

UNREADABLE = "?"  # returned instead of a token for a file that is no manifest
_DIGITS = frozenset(b"0123456789abcdef")


def token_in(head: bytes) -> str:
    """Return the token of the manifest that begins with `head`; UNREADABLE if it is not one."""
    line, end, _ = head.partition(b"\n")
    # No regular expression, since compiling one takes longer than all the rest.
    words = line.split(b" ")
    if not end or len(words) != 5 or words[:3] != [b"#", b"alpenhorn", b"manifest"]:
        return UNREADABLE
    version, token = words[3:]
    if version not in (b"1", b"2") or len(token) != 32 or not _DIGITS.issuperset(token):
        return UNREADABLE
    return token.decode()
