from __future__ import annotations

import datetime
import itertools

import pytest

from alpenhorn.edits import acqs as edit_acq
from alpenhorn.edits.files import create, modify
from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create as create_index
from alpenhorn.model.deletions import DeleteFile, DeleteResult, Evidence
from alpenhorn.model.tasks import Verdict
from alpenhorn.plan.deletions import decide
from alpenhorn.record import deletions
from alpenhorn.record.copies import NEVER_READ, verified, with_evidence
from alpenhorn.record.run import Run
from alpenhorn.scan.deletions import pages, read
from tests.fixtures.rows import MD5, WHEN, Rows

NEW = "b6d81b360a5672d80c27430f39153e2c"
LATER = WHEN + datetime.timedelta(hours=1)
NOW = WHEN.replace(tzinfo=datetime.UTC).timestamp()


def attempt(rows: Rows, kind: str, subject_id: int) -> None:
    rows.insert(
        "sync_attempt",
        kind=kind,
        subject_id=subject_id,
        count=3,
        last=WHEN,
        next=LATER,
        blame="source",
        error="MD5 differs",
    )


def test_a_copy_changes_from_good_or_corrupt_to_suspect_and_in_nothing_else(rows: Rows) -> None:
    sql = "SELECT * FROM archivefilecopy ORDER BY id"
    file_id, other = rows.file("a"), rows.file("b")
    states = ["".join(pair) for pair in itertools.product("NYMX", "YMN")]
    copies = []
    for number, state in enumerate(states):
        node_id = rows.insert(
            "storagenode",
            name=f"n{number}",
            group_id=rows.group["two"],
            active=1,
            auto_import=0,
            auto_verify=0,
            archive=0,
            min_avail_gb=0,
        )
        rows.node[f"n{number}"] = node_id
        copies.append(rows.copy(file_id, f"n{number}", state))
    rows.copy(other, "n0", "YY")
    before = rows.all(sql)
    done = modify(rows.index, file_id, None, NEW, LATER)
    assert (done.changed, done.size_b, done.md5sum) == (True, 10, NEW)
    # No check reads a corrupt copy that is released.
    turned = [number for number, state in enumerate(states) if state[0] == "Y" or state in ("XY", "XM")]
    assert sorted(done.suspect) == [rows.node[f"n{number}"] for number in turned]
    assert done.corrupt == []
    for old, new in zip(before, rows.all(sql), strict=True):
        differing = [value for was, value in zip(old, new, strict=True) if str(was) != str(value)]
        if old[0] in [copies[number] for number in turned]:
            assert [str(value) for value in differing] == ["M", str(LATER)]
        else:
            assert differing == []


def test_released_archive_copies_do_not_count_as_good_any_more(rows: Rows, run: Run) -> None:
    """A copy that was good by the old values must not permit the deletion of another."""

    def left_over() -> str:
        node = rows.fact("one")
        (page,) = pages(rows.index, node.id, "Y", "N", 10)
        reading = read(rows.index, node.id, page, run.id, Evidence())
        return decide(reading.facts[0], reading.archive, 2, NOW)

    file_id = rows.file("a")
    for node in ("one", "one_too", "two"):
        rows.copy(file_id, node, "YN")
    assert left_over() == ""
    modify(rows.index, file_id, 11, None, LATER)
    rows.do(
        "UPDATE archivefilecopy SET has_file = 'Y' WHERE file_id = ? AND node_id = ?",
        file_id,
        rows.node["one"],
    )
    assert "has 0" in left_over()


def test_changed_length_or_sum_drops_verifications_and_attempts_of_the_file(rows: Rows) -> None:
    file_id, other = rows.file("a"), rows.file("b")
    kept = []
    for file in (file_id, other):
        for node in ("one", "two"):
            rows.copy(file, node, "YY")
            verified(rows.index, rows.node[node], [file], str(WHEN))
        pending, done = rows.request(file), rows.request(file, completed=1)
        attempt(rows, "pull", pending)
        attempt(rows, "pull", done)
        kept += [done] if file == file_id else [pending, done]
    modify(rows.index, file_id, 10, MD5, LATER)  # as they are
    assert len(rows.attempts("pull")) == 4
    modify(rows.index, file_id, 11, None, LATER, reverify=False)
    assert rows.state(file_id, "one") == "YY"
    # That there were good copies stays known, and when they were read does not.
    read = rows.all("SELECT file_id FROM sync_verification WHERE verified <> ?", NEVER_READ)
    assert {row[0] for row in read} == {other}
    assert rows.all("SELECT COUNT(*) FROM sync_verification") == [(4,)]
    assert sorted(row[0] for row in rows.attempts("pull")) == sorted(kept)


def test_a_corrupt_copy_that_is_checked_by_new_values_becomes_no_evidence_of_a_good_one(rows: Rows) -> None:
    """A pull must not replace a file that was found at the path, whatever the index has about it."""
    file_id = rows.file("a")
    rows.copy(file_id, "one", "XY")
    modify(rows.index, file_id, None, NEW, LATER)
    assert rows.state(file_id, "one") == "MY"
    assert not with_evidence(rows.index, rows.node["one"], [file_id])


@pytest.mark.parametrize("reverify", [True, False])
def test_a_deletion_under_way_gives_no_copy_its_old_state_back(rows: Rows, run: Run, reverify: bool) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    for node in ("one", "two"):
        rows.copy(file_id, node, "YY")
    field = rows.fact("field")
    (page,) = pages(rows.index, field.id, "Y", "N", 10)
    decided = deletions.claim(rows.index, run, field, page, Evidence(), NOW)
    (granted,) = decided.granted
    modify(rows.index, file_id, None, NEW, LATER, reverify=reverify)
    file = DeleteFile(granted[0].copy_id, file_id, "acq/a", 10, granted[0].has_file)
    deletions.settle(rows.index, run, field, [], [file], {}, "unknown", decided.fences)
    assert rows.state(file_id, "field") == ("MN" if reverify else "YN")


def test_a_deletion_under_way_that_succeeds_is_recorded(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YN")
    for node in ("one", "two"):
        rows.copy(file_id, node, "YY")
    field = rows.fact("field")
    (page,) = pages(rows.index, field.id, "Y", "N", 10)
    decided = deletions.claim(rows.index, run, field, page, Evidence(), NOW)
    (granted,) = decided.granted
    modify(rows.index, file_id, None, NEW, LATER)
    file = DeleteFile(granted[0].copy_id, file_id, "acq/a", 10, granted[0].has_file)
    result = DeleteResult(file, Verdict.DELETED)
    deletions.settle(rows.index, run, field, [result], [], {}, "unknown", decided.fences)
    assert rows.state(file_id, "field") == "NN"


def test_modifying_twice_is_as_good_as_once(rows: Rows) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "one", "YY")
    modify(rows.index, file_id, None, NEW, LATER)
    rows.do("UPDATE archivefilecopy SET has_file = 'Y'")
    assert not modify(rows.index, file_id, 10, NEW, LATER).changed
    assert rows.state(file_id, "one") == "YY"


def test_a_removed_file_is_reported(rows: Rows) -> None:
    with pytest.raises(NotFound):
        modify(rows.index, 99, 1, None, LATER)


def test_creating_a_file_that_is_there_is_refused_and_changes_nothing(rows: Rows) -> None:
    create(rows.index, rows.acq, "acq", "a", 10, MD5, WHEN)
    before = rows.all("SELECT * FROM archivefile")
    with pytest.raises(Refused):
        create(rows.index, rows.acq, "acq", "a", 10, NEW, LATER)
    assert rows.all("SELECT * FROM archivefile") == before


def test_a_name_that_the_index_takes_for_another_is_refused(mariadb_index_url: str) -> None:
    index = Index.open(mariadb_index_url)
    create_index(index)
    for table in ("archiveacq", "archivefile"):
        index.execute(f"ALTER TABLE {table} MODIFY name VARCHAR(64) COLLATE utf8mb4_general_ci NOT NULL")
    rows = Rows(index)
    create(index, rows.acq, "acq", "a", 10, MD5, WHEN)
    with pytest.raises(Refused, match="collation"):
        create(index, rows.acq, "acq", "A", 10, MD5, WHEN)
    with pytest.raises(Refused, match="collation"):
        edit_acq.create(index, "ACQ")
    assert rows.all("SELECT name FROM archivefile") == [("a",)]
    index.close()
