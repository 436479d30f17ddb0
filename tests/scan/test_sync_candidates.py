from __future__ import annotations

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.scan.sync_candidates import Part, Selection, new_requests, pending_requests


def plan(index: Index, part: Part) -> str:
    rows = index.execute(f"EXPLAIN QUERY PLAN SELECT COUNT(*) {part.sql}", part.values)
    return "\n".join(row[3] for row in rows)


@pytest.fixture(params=["sqlite"])
def index_url(sqlite_index_url: str) -> str:
    return sqlite_index_url


def test_what_is_pending_is_looked_up_by_file(index: Index) -> None:
    """By the index on (group, completed, cancelled) the cost would be files times pending requests."""
    for files in (None, (1, 2)):
        (part,) = new_requests(Selection(1, 2, files=files))
        assert "sync_request_by_group" not in plan(index, part)
        assert "sync_request_by_group" in plan(index, Part(part.sql.replace("+q.", "q."), part.values))


def test_a_list_of_files_is_looked_up_by_file(index: Index) -> None:
    """By the indexes on states the cost would be parts of the list times copies on the node."""
    selection = Selection(1, 2, files=(1, 2))
    for part in (*new_requests(selection), *pending_requests(selection)):
        assert "sync_" not in plan(index, part)
    for part in new_requests(Selection(1, 2)):
        assert "sync_copy_by_state" in plan(index, part)
    for part in pending_requests(Selection(1, None)):
        assert "sync_request_by_source" in plan(index, part)
