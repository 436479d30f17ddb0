"""Copies that are read, and the jobs that do it."""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import AttemptFact, Verdict
from alpenhorn.reasons import Why


class CheckFact(NamedTuple):
    """One copy on a node of this host that is to be read: a suspect one, or one whose turn has come.

    `fault`: why its rows cannot be relied on, "" when they can.
    """

    copy_id: int
    file_id: int
    node_id: int
    acq: str | None
    name: str | None
    size_b: int | None
    md5sum: str | None
    attempt: AttemptFact | None = None
    has_file: str = "M"
    wants_file: str = "Y"
    ready: bool = True
    fault: Why = ""


class CheckFile(NamedTuple):
    """`had` and `wants`: the copy's state when it was handed out; a verdict is for a copy in that state."""

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    md5sum: str | None
    had: str = "M"
    wants: str = "Y"


class CheckJob(NamedTuple):
    node: NodeFact
    files: tuple[CheckFile, ...]


class CheckResult(NamedTuple):
    """`linked`: the file has more than one name."""

    file: CheckFile
    verdict: Verdict
    space_b: int | None = None
    error: Why = ""
    linked: bool = False
