"""What lasts and needs attention, such as a node that is not there."""

# Without `from __future__ import annotations`, as in `alpenhorn.model`.

from typing import NamedTuple

IMPORTS = "import from "
"""Begins the subjects that are files which are not imported: a run that does not meet one may not have looked at its
directory, in which nothing has changed."""

Key = tuple[str, str]
"""Code of the reason, and the node, host or other thing that it is about."""


class Condition(NamedTuple):
    """Times in POSIX seconds; `reported` None: not yet."""

    code: str
    subject: str
    why: str
    began: float
    seen: float
    reported: float | None

    @property
    def key(self) -> Key:
        return self.code, self.subject
