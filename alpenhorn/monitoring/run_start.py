"""The start of a run, as metrics and notifications get it; imported before workers are forked, so it is small."""

# No `from __future__ import annotations`: it would slow down the import of named tuples.

from datetime import datetime
from typing import NamedTuple


class RunStart(NamedTuple):
    """The start of a run.

    `command`: "sync", "reconcile" or "node manifest".  `began`: naive UTC.  `partial`: it does not do all work of its
    host: it has --node or --only, or is not a sync.  `watched`: its output goes to a terminal.
    """

    host: str
    command: str
    began: datetime
    partial: bool
    watched: bool
