"""With kept sums, `node sync` requests what it requests without them, and reads only parts where something lacks."""

from __future__ import annotations

import datetime
import random

import pytest

from alpenhorn.coordinator.tallies import refresh
from alpenhorn.scan.files_to_request import RequestSelection, narrowed, new_requests
from alpenhorn.scan.tallies import PART
from tests.coordinator.parts import change, in_part, later
from tests.fixtures.rows import Rows

MINUTE = datetime.timedelta(minutes=1)
PARTS = 10
FILES = 6  # in each part
NODES = ("field", "one", "two", "one_too")


def requested(rows: Rows, selection: RequestSelection) -> set[int]:
    return {
        file_id
        for part in new_requests(selection)
        for (file_id,) in rows.index.execute(f"SELECT f.id {part.sql}", part.values).fetchall()
    }


def ranges(rows: Rows, selection: RequestSelection) -> list[int] | None:
    """The numbers of the parts that are looked at; None: all, by the index on nodes."""
    found = narrowed(rows.index, selection).ranges
    if found is None:
        return None
    return [part for first, end in found for part in range(first // PART, end // PART)]


@pytest.fixture
def wanted(rows: Rows) -> RequestSelection:
    """Ten parts; of each file, field has a good copy, and one or one_too, the two nodes of a group, in turn."""
    for part in range(PARTS):
        for number in range(1, FILES + 1):
            file_id = in_part(rows, part, number)
            rows.copy(file_id, "field", "YY")
            rows.copy(file_id, "one" if number % 2 else "one_too", "YY")
            rows.copy(file_id, "two", "NN")
    refresh(rows.index, lambda: True)
    return RequestSelection(rows.node["field"], rows.group["one"])


def test_nothing_is_read_if_the_group_has_all(rows: Rows, wanted: RequestSelection) -> None:
    assert ranges(rows, wanted) == [] and new_requests(narrowed(rows.index, wanted)) == []


def test_a_part_is_read_in_which_a_copy_is_corrupt(rows: Rows, wanted: RequestSelection) -> None:
    for has in "XNM":
        rows.do("UPDATE archivefilecopy SET has_file = 'Y'")
        rows.do("UPDATE archivefilecopy SET has_file = 'N' WHERE node_id = ?", rows.node["two"])
        rows.do(
            "UPDATE archivefilecopy SET has_file = ? WHERE file_id = ? AND node_id = ?",
            *(has, 4 * PART + 1, rows.node["one"]),
        )
        later(rows, MINUTE * 60 * 25)
        refresh(rows.index, lambda: True)
        assert ranges(rows, wanted) == [4]
        assert requested(rows, narrowed(rows.index, wanted)) == {4 * PART + 1}


def test_as_many_other_files_are_not_the_same_files(rows: Rows, wanted: RequestSelection) -> None:
    lost, found = 3 * PART + 1, in_part(rows, 3, FILES + 1)
    rows.do("DELETE FROM archivefilecopy WHERE file_id = ? AND node_id <> ?", lost, rows.node["field"])
    rows.copy(found, "one", "YY")
    later(rows, MINUTE * 60 * 25)
    refresh(rows.index, lambda: True)
    assert ranges(rows, wanted) == [3] and requested(rows, narrowed(rows.index, wanted)) == {lost}


def test_a_group_that_has_every_file_lacks_none_of_a_node(rows: Rows, wanted: RequestSelection) -> None:
    rows.do("DELETE FROM archivefilecopy WHERE node_id = ? AND file_id % 3 = 0", rows.node["field"])
    later(rows, MINUTE * 60 * 25)
    refresh(rows.index, lambda: True)
    assert ranges(rows, wanted) == []


def test_a_part_that_was_changed_is_read(rows: Rows, wanted: RequestSelection) -> None:
    change(rows, 7 * PART + 2, "XY", MINUTE)
    change(rows, 8 * PART + 2, "YY", MINUTE * 100)
    rows.do("UPDATE archivefilecopy SET has_file = 'Y' WHERE node_id = ?", rows.node["field"])
    new = in_part(rows, PARTS)
    rows.copy(new, "field", "YY")
    change(rows, new, "YY", MINUTE)
    selection = narrowed(rows.index, wanted)
    assert selection.ranges is None  # three of ten: not worth it
    more = RequestSelection(rows.node["two"], rows.group["field"])
    assert ranges(rows, more) is None
    rows.do("DELETE FROM archivefilecopy WHERE file_id = ?", new)
    rows.do("DELETE FROM archivefile WHERE id = ?", new)
    rows.do("UPDATE archivefilecopy SET last_update = '2020-01-01 00:00:00' WHERE file_id = ?", 8 * PART + 2)
    assert ranges(rows, wanted) == [7]
    assert requested(rows, narrowed(rows.index, wanted)) == {7 * PART + 2}


def test_without_sums_all_copies_of_the_node_are_read(rows: Rows, wanted: RequestSelection) -> None:
    rows.do("DELETE FROM sync_tally_part")
    assert ranges(rows, wanted) is None


def test_a_selection_of_files_or_acquisitions_is_not_narrowed(rows: Rows, wanted: RequestSelection) -> None:
    for selection in (wanted._replace(files=(1,)), wanted._replace(acqs=(rows.acq,))):
        assert narrowed(rows.index, selection) == selection


def test_requests_are_those_without_sums_whatever_was_changed(rows: Rows, wanted: RequestSelection) -> None:
    chance, narrow = random.Random(1), 0
    for _ in range(60):
        part = chance.choice((0, 5))
        change_one(
            rows,
            part * PART + chance.randint(1, FILES),
            chance.choice(NODES),
            chance.choice("YYYXMN"),
            chance,
        )
        if chance.random() < 0.3:
            later(rows, MINUTE * chance.choice((20, 130)))
            refresh(rows.index, lambda: chance.random() < 0.9)
        targets = chance.choice(((), (rows.group["two"],)))
        selection = RequestSelection(rows.node[chance.choice(NODES[:3])], rows.group["one"], targets=targets)
        found = narrowed(rows.index, selection)
        narrow += found.ranges is not None
        assert requested(rows, found) == requested(rows, selection)
    assert narrow > 10


def change_one(rows: Rows, file_id: int, node: str, has: str, chance: random.Random) -> None:
    rows.do("DELETE FROM archivefilecopy WHERE file_id = ? AND node_id = ?", file_id, rows.node[node])
    rows.copy(file_id, node, f"{has}Y")
    at = rows.index.now() - MINUTE * chance.choice((0, 30, 110))
    rows.do(
        "UPDATE archivefilecopy SET last_update = ? WHERE file_id = ? AND node_id = ?",
        at,
        file_id,
        rows.node[node],
    )
