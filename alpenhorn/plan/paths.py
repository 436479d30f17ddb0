"""Check of acquisition and file names that become paths below a root.

Other programs write to the index, so its names are checked before they are used in a plan; `alpenhorn.fs.paths` checks
them again when they are used.
"""

from __future__ import annotations

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import check_relative
from alpenhorn.reasons import Code, Why

ELEMENT_BYTES = 255  # the longest name that common file systems store


def unsafe(acq: str, name: str) -> Why:
    """Return why `acq/name` cannot be the path of a file below a root, "" if it can."""
    path = f"{acq}/{name}"
    try:
        check_relative(path)
    except UnsafePath as error:
        return Code.PATH_UNSAFE_IN_INDEX(detail=error)
    if len(path) > ELEMENT_BYTES or not path.isascii():
        longest = max(len(element.encode(errors="surrogateescape")) for element in path.split("/"))
        if longest > ELEMENT_BYTES:
            return Code.PATH_ELEMENT_TOO_LONG(path=repr(path), most=ELEMENT_BYTES)
    return ""
