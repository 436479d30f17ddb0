from __future__ import annotations

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.selections import PIECE, STEP, SelectionPart, Total, counted, limited, total
from alpenhorn.scan import copies_to_release
from alpenhorn.scan.files_to_request import RequestSelection, new_requests, pending_requests
from tests.fixtures.rows import Rows

pytestmark = pytest.mark.parametrize("index_url", ["sqlite"], indirect=True)


def plan(index: Index, part: SelectionPart) -> str:
    rows = index.execute(f"EXPLAIN QUERY PLAN SELECT COUNT(*) {part.sql}", part.values)
    return "\n".join(row[3] for row in rows)


def test_pending_requests_are_looked_up_by_file(index: Index) -> None:
    """With the index on (group, completed, cancelled), the cost would be files times pending requests."""
    for files in (None, (1, 2)):
        (part,) = new_requests(RequestSelection(1, 2, files=files))
        assert "sync_request_by_group" not in plan(index, part)
        assert "sync_request_by_" in plan(index, SelectionPart(part.sql.replace("+q.", "q."), part.values))


def test_a_list_of_files_is_looked_up_by_file(index: Index) -> None:
    """With the indexes on states, the cost would be parts of the list times copies on the node."""
    selection = RequestSelection(1, 2, files=(1, 2))
    for part in (*new_requests(selection), *pending_requests(selection)):
        assert "sync_" not in plan(index, part)
    for part in new_requests(RequestSelection(1, 2)):
        assert "sync_copy_by_state" in plan(index, part)
    for part in pending_requests(RequestSelection(1, None)):
        assert "sync_request_by_source" in plan(index, part)


# --- counting, and the pieces --------------------------------------------------------------------------


def spread(rows: Rows, ids: dict[int, int | None]) -> None:
    """Good copies on node field with those ids, of files of those lengths."""
    for copy_id, size_b in ids.items():
        file_id = rows.file(f"f{copy_id}", size_b=size_b)
        rows.do("UPDATE archivefilecopy SET id = ? WHERE id = ?", copy_id, rows.copy(file_id, "field", "YY"))


def told(done: int, of: int) -> None:
    assert done < of


def test_the_pieces_are_stretches_of_ids_that_hold_what_was_counted(rows: Rows) -> None:
    ids = {1: 10, STEP - 1: 20, STEP: None, 7 * STEP + 5: 40, 10**6 * STEP: 50}
    spread(rows, ids)
    parts = new_requests(RequestSelection(rows.node["field"], rows.group["one"]))
    found = counted(rows.index, parts, "c.id", told)
    assert found.total == total(rows.index, parts) == Total(5, 120, 1)
    (piece,) = found.pieces
    assert piece.files == 5 and total(rows.index, piece.parts) == found.total
    spread(rows, {5: 1000, 10**6 * STEP + STEP: 1000})
    # What comes later behind the last step is in no piece.
    assert total(rows.index, piece.parts).files == 6
    assert counted(rows.index, parts, "c.id", told).total.files == 7
    assert counted(rows.index, limited(parts[0], (rows.acq + 1,), None, "f.id"), "c.id", told) == (
        Total(0, 0, 0),
        [],
    )


def test_a_piece_has_no_more_files_than_a_transaction_should_have(rows: Rows) -> None:
    """The parts of a list are combined up to the limit; parts without files are left out."""
    ids = [rows.file(f"f{number}") for number in range(30)]
    for file_id in ids[10:]:
        rows.copy(file_id, "field", "YY")
    base = copies_to_release.to_release(
        copies_to_release.ReleaseSelection(rows.node["field"]), rows.index.now()
    )[0]
    # Each part has PIECE / 4 files or none.
    repeat = "JOIN (SELECT 1 AS n UNION ALL SELECT 2) twice ON 1 = 1 WHERE"
    parts = [
        SelectionPart(f"{base.sql.replace('WHERE', repeat, 1)} AND c.file_id = ?", (*base.values, file_id))
        for file_id in ids
    ]
    found = counted(rows.index, parts, "c.id", told)
    assert found.total == Total(40, 400, 0)
    (piece,) = found.pieces
    assert piece.files == 40 <= PIECE and piece.parts == tuple(parts[10:])


def test_a_stretch_of_ids_is_looked_up_by_node_and_id(index: Index) -> None:
    """Otherwise each piece would scan all copies on the node."""
    window = " AND {row} >= 1 AND {row} < 20000"
    selection = copies_to_release.ReleaseSelection(1)
    for parts, row in (
        (new_requests(RequestSelection(1, 2)), "c.id"),
        (pending_requests(RequestSelection(1, 2)), "r.id"),
        (copies_to_release.to_release(selection, index.now()), "c.id"),
        (copies_to_release.to_cancel(selection), "c.id"),
    ):
        (part,) = parts
        found = plan(index, SelectionPart(part.sql + window.format(row=row), part.values))
        assert "rowid>? AND rowid<?)" in found and "SCAN" not in found, found
