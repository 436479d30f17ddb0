from __future__ import annotations

from alpenhorn.record.copies import good
from alpenhorn.record.run import Run
from tests.record.rows import Rows


def test_a_good_copy_keeps_its_row_and_the_columns_of_others(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", "XY")
    rows.copy(file_id, "two", "MN")
    for space_b in (100, None):
        rows.index.retry(
            lambda space_b=space_b: good(  # type: ignore[misc]
                rows.index, run, rows.fact("one"), [(file_id, space_b)], "pulled", ["why"]
            )
        )
        assert rows.all(
            "SELECT id, has_file, size_b FROM archivefilecopy WHERE node_id = ?", rows.node["one"]
        ) == [(copy_id, "Y", space_b)]
    assert rows.state(file_id, "two") == "MN"


def test_nothing_good_records_nothing(rows: Rows, run: Run) -> None:
    good(rows.index, run, rows.fact("one"), [], "pulled", [])
    assert rows.all("SELECT * FROM sync_event") == []


def test_edges_in_a_circle_come_to_an_end(rows: Rows, run: Run) -> None:
    rows.edge("one", "two", autosync=1, autoclean=1)
    rows.edge("two", "one", autosync=1, autoclean=1)
    file_id = rows.file("a")
    rows.copy(file_id, "two", "YY")
    good(rows.index, run, rows.fact("one"), [(file_id, 1)], "pulled", ["why"])
    assert rows.pending("one") == rows.pending("two") == []
    assert rows.state(file_id, "two") == "YN"
