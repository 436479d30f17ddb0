"""The end of a run, as monitoring systems are told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from alpenhorn.errors import DONE


class RunAmount(NamedTuple):
    """Work of one kind: files done and failed, and bytes moved or read."""

    done: int
    failed: int
    bytes: int


class RunEnd(NamedTuple):
    """The end of a run, also of one that could not begin.

    `run_id`: None if it has no row in the index.  `began`, `ended`: naive UTC.  `why`: why it ended early, "" if it did
    not.  `nodes`: names of the nodes that it worked on; `left_out`: of those that it could not work on, because they
    failed or another run holds them.  `lines`: failures and notes as printed.  `amounts`: by kind of work.
    """

    host: str
    run_id: int | None
    began: datetime
    ended: datetime
    exit_status: int
    why: str
    nodes: tuple[str, ...]
    left_out: tuple[str, ...]
    lines: tuple[str, ...]
    amounts: Mapping[str, RunAmount]

    @property
    def worked(self) -> bool:
        """Whether the run worked on all nodes that it should, and nothing failed."""
        return self.exit_status == DONE and bool(self.nodes) and not self.left_out
