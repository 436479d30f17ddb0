"""Copies that are corrupt or missing, and those that may replace them."""

from typing import NamedTuple


class GoodCopy(NamedTuple):
    """A copy from which a bad one may be mended."""

    node_id: int
    wants_file: str
    ready: bool


class BadCopy(NamedTuple):
    """A copy that is corrupt, or gone without our doing, with everything that decides how it is mended.

    `acq`, `name`, `size_b`, `md5sum` are None when the file's row is gone.  `good`: the good copies on other
    nodes.  `requested`: a pending request for the file into this node's group, 0: none.  `once_good`: it was once
    recorded as good, so that it may be replaced; if not, `found` is what the check said.
    """

    copy_id: int
    file_id: int
    node_id: int
    has_file: str
    acq: str | None
    name: str | None
    size_b: int | None
    md5sum: str | None
    good: tuple[GoodCopy, ...] = ()
    requested: int = 0
    once_good: bool = False
    found: str = ""
