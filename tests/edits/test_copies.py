from __future__ import annotations

import pytest

from alpenhorn.edits import copies as edit_copy
from alpenhorn.errors import NotFound
from alpenhorn.record.copies import once_good, with_evidence
from tests.fixtures.rows import WHEN, Rows


@pytest.mark.parametrize(
    ("before", "evidence", "state", "after"),
    [
        ("YY", False, "Suspect", True),
        ("YY", False, "Corrupt", True),
        ("YY", True, "Healthy", True),
        ("MY", False, "Corrupt", False),  # an admin's word is no evidence
        ("MY", True, "Corrupt", True),
        ("XY", True, "Suspect", True),
        ("XY", False, "Suspect", False),
        ("NY", True, "Suspect", False),  # of what was there before
        ("NY", True, "Corrupt", False),
        (None, True, "Corrupt", False),
        ("XY", True, "Missing", False),
        ("YY", True, "Absent", False),
    ],
)
def test_state_set_by_hand_keeps_or_drops_the_evidence_of_a_good_copy(
    rows: Rows, before: str | None, evidence: bool, state: str, after: bool
) -> None:
    file_id, node_id = rows.file("a"), rows.node["one"]
    if before:
        rows.copy(file_id, "one", before)
    if evidence:
        once_good(rows.index, node_id, [file_id])
    edit_copy.set_state(rows.index, rows.named(file_id), node_id, state, None, WHEN)
    assert bool(with_evidence(rows.index, node_id, [file_id])) is after


@pytest.mark.parametrize(
    ("before", "evidence", "after"), [("YY", False, True), ("XY", False, False), ("NY", True, False)]
)
def test_a_check_asked_for_keeps_the_evidence_of_a_good_copy(
    rows: Rows, before: str, evidence: bool, after: bool
) -> None:
    file_id, node_id = rows.file("a"), rows.node["one"]
    rows.copy(file_id, "one", before)
    if evidence:
        once_good(rows.index, node_id, [file_id])
    edit_copy.suspect(rows.index, file_id, node_id, WHEN)
    assert rows.state(file_id, "one") == "MY"
    assert bool(with_evidence(rows.index, node_id, [file_id])) is after


def test_a_state_is_not_set_for_a_file_that_was_deleted_meanwhile(rows: Rows) -> None:
    file_id = rows.file("a")
    named = rows.named(file_id)
    rows.do("UPDATE archivefile SET name = 'b' WHERE id = ?", file_id)  # as if deleted, and its id used again
    with pytest.raises(NotFound, match="'acq/a': deleted from the index in the meantime"):
        edit_copy.set_state(rows.index, named, rows.node["one"], "Healthy", None, WHEN)
    assert rows.all("SELECT * FROM archivefilecopy") == []
