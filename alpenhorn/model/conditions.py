"""Conditions: problems that last, such as a missing disk."""

# No `from __future__ import annotations`: it would slow down the import of named tuples.

from typing import NamedTuple

IMPORTS = "import from "
"""Prefix of the subjects of files that are not imported.

Their conditions last while a run does not see the file, because unchanged directories are not listed.
"""

Key = tuple[str, str]
"""The code of the reason, and the node, host or other subject."""


class Condition(NamedTuple):
    """A problem that lasts.  Times in POSIX seconds; `reported` is None until it has been reported."""

    code: str
    subject: str
    why: str
    began: float
    seen: float
    reported: float | None

    @property
    def key(self) -> Key:
        return self.code, self.subject
