from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Sequence

import pytest

from alpenhorn.edits import verify as edit_verify
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.index.selections import SelectionPart, total
from alpenhorn.record.copies import NEVER_READ
from alpenhorn.scan import copies_to_check as candidates
from alpenhorn.scan.copies_to_check import CheckSelection, RecordedState
from tests.fixtures.index import MariaDBServer
from tests.fixtures.rows import WHEN, Rows
from tests.record.waiting import await_a_waiter

NOW = datetime.datetime(2026, 8, 1)
ALL = frozenset(RecordedState)


@pytest.mark.parametrize("edit", ["has_file = 'X'", "has_file = 'N', wants_file = 'N'", "wants_file = 'N'"])
def test_an_edit_between_count_and_change_is_not_undone(rows: Rows, edit: str) -> None:
    first, second = rows.file("a"), rows.file("b")
    rows.copy(first, "field", "YY")
    rows.copy(second, "field", "YY")
    selection = CheckSelection(rows.node["field"], frozenset({RecordedState.HEALTHY}))
    parts = candidates.to_check(selection)
    assert total(rows.index, parts).files == 2
    rows.do(f"UPDATE archivefilecopy SET {edit} WHERE file_id = ?", first)
    state = rows.state(first, "field")
    assert edit_verify.request(rows.index, parts, selection, NOW) == 1
    assert (rows.state(first, "field"), rows.state(second, "field")) == (state, "MY")


def test_a_verdict_between_count_and_cancellation_stands(rows: Rows) -> None:
    first, second = rows.file("a"), rows.file("b")
    rows.copy(first, "field", "MY")
    rows.copy(second, "field", "MY")
    parts = candidates.to_cancel(CheckSelection(rows.node["field"]))
    rows.do("UPDATE archivefilecopy SET has_file = 'X' WHERE file_id = ?", first)
    assert edit_verify.cancel(rows.index, parts, RecordedState.HEALTHY, NOW) == 1
    assert (rows.state(first, "field"), rows.state(second, "field")) == ("XY", "YY")


def count_then_change(
    index: Index, parts: Sequence[SelectionPart], state: RecordedState, now: datetime.datetime
) -> int:
    """The mutant: the copies are chosen by one statement and changed by another."""
    (part,) = parts
    ids = [row[0] for row in index.execute(f"SELECT c.id {part.sql}", part.values)]
    return sum(
        int(index.execute("UPDATE archivefilecopy SET has_file = 'Y' WHERE id = ?", (id_,)).rowcount)
        for id_ in ids
    )


@pytest.mark.parametrize(
    ("change", "outcome"), [(edit_verify.cancel, (0, "XY")), (count_then_change, (1, "YY"))]
)
def test_a_verdict_that_is_committed_while_the_cancellation_waits_for_its_row_stands(
    mariadb: MariaDBServer,
    mariadb_index_url: str,
    change: Callable[[Index, Sequence[SelectionPart], RecordedState, datetime.datetime], int],
    outcome: tuple[int, str],
) -> None:
    index = Index.open(mariadb_index_url)
    create(index)
    rows = Rows(index)
    file_id = rows.file("a")
    rows.copy(file_id, "field", "MY")
    parts = candidates.to_cancel(CheckSelection(rows.node["field"]))
    other, watch = mariadb.connect(), mariadb.connect()
    done: list[int] = []

    def work() -> None:
        done.append(change(index, parts, RecordedState.HEALTHY, NOW))
        index.disconnect()  # the connection is this thread's

    thread = threading.Thread(target=work)
    try:
        other.select_db(index.db.database)
        other.begin()
        other.query("UPDATE archivefilecopy SET has_file = 'X'")
        thread.start()
        await_a_waiter(watch, thread)
        other.commit()
        thread.join()
    finally:
        other.close()
        watch.close()
    assert (done[0], rows.state(file_id, "field")) == outcome
    index.close()


def test_only_the_columns_that_are_meant_change(rows: Rows) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "field", "XM")
    rows.copy(file_id, "one", "XY")
    selection = CheckSelection(rows.node["field"], ALL)
    assert edit_verify.request(rows.index, candidates.to_check(selection), selection, NOW) == 1
    select = "SELECT has_file, wants_file, ready, size_b, last_update FROM archivefilecopy WHERE node_id = ?"
    ((*columns, stamp),) = rows.all(select, rows.node["field"])
    assert columns == ["M", "M", 1, 4096] and str(stamp) == str(NOW)
    ((*columns, stamp),) = rows.all(select, rows.node["one"])
    assert columns == ["X", "Y", 1, 4096] and str(stamp) == str(WHEN)


@pytest.mark.parametrize("listed", [False, True])
def test_copies_that_were_good_keep_the_evidence_and_those_that_were_missing_lose_it(
    rows: Rows, listed: bool
) -> None:
    files = {state: rows.file(state) for state in ("YY", "YM", "XY", "NY", "MY", "YN")}
    for state, file_id in files.items():
        rows.copy(file_id, "one", state)
    read, missing = rows.file("read"), files["NY"]
    rows.copy(read, "one", "YY")
    for file_id in (read, missing):
        rows.insert(
            "sync_verification", file_id=file_id, node_id=rows.node["one"], verified="2020-01-01 00:00:00"
        )
    selection = CheckSelection(rows.node["one"], ALL, files=[read, *files.values()] if listed else None)
    edit_verify.request(rows.index, candidates.to_check(selection), selection, NOW)
    assert rows.state(missing, "one") == "MY"
    found = {file_id: str(at) for file_id, at in rows.all("SELECT file_id, verified FROM sync_verification")}
    assert found == {
        files["YY"]: NEVER_READ,
        files["YM"]: NEVER_READ,
        read: "2020-01-01 00:00:00",
    }
