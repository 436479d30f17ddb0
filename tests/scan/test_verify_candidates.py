from __future__ import annotations

from alpenhorn.index.connection import Index
from alpenhorn.scan import verify_candidates as candidates
from alpenhorn.scan.sync_candidates import Part
from alpenhorn.scan.verify_candidates import Selection, State
from tests.fixtures.rows import Rows


def plan(index: Index, part: Part) -> str:
    rows = index.execute(f"EXPLAIN QUERY PLAN SELECT COUNT(*) {part.sql}", part.values)
    return "\n".join(row[3] for row in rows)


def test_a_node_is_gone_through_by_states_and_all_else_is_looked_up(sqlite_rows: Rows) -> None:
    selection = Selection(1, frozenset(State))
    for part in (*candidates.to_check(selection), *candidates.to_cancel(selection)):
        found = plan(sqlite_rows.index, part)
        assert "sync_copy_by_state" in found and "SCAN" not in found, found
    (part,) = candidates.to_cancel(selection)
    assert "k USING COVERING INDEX sync_claim" in plan(sqlite_rows.index, part)


def test_a_list_of_files_is_looked_up_by_file(sqlite_rows: Rows) -> None:
    """By the index on states the cost would be parts of the list times copies on the node."""
    index = sqlite_rows.index
    selection = Selection(1, frozenset(State), files=range(500))
    for part in (*candidates.to_check(selection), *candidates.to_cancel(selection)):
        assert "c USING INDEX archivefilecopy_file_id_node_id (file_id=? AND node_id=?)" in plan(index, part)
    # The mutant without the +.
    (part,) = candidates.to_cancel(selection)
    assert "sync_copy_by_state" in plan(index, Part(part.sql.replace("+c.", "c."), part.values))
