"""Changes of policies while runs decide about deletions."""

from __future__ import annotations

import datetime

from alpenhorn.model.deletions import Evidence
from alpenhorn.record.deletions import DecidedDeletions, claim
from alpenhorn.scan.deletions import pages
from tests.edits.conftest import Beside
from tests.fixtures.rows import WHEN

NOW = WHEN.replace(tzinfo=datetime.UTC).timestamp()


def test_a_policy_that_is_created_while_a_deletion_waits_is_kept(beside: Beside) -> None:
    """The rows of policies are read after the copies were locked, and not before."""
    rows = beside.rows
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    for node in ("one", "two"):
        rows.copy(file_id, node, "YY")
    run, node = rows.begin(), rows.fact("field")
    (copies,) = pages(rows.index, node.id, "Y", "N", 10)
    found: list[DecidedDeletions] = []
    beside.do("SELECT id FROM archivefilecopy WHERE file_id = %s FOR UPDATE", file_id)
    beside.waits(
        lambda: found.append(claim(rows.index, run, node, copies, Evidence(), NOW)),
        "INSERT INTO sync_policy (name, copies, sites, min_age, priority) VALUES ('p', 3, 1, 0, 0)",
    )
    (decided,) = found
    assert decided.granted == []
    assert [why.code for _, why in decided.refused] == ["policy-needs-copy"]
    assert rows.state(file_id, "field") == "YN"
