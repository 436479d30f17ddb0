from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest

from alpenhorn.edits import deletions
from alpenhorn.edits import files as edit_file
from alpenhorn.edits import requests as edit_requests
from alpenhorn.errors import Refused
from alpenhorn.index.check import Level, orphans
from alpenhorn.index.selections import SelectionPart
from alpenhorn.index.tables import ALPENHORN_TABLES, SYNC_TABLES
from alpenhorn.listings import history
from alpenhorn.reasons import Code
from alpenhorn.record.run import Run
from alpenhorn.record.run import events as add_events
from alpenhorn.scan import names
from tests.edits.conftest import Beside
from tests.fixtures.claims import claim as claim_pulls
from tests.fixtures.claims import wanted
from tests.fixtures.rows import MD5, WHEN, Rows

ALL_FILES = [SelectionPart("FROM archivefile f WHERE 1 = 1", ())]
DAY = datetime.timedelta(days=1)
TABLES = (*ALPENHORN_TABLES, *SYNC_TABLES)


def one(file_id: int) -> list[SelectionPart]:
    return [SelectionPart("FROM archivefile f WHERE f.id = ?", (file_id,))]


def everything(rows: Rows) -> dict[str, list[tuple[object, ...]]]:
    return {
        table._meta.table_name: rows.all(f"SELECT * FROM {table._meta.table_name} ORDER BY 1, 2")
        for table in TABLES
    }


def claim(rows: Rows, file_id: int, kind: str, lasts: datetime.timedelta) -> None:
    rows.insert(
        "sync_claim",
        kind=kind,
        file_id=file_id,
        target_id=rows.group["one"],
        node_id=rows.node["one"],
        reserved_b=10,
        host="there",
        run_id=99,
        expires=rows.index.now() + lasts,
        fence=1,
    )


def pin(rows: Rows, file_id: int, node_id: int, until: datetime.datetime | None) -> None:
    rows.insert("sync_pin", file_id=file_id, node_id=node_id, reason=None, pinned=WHEN, until=until)


def attempt(rows: Rows, kind: str, subject_id: int) -> None:
    rows.insert(
        "sync_attempt",
        kind=kind,
        subject_id=subject_id,
        count=1,
        last=WHEN,
        next=WHEN,
        blame="source",
        error="e",
    )


def with_all_kinds_of_rows(rows: Rows, run: Run, name: str) -> int:
    """Insert a file that can be deleted, with rows in all tables that refer to files."""
    file_id = rows.file(name)
    copies = [rows.copy(file_id, "one", "NN"), rows.copy(file_id, "two", "NM")]
    for kind in ("check", "delete", "source"):
        attempt(rows, kind, copies[0])
    request = rows.request(file_id, completed=1)
    attempt(rows, "pull", request)
    rows.insert("sync_priority", request_id=request, group_id=1, priority=5)
    rows.request(file_id, cancelled=1)
    for node in ("one", "field"):  # on field, there is not even a row of a copy
        rows.insert("sync_verification", file_id=file_id, node_id=rows.node[node], verified=WHEN)
        rows.insert(
            "sync_verified_status",
            file_id=file_id,
            node_id=rows.node[node],
            medium="a" * 32,
            md5sum=MD5,
            sha256="",
            status="boot 1 2 3 4",
        )
        rows.on_tape(file_id, node)
    claim(rows, file_id, "pull", -DAY)
    claim(rows, file_id, "delete", -DAY)
    pin(rows, file_id, 0, WHEN)
    rows.insert("sync_file_claim", file_id=file_id, fence=1)
    rows.insert(
        "sync_trash",
        file_id=file_id,
        node_id=rows.node["one"],
        batch="20260102T030405Z-1-1",
        trashed=WHEN,
        size_b=10,
        asked=None,
    )
    rows.insert("sync_digest", file_id=file_id, size_b=10, md5sum=MD5, sha256="a" * 64)
    rows.insert(
        "sync_restore",
        file_id=file_id,
        node_id=rows.node["one"],
        purpose="pull",
        state="failed",
        tries=1,
        asked=WHEN,
        next=WHEN,
        error="e",
    )
    add_events(rows.index, run, "pulled", [(file_id, rows.node["one"], Code.FILE_REGISTERED())])
    return file_id


def test_a_file_goes_with_all_rows_about_it_and_no_other(rows: Rows, run: Run) -> None:
    with_all_kinds_of_rows(rows, run, "a")
    before = everything(rows)
    file_id = with_all_kinds_of_rows(rows, run, "b")
    (last,) = rows.all("SELECT id, why FROM sync_event ORDER BY id DESC LIMIT 1")
    about = [table for table in TABLES if {"file_id"} & set(table._meta.columns)]
    assert len(about) == 12
    for table in about:  # the test knows them all
        assert rows.all(f"SELECT 1 FROM {table._meta.table_name} WHERE file_id = ?", file_id), table
    assert deletions.files(rows.index, one(file_id)) == 1
    after = everything(rows)
    # What is left of it is its history.
    event = after["sync_event"].pop()
    assert (event[0], event[3], event[6]) == (last[0], 0, f"acq/b: {last[1]}")
    assert after == before
    assert [finding.level for finding in orphans(rows.index)] == [Level.PASS]
    # The answer to the commit may have got lost.
    assert deletions.files(rows.index, one(file_id)) == 0


def test_the_history_of_node_and_run_tells_of_it_and_a_new_file_of_that_name_has_none(
    rows: Rows, run: Run
) -> None:
    file_id = with_all_kinds_of_rows(rows, run, "a")
    deletions.files(rows.index, one(file_id))
    # On SQLite, it gets the same id.
    edit_file.create(rows.index, rows.acq, "acq", "a", 10, MD5, WHEN)
    again = names.file(rows.index, "acq/a")
    assert history.events(rows.index, 9, file_id=again.id) == []
    for events in (
        history.events(rows.index, 9, nodes=[rows.node["one"]]),
        history.events(rows.index, 9, run_id=run.id),
    ):
        assert [(event.file_id, event.path) for event in events] == [(0, None)]
        assert events[0].why.startswith("acq/a: ") and events[0].why.code == Code.FILE_REGISTERED


def with_copy(state: str) -> Callable[[Rows, int], object]:
    return lambda rows, file_id: rows.copy(file_id, "two", state)


def in_doubt(distrust: str) -> Callable[[Rows, int], object]:
    def change(rows: Rows, file_id: int) -> None:
        rows.copy(file_id, "two", "NN")
        rows.do("UPDATE sync_medium SET distrust = ? WHERE node_id = ?", distrust, rows.node["two"])

    return change


def to_import(path: str, recurse: int) -> Callable[[Rows, int], object]:
    return lambda rows, _: rows.insert(
        "archivefileimportrequest",
        node_id=rows.node["field"],
        path=path,
        recurse=recurse,
        register=0,
        completed=0,
        timestamp=WHEN,
    )


ABSENT = "alpenhorn file state acq/b two --set Absent"
KEEPS: dict[str, tuple[Callable[[Rows, int], object], tuple[str, ...]]] = {
    **{f"Y{wants}": (with_copy(f"Y{wants}"), ("has a copy on node two;", ABSENT)) for wants in "YMN"},
    **{f"M{wants}": (with_copy(f"M{wants}"), ("may have a copy", "node two;", ABSENT)) for wants in "YMN"},
    **{f"X{wants}": (with_copy(f"X{wants}"), ("has a corrupt copy on node two;", ABSENT)) for wants in "YMN"},
    "NY": (with_copy("NY"), ("missing and still wanted on node two;", ABSENT)),
    "request": (
        lambda rows, file_id: rows.request(file_id),
        ("from node field into group one", "alpenhorn file sync acq/b --to one --cancel"),
    ),
    "pull": (
        lambda rows, file_id: claim(rows, file_id, "pull", DAY),
        ("a run on host there is working on it for node one", "try again"),
    ),
    "delete": (
        lambda rows, file_id: claim(rows, file_id, "delete", DAY),
        ("a run on host there is working on it for node one", "try again"),
    ),
    "pin": (
        lambda rows, file_id: pin(rows, file_id, 0, None),
        ("pinned on every node", "alpenhorn file unpin acq/b"),
    ),
    "pin on a node": (
        lambda rows, file_id: pin(rows, file_id, rows.node["two"], rows.index.now() + DAY),
        ("pinned on node two", "alpenhorn file unpin acq/b --node two"),
    ),
    "restored": (
        lambda rows, _: rows.insert("sync_index", name="restored", value="older"),
        ("older than the disks", "alpenhorn reconcile"),
    ),
    "compare": (in_doubt("compare"), ("node two was not compared", "alpenhorn sync")),
    "reconcile": (in_doubt("reconcile"), ("node two was not compared", "alpenhorn reconcile")),
    "import": (to_import("acq/b", 0), ("node field is to be searched for it", "alpenhorn sync")),
    "scan": (to_import("acq", 1), ("node field is to be searched for it", "alpenhorn sync")),
    "scan of a node": (to_import(".", 1), ("node field is to be searched for it", "alpenhorn sync")),
}


@pytest.mark.parametrize("what", KEEPS)
def test_what_keeps_a_file_is_named_and_then_nothing_is_deleted(rows: Rows, what: str) -> None:
    change, words = KEEPS[what]
    rows.copy(rows.file("a"), "one", "NN")
    file_id = rows.file("b")
    change(rows, file_id)
    rows.do("UPDATE storagenode SET active = 0")
    before = everything(rows)
    with pytest.raises(Refused) as raised:
        deletions.files(rows.index, ALL_FILES)
    message = str(raised.value)
    named = (
        "acq/a" if what in ("restored", "scan", "scan of a node") else "acq/b"
    )  # the first of those it keeps
    assert message.startswith(f"file {named}: not deleted: ") and "\n" not in message
    assert all(word in message for word in words), message
    assert everything(rows) == before


@pytest.mark.parametrize("path", ["acq/bb", "acq/a", "ac", "acq"])
def test_other_import_requests_do_not_keep_it(rows: Rows, path: str) -> None:
    file_id = rows.file("b")
    to_import(path, 0)(rows, file_id)
    to_import(f"{path}/c", 1)(rows, file_id)
    assert deletions.files(rows.index, one(file_id)) == 1


def test_what_was_removed_or_has_run_out_does_not_keep_it(rows: Rows) -> None:
    """A disk that is away has no copy that was removed."""
    file_id = rows.file("a")
    rows.copy(file_id, "one", "NN")
    rows.copy(file_id, "one_too", "NM")
    rows.do("UPDATE sync_medium SET wrong = ?, why = 'not mounted'", WHEN)
    rows.do("UPDATE storagenode SET active = 0")
    claim(rows, file_id, "pull", -DAY)
    pin(rows, file_id, 0, rows.index.now() - DAY)
    assert deletions.files(rows.index, one(file_id)) == 1
    assert [finding.level for finding in orphans(rows.index)] == [Level.PASS]


def test_one_of_many_keeps_all_of_a_transaction(rows: Rows) -> None:
    """More files than one statement takes."""
    for number in range(1100):
        rows.file(f"{number:04}")
    kept = rows.file("kept")
    copy = rows.copy(kept, "one", "YY")
    with pytest.raises(Refused, match="file acq/kept: "):
        deletions.files(rows.index, ALL_FILES)
    assert rows.all("SELECT COUNT(*) FROM archivefile") == [(1101,)]
    rows.do("UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N' WHERE id = ?", copy)
    rows.do(
        "INSERT INTO sync_event (at, file_id, node_id, what, why) SELECT registered, id, 1, 'deleted', 'why'"
        " FROM archivefile ORDER BY id"
    )
    assert deletions.files(rows.index, ALL_FILES) == 1101
    whys = [f"acq/{number:04}: why" for number in range(1100)]
    assert rows.all("SELECT file_id, why FROM sync_event ORDER BY id") == [
        (0, why) for why in [*whys, "acq/kept: why"]
    ]
    assert rows.all("SELECT COUNT(*) FROM archivefilecopy") == [(0,)]


def test_an_acquisition_goes_only_without_files(rows: Rows) -> None:
    found = names.acq(rows.index, "acq")
    file_id = rows.file("a")
    with pytest.raises(Refused, match="acquisition acq: not deleted: file acq/a was added"):
        deletions.acq(rows.index, found)
    deletions.files(rows.index, one(file_id))
    deletions.acq(rows.index, found)
    assert rows.all("SELECT * FROM archiveacq") == []
    deletions.acq(rows.index, found)


def test_a_copy_that_appears_at_the_same_moment_keeps_the_file(beside: Beside) -> None:
    rows = beside.rows
    file_id = rows.file("a")
    copy = rows.copy(file_id, "one", "NN")
    beside.do("SELECT id FROM archivefilecopy WHERE id = %s FOR UPDATE", copy)
    kept = beside.waits(
        lambda: deletions.files(rows.index, one(file_id)),
        "UPDATE archivefilecopy SET has_file = 'Y', wants_file = 'Y' WHERE id = %s",
        copy,
    )
    assert isinstance(kept, Refused) and "has a copy on node one" in str(kept)
    assert rows.state(file_id, "one") == "YY"
    assert names.file(rows.index, "acq/a").id == file_id


def test_a_claim_that_is_made_at_the_same_moment_keeps_the_file(beside: Beside) -> None:
    rows = beside.rows
    file_id = rows.file("a")
    rows.request(file_id, cancelled=1)
    claim(rows, file_id, "pull", -DAY)
    beside.do("SELECT id FROM sync_claim WHERE file_id = %s FOR UPDATE", file_id)
    kept = beside.waits(
        lambda: deletions.files(rows.index, one(file_id)),
        "UPDATE sync_claim SET expires = %s, fence = fence + 1",
        rows.index.now() + DAY,
    )
    assert isinstance(kept, Refused) and "a run on host there is working on it" in str(kept)
    assert names.file(rows.index, "acq/a").id == file_id
    assert len(rows.claims()) == 1


def test_a_request_that_is_made_at_the_same_moment_keeps_the_file(beside: Beside) -> None:
    rows = beside.rows
    file_id = rows.file("a")
    beside.do(
        "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp)"
        " VALUES (%s, %s, %s, 1, 0, %s)",
        file_id,
        rows.group["one"],
        rows.node["field"],
        WHEN,
    )
    kept = beside.waits(
        lambda: deletions.files(rows.index, one(file_id)), "UPDATE archivefilecopyrequest SET completed = 0"
    )
    assert isinstance(kept, Refused) and "it is requested from node field into group one" in str(kept)
    assert rows.pending("one") == [(file_id, rows.node["field"])]


def test_a_claim_for_a_deleted_file_is_not_granted(rows: Rows, run: Run) -> None:
    """A run planned the pull before the request was cancelled."""
    file_id = rows.file("a")
    planned = wanted(rows, rows.request(file_id), file_id)
    edit_requests.cancel(rows.index, [planned.fact.request_id], WHEN)
    deletions.files(rows.index, one(file_id))
    assert claim_pulls(rows.index, run, [planned]) == {}
    assert rows.claims() == []


def test_a_file_that_is_put_into_the_acquisition_at_the_same_moment_keeps_it(beside: Beside) -> None:
    rows = beside.rows
    found = names.acq(rows.index, "acq")
    beside.do(
        "INSERT INTO archivefile (acq_id, name, size_b, md5sum, registered) VALUES (%s, 'new', 1, %s, %s)",
        rows.acq,
        MD5,
        WHEN,
    )
    kept = beside.waits(
        lambda: deletions.acq(rows.index, found), "UPDATE archivefile SET size_b = 2 WHERE name = 'new'"
    )
    assert isinstance(kept, Refused) and "file acq/new was added" in str(kept)
    assert names.acq(rows.index, "acq") == found
