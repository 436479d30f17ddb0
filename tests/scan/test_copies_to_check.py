from __future__ import annotations

from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.scan import copies_to_check as candidates
from alpenhorn.scan.copies_to_check import CheckSelection, RecordedState
from tests.fixtures.rows import Rows


def plan(index: Index, part: SelectionPart) -> str:
    rows = index.execute(f"EXPLAIN QUERY PLAN SELECT COUNT(*) {part.sql}", part.values)
    return "\n".join(row[3] for row in rows)


def test_a_node_is_gone_through_by_states_and_all_else_is_looked_up(sqlite_rows: Rows) -> None:
    selection = CheckSelection(1, frozenset(RecordedState))
    for part in (*candidates.to_check(selection), *candidates.to_cancel(selection)):
        found = plan(sqlite_rows.index, part)
        assert "sync_copy_by_state" in found and "SCAN" not in found, found
    (part,) = candidates.to_cancel(selection)
    assert "k USING COVERING INDEX sync_claim" in plan(sqlite_rows.index, part)


def test_a_list_of_files_is_looked_up_by_file(sqlite_rows: Rows) -> None:
    """By the index on states the cost would be parts of the list times copies on the node."""
    index = sqlite_rows.index
    selection = CheckSelection(1, frozenset(RecordedState), files=range(500))
    for part in (*candidates.to_check(selection), *candidates.to_cancel(selection)):
        assert "c USING INDEX archivefilecopy_file_id_node_id (file_id=? AND node_id=?)" in plan(index, part)
    # The mutant without the +.
    (part,) = candidates.to_cancel(selection)
    assert "sync_copy_by_state" in plan(index, SelectionPart(part.sql.replace("+c.", "c."), part.values))
