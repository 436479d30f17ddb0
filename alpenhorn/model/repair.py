"""Data of repairs: corrupt and missing copies, and the good copies that can replace them."""

from typing import NamedTuple


class GoodCopy(NamedTuple):
    """A good copy that can replace a bad one."""

    node_id: int
    wants_file: str
    ready: bool


class BadCopy(NamedTuple):
    """A corrupt or missing copy, with all that decides how to replace it.

    `acq`, `name`, `size_b`, `md5sum`: None if the file has no row.  `good`: the good copies on other nodes.
    `requested`: a pending request for the file into this node's group, 0 for none.  `once_good`: it was once
    good, and so may be replaced; otherwise `found` is the result of the check.
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
