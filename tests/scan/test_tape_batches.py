"""Copies on nodes with tape as keepers: only those that are on tape for certain count."""

from __future__ import annotations

import pytest

from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.scan.deletions import pages, read
from tests.fixtures.rows import Rows

NOT_YET = ("one: not on tape yet",)


def the_fact(rows: Rows, **evidence: bool) -> DeletionFact:
    """Return the fact about a released copy on `field`, of a file with a good copy on `one`."""
    (page,) = pages(rows.index, rows.node["field"], "Y", "N", 10)
    (fact,) = read(rows.index, rows.node["field"], page, 0, Evidence(**evidence)).facts
    return fact


@pytest.fixture
def file_id(rows: Rows) -> int:
    """A file that is on tape on node `one`, and released on `field`."""
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    rows.copy(file_id, "one", "YY")
    rows.do("UPDATE storagenode SET io_class = 'Library' WHERE name = 'one'")
    rows.insert(
        "sync_node",
        node_id=rows.node["one"],
        compared=0,
        event_id=0,
        files=0,
        tape_class="Library",
        needs_tape=1,
    )
    rows.on_tape(file_id, "one")
    return file_id


def test_a_copy_on_tape_counts(rows: Rows, file_id: int) -> None:
    assert the_fact(rows).others == ("one",)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sync_tape SET state = 'collecting'",
        "UPDATE sync_tape SET state = 'asked'",
        "UPDATE sync_tape SET md5sum = ''",
        "DELETE FROM sync_tape",  # the daemon recorded the copy
        f"UPDATE archivefile SET md5sum = '{'f' * 32}'",  # another file by now
        "UPDATE archivefile SET md5sum = NULL",
        "UPDATE sync_medium SET medium = 'exchanged'",
    ],
)
def test_a_copy_without_proof_that_it_is_on_tape_does_not_count(
    rows: Rows, file_id: int, change: str
) -> None:
    rows.do(change)
    fact = the_fact(rows)
    assert fact.others == () and fact.uncounted == NOT_YET


def test_a_copy_counts_on_disk_if_the_class_says_so(rows: Rows, file_id: int) -> None:
    rows.do("UPDATE sync_node SET needs_tape = 0")
    rows.do("DELETE FROM sync_tape")
    assert the_fact(rows).others == ("one",)


def test_a_copy_needs_tape_unless_the_class_is_known_to_say_otherwise(rows: Rows, file_id: int) -> None:
    rows.do("UPDATE sync_node SET needs_tape = NULL")
    rows.do("DELETE FROM sync_tape")
    assert the_fact(rows).uncounted == NOT_YET


@pytest.mark.parametrize("recorded", ["NULL", "'Other'"])
def test_no_copy_counts_before_a_run_has_recorded_what_its_class_says(
    rows: Rows, file_id: int, recorded: str
) -> None:
    rows.do(f"UPDATE sync_node SET tape_class = {recorded}, needs_tape = 0")
    (why,) = the_fact(rows).uncounted
    assert "no run has recorded yet whether copies on it must be on tape" in why


def test_a_copy_needs_tape_until_a_run_has_seen_that_the_class_is_another_one(
    rows: Rows, file_id: int
) -> None:
    """What is on the disk may be stubs."""
    rows.do("UPDATE storagenode SET io_class = NULL WHERE name = 'one'")
    rows.do("DELETE FROM sync_tape")
    assert the_fact(rows).uncounted == NOT_YET


def test_a_batch_keeps_the_copy_that_it_puts_on_tape(rows: Rows, file_id: int) -> None:
    rows.do("UPDATE storagenode SET io_class = 'Library' WHERE name = 'field'")
    assert the_fact(rows).batch == ""
    rows.do("UPDATE sync_tape SET state = 'asked', node_id = ?", rows.node["field"])
    assert the_fact(rows).batch == "batch"
