"""Check of the rows of files, and of acquisition and file names that become paths below a root.

Other programs write to the index, so its names are checked before they are used in a plan; `alpenhorn.fs.paths` checks
them again when they are used.
"""

from __future__ import annotations

import re

from alpenhorn.errors import UnsafePath
from alpenhorn.fs.paths import check_relative
from alpenhorn.reasons import Code, Why

MD5 = re.compile(r"[0-9a-fA-F]{32}")
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


def file_fault(acq: str | None, name: str | None, size_b: int | None, md5sum: str | None) -> Why:
    """Return the fault in a file's rows that prevents any pull of it, "" if none."""
    if acq is None or name is None:
        return Code.FILE_ROW_GONE()
    if size_b is None:
        return Code.FILE_LENGTH_MISSING()
    if not md5sum:
        return Code.FILE_MD5_MISSING()
    if size_b < 0 or not MD5.fullmatch(md5sum):
        return Code.FILE_LENGTH_OR_MD5_INVALID()
    return unsafe(acq, name)
