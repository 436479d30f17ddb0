"""Results of a comparison of a node with its disk, as `alpenhorn reconcile` shows them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.reconcile import KINDS, OTHER, DiskFinding
from alpenhorn.reasons import Code, Reason, Why, code_of

IN_MEMORY_B = 2**20  # of the findings of one kind


class StoredFindings:
    """Findings of one kind, in order, in a temporary file: a disk may hold millions of unknown files."""

    def __init__(self) -> None:
        self.count = 0
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_B, "w+", encoding="ascii")  # noqa: SIM115

    def add(self, finding: DiskFinding) -> None:
        self.count += 1
        # ASCII preserves names that are not valid UTF-8.
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
    """The comparison of one node with its disk.

    `expected`: number of its good copies; `looked`: number compared; `young`: unknown files skipped because they
    changed recently; `suspect`: copies that became suspect.  `complete`: every good copy was compared and every
    difference recorded; otherwise `why` is the obstacle.
    """

    def __init__(self, node: NodeFact) -> None:
        self.node = node
        self.expected = 0
        self.looked = 0
        self.young = 0
        self.suspect = 0
        self.complete = False
        self.why: Why = ""
        self.kept = {kind: StoredFindings() for kind in KINDS}

    @property
    def unrecorded(self) -> bool:
        """Whether all was compared, and nothing recorded because of --dry-run."""
        return bool(self.why) and code_of(self.why) == Code.DRY_RUN

    def agrees(self) -> bool:
        found = any(kept.count for kind, kept in self.kept.items() if kind != OTHER)
        return (self.complete or self.unrecorded) and not found


class Options:
    """Options of a reconciliation.

    `min_age`: seconds since the last change of an unknown file before it is reported; `read`: read all good copies in
    full afterwards; `dry_run`: record nothing.
    """

    def __init__(self, min_age: float, read: bool = False, dry_run: bool = False) -> None:
        self.min_age = min_age
        self.read = read
        self.dry_run = dry_run
