"""The trash of nodes is read by indexes, whatever its size, on both engines."""

from __future__ import annotations

import pytest

from alpenhorn.index.selections import counted
from alpenhorn.scan import files_to_undelete, trash
from alpenhorn.scan.files_to_undelete import UndeleteSelection
from alpenhorn.scan.work import UNDELETED
from tests.fixtures.rows import Rows

FILES, IN_A_BATCH = 20_000, 100
BATCHES = [f"20260102T030405Z-1-{number:04}" for number in range(FILES // IN_A_BATCH)]


@pytest.fixture
def filled(rows: Rows) -> Rows:
    node = rows.node["field"]
    with rows.index.transaction():
        rows.index.executemany(
            "INSERT INTO archivefile (acq_id, name, size_b, md5sum, registered)"
            " SELECT MIN(id), ?, 5, 'x', '2026-01-02 03:04:05' FROM archiveacq",
            [(f"f{number}",) for number in range(FILES)],
        )
        ids = rows.index.values("SELECT id FROM archivefile ORDER BY id")
        rows.index.executemany(
            "INSERT INTO sync_trash (node_id, file_id, batch, trashed, size_b)"
            f" VALUES ({node}, ?, ?, '2026-01-02 03:04:05', 7)",
            [(file_id, BATCHES[place // IN_A_BATCH]) for place, file_id in enumerate(ids)],
        )
    if not rows.index.dialect.in_a_file:
        rows.index.execute("ANALYZE TABLE sync_trash, archivefile, archivefilecopy").fetchall()
    return rows


def plan(rows: Rows, sql: str, values: tuple[object, ...]) -> list[str]:
    """Return the lines of the engine's plan that are about the table of the trash."""
    if rows.index.dialect.in_a_file:
        lines = [str(row[3]) for row in rows.index.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        return [line for line in lines if "sync_trash" in line or line.endswith(" t")]
    # Table, type of access, index, number of rows.
    lines = [f"{row[2]} {row[3]} {row[5]} {row[8]}" for row in rows.index.execute(f"EXPLAIN {sql}", values)]
    return [line for line in lines if "sync_trash" in line or line.split()[0] in ("t", "l")]


def test_batches_and_sums_are_those_of_the_node(filled: Rows) -> None:
    node, other = filled.node["field"], filled.node["one"]
    assert trash.batches(filled.index, node) == BATCHES
    assert trash.batches(filled.index, other) == []
    assert trash.total_b(filled.index, node) == 7 * FILES and trash.total_b(filled.index, other) == 0
    assert len(trash.in_batch(filled.index, node, BATCHES[3])) == IN_A_BATCH
    assert list(trash.asked(filled.index, node)) == []
    filled.index.execute("UPDATE sync_trash SET asked = trashed WHERE batch = ?", (BATCHES[3],))
    (page,) = trash.asked(filled.index, node)
    assert len(page) == IN_A_BATCH and {one.has_file for one in page} == {None}


UNIQUE, BY_FILE, BY_REQUEST = (
    "sync_trash_node_id_batch_file_id",
    "sync_trash_file_id_node_id_batch",
    "sync_trash_node_id_asked",
)


def test_it_is_read_by_indexes(filled: Rows) -> None:
    node = filled.node["field"]
    of_runs: list[tuple[str, tuple[object, ...], str]] = [
        (trash.BATCHES, (node, node), UNIQUE),
        (trash.IN_BATCH, (node, BATCHES[5]), UNIQUE),
        (trash.ASKED_BATCHES, (node,), BY_REQUEST),
        (UNDELETED.format(marks="?"), (node,), BY_REQUEST),
    ]
    for sql, values, expected in of_runs:
        found = plan(filled, sql, values)
        assert found and all(expected in line for line in found), found
    parts = files_to_undelete.to_undelete(UndeleteSelection(node))
    found = plan(filled, f"SELECT COUNT(*) {parts[0].sql}", parts[0].values)
    assert any(BY_FILE in line for line in found), found
    assert counted(filled.index, parts, "t.id", lambda done, of: None).total.files == FILES
