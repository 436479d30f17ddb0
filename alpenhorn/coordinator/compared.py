"""What is known of a node that is compared with its disk, as `alpenhorn reconcile` tells it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.reconcile import KINDS, OTHER, DiskFinding
from alpenhorn.reasons import Code, Reason, Why, code_of

IN_MEMORY_B = 2**20  # of the findings of one kind


class Kept:
    """Findings of one kind, in the order in which they came: a disk may hold millions of unknown files."""

    def __init__(self) -> None:
        self.count = 0
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_B, "w+", encoding="ascii")  # noqa: SIM115

    def add(self, finding: DiskFinding) -> None:
        self.count += 1
        # In ASCII, with which bytes that are no text come back as they were.
        code = code_of(finding.why) if finding.why else ""
        self._file.write(json.dumps((*finding[1:], code)) + "\n")

    def __iter__(self) -> Iterator[DiskFinding]:
        self._file.seek(0)
        for line in self._file:
            *values, code = json.loads(line)
            finding = DiskFinding("", *values)
            yield finding._replace(why=Reason(finding.why, Code(code))) if code else finding
        self._file.seek(0, 2)


class Compared:
    """What is known of one node.

    `expected` and `looked`: its good copies, and how many of them were looked at; `young`: unknown files left out for
    their age; `suspect`: copies that are suspect from now on.  `complete`: every good copy was looked at, and what
    differs was recorded; otherwise `why` says what is in the way.
    """

    def __init__(self, node: NodeFact) -> None:
        self.node = node
        self.expected = 0
        self.looked = 0
        self.young = 0
        self.suspect = 0
        self.complete = False
        self.why: Why = ""
        self.kept = {kind: Kept() for kind in KINDS}

    def agrees(self) -> bool:
        return self.complete and not any(kept.count for kind, kept in self.kept.items() if kind != OTHER)


class Options:
    """`min_age`: seconds for which an unknown file must not have changed to be told; `read`: read all good copies in
    full afterwards; `dry_run`: record nothing."""

    def __init__(self, min_age: float, read: bool = False, dry_run: bool = False) -> None:
        self.min_age = min_age
        self.read = read
        self.dry_run = dry_run
