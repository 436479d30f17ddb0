from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from alpenhorn.edits import clean as edit_clean
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.index.selections import SelectionPart, total
from alpenhorn.scan import copies_to_release as candidates
from alpenhorn.scan.copies_to_release import ReleaseSelection
from tests.fixtures.index import MariaDBServer
from tests.fixtures.rows import WHEN, Rows
from tests.record.waiting import await_a_waiter
from tests.scan.statements import counted

pytestmark = pytest.mark.cluster

NOW = datetime.datetime(2026, 8, 1)


def release(rows: Rows, selection: ReleaseSelection) -> int:
    return edit_clean.release(rows.index, candidates.to_release(selection, NOW), selection, NOW)


def cancel(rows: Rows, selection: ReleaseSelection) -> int:
    return edit_clean.cancel(rows.index, candidates.to_cancel(selection), NOW)


def copies(rows: Rows, node: str = "field") -> list[tuple[Any, ...]]:
    """Everything about the copies on a node that a bulk edit must not change."""
    return rows.all(
        "SELECT id, file_id, node_id, has_file, ready, size_b FROM archivefilecopy WHERE node_id = ? ORDER BY id",
        rows.node[node],
    )


def test_only_wants_file_and_last_update_are_touched_and_only_on_the_node(rows: Rows) -> None:
    file_id = rows.file("a")
    for node in ("field", "one"):
        rows.copy(file_id, node, "YY")
    before = copies(rows), rows.all("SELECT * FROM archivefilecopy WHERE node_id = ?", rows.node["one"])
    assert release(rows, ReleaseSelection(rows.node["field"])) == 1
    assert rows.state(file_id, "field") == "YM"
    assert release(rows, ReleaseSelection(rows.node["field"], at_once=True)) == 1
    assert rows.state(file_id, "field") == "YN"
    (stamp,) = rows.all("SELECT last_update FROM archivefilecopy WHERE node_id = ?", rows.node["field"])
    assert str(stamp[0]) == str(NOW) != str(WHEN)
    after = copies(rows), rows.all("SELECT * FROM archivefilecopy WHERE node_id = ?", rows.node["one"])
    assert after == before
    assert cancel(rows, ReleaseSelection(rows.node["field"])) == 1
    assert rows.state(file_id, "field") == "YY"


def test_a_copy_that_is_gone_is_not_revived(rows: Rows) -> None:
    gone, there = rows.file("a"), rows.file("b")
    rows.copy(gone, "field", "NN")
    rows.copy(there, "field", "XN")
    assert cancel(rows, ReleaseSelection(rows.node["field"])) == 1
    assert (rows.state(gone, "field"), rows.state(there, "field")) == ("NN", "XY")


def test_a_claimed_deletion_can_be_cancelled_and_the_claim_stays(rows: Rows) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "MN")
    rows.insert(
        "sync_claim",
        kind="delete",
        file_id=file_id,
        target_id=rows.node["field"],
        node_id=rows.node["field"],
        reserved_b=0,
        host="here",
        run_id=1,
        expires=rows.index.now() + datetime.timedelta(minutes=5),
        fence=1,
    )
    claims = rows.claims()
    assert cancel(rows, ReleaseSelection(rows.node["field"])) == 1
    assert rows.state(file_id, "field") == "MY"
    assert rows.claims() == claims


@pytest.mark.parametrize("edit", ["has_file = 'X'", "has_file = 'N'", "wants_file = 'N'"])
def test_an_edit_between_count_and_change_is_not_undone(rows: Rows, edit: str) -> None:
    first, second = rows.file("a"), rows.file("b")
    rows.copy(first, "field", "YY")
    rows.copy(second, "field", "YY")
    selection = ReleaseSelection(rows.node["field"])
    parts = candidates.to_release(selection, NOW)
    assert total(rows.index, parts).files == 2
    rows.do(f"UPDATE archivefilecopy SET {edit} WHERE file_id = ?", first)
    state = rows.state(first, "field")
    assert edit_clean.release(rows.index, parts, selection, NOW) == 1
    assert (rows.state(first, "field"), rows.state(second, "field")) == (state, "YM")


def count_then_change(
    index: Index, parts: Sequence[SelectionPart], selection: ReleaseSelection, now: datetime.datetime
) -> int:
    """The mutant: the copies are chosen by one statement and changed by another."""
    (part,) = parts
    ids = [row[0] for row in index.execute(f"SELECT c.id {part.sql}", part.values)]
    return sum(
        int(index.execute("UPDATE archivefilecopy SET wants_file = 'M' WHERE id = ?", (id_,)).rowcount)
        for id_ in ids
    )


@pytest.mark.parametrize(
    ("change", "outcome"), [(edit_clean.release, (0, "XN")), (count_then_change, (1, "XM"))]
)
def test_an_edit_that_is_committed_while_the_change_waits_for_its_row_is_not_undone(
    mariadb: MariaDBServer,
    mariadb_index_url: str,
    change: Callable[[Index, Sequence[SelectionPart], ReleaseSelection, datetime.datetime], int],
    outcome: tuple[int, str],
) -> None:
    index = Index.open(mariadb_index_url)
    create(index)
    rows = Rows(index)
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YY")
    selection = ReleaseSelection(rows.node["field"])
    parts = candidates.to_release(selection, NOW)
    other, watch = mariadb.connect(), mariadb.connect()
    done: list[int] = []

    def work() -> None:
        done.append(change(index, parts, selection, NOW))
        index.disconnect()  # the connection is this thread's

    thread = threading.Thread(target=work)
    try:
        other.select_db(index.db.database)
        other.begin()
        other.query("UPDATE archivefilecopy SET has_file = 'X', wants_file = 'N'")
        thread.start()
        await_a_waiter(watch, thread)
        other.commit()
        thread.join()
    finally:
        other.close()
        watch.close()
    assert (done[0], rows.state(file_id, "field")) == outcome
    index.close()


def test_the_statements_grow_with_parts_and_not_with_files(rows: Rows) -> None:
    ids = [rows.file(f"f{number}") for number in range(1200)]
    for file_id in ids:
        rows.copy(file_id, "field", "YY")
    field = ReleaseSelection(rows.node["field"])
    with counted() as statements:
        assert release(rows, field) == 1200
        assert cancel(rows, field) == 1200
    assert statements.count <= 8  # begin and commit may be among them
    listed = field._replace(files=ids, at_once=True)
    with counted() as statements:
        assert release(rows, listed) == 1200
        assert cancel(rows, listed) == 1200
    assert statements.count <= 12
