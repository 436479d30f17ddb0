"""Which acquisition and file names may become paths below a root.

The index can be written by others, so its names are looked at before anything is planned with them; the
check at the moment of use is in `alpenhorn.fs.paths`.
"""

from __future__ import annotations

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import check_relative
from alpenhorn.reasons import Code, Why

ACQ_LENGTH = 64
NAME_LENGTH = 255
ELEMENT_BYTES = 255  # the longest name that the usual file systems take


def unsafe(acq: str, name: str) -> Why:
    """Why `acq/name` cannot be a file's path below a root; an empty string when it can."""
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
