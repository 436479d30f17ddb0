from __future__ import annotations

import datetime

import pytest

from alpenhorn.model.tape import Location, Purpose, RestoreCandidate, TapeAction, TapeFile, TapeResult
from alpenhorn.record import tape
from alpenhorn.record.copies import with_evidence
from alpenhorn.record.run import Run
from tests.fixtures.rows import Rows

WAIT = 600.0


def a_copy(rows: Rows, name: str = "f", state: str = "YY", ready: bool = False) -> TapeFile:
    file_id = rows.file(name)
    copy_id = rows.copy(file_id, "one", state)
    rows.do("UPDATE archivefilecopy SET ready = ? WHERE id = ?", int(ready), copy_id)
    return TapeFile(copy_id, file_id, f"acq/{name}", 10, ready)


def settled(
    rows: Rows,
    run: Run,
    verb: TapeAction,
    file: TapeFile,
    where: Location | None,
    error: str = "",
    purpose: str = "pull",
) -> None:
    asked = {file.file_id: RestoreCandidate(file, Purpose(purpose), 0)} if verb is TapeAction.RESTORE else {}
    tape.settle(rows.index, run, rows.fact("one"), verb, [TapeResult(file, where, error)], asked, WAIT)


def ready(rows: Rows, file: TapeFile) -> bool:
    return bool(rows.all("SELECT ready FROM archivefilecopy WHERE id = ?", file.copy_id)[0][0])


def waiting(rows: Rows) -> list[tuple[str, str, int]]:
    return rows.all("SELECT purpose, state, tries FROM sync_restore ORDER BY file_id")


def when(rows: Rows, column: str) -> datetime.datetime:
    ((value,),) = rows.all(f"SELECT {column} FROM sync_restore")
    return value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(value)


def test_restore_is_looked_at_again_after_restore_wait(rows: Rows, run: Run) -> None:
    file = a_copy(rows)
    settled(rows, run, TapeAction.RESTORE, file, Location.COMING)
    assert waiting(rows) == [("pull", "asked", 1)]
    assert when(rows, "next") - when(rows, "asked") == datetime.timedelta(seconds=WAIT)
    assert not ready(rows, file)


def test_a_look_does_not_change_since_when_it_is_waited_for(rows: Rows, run: Run) -> None:
    file = a_copy(rows)
    settled(rows, run, TapeAction.RESTORE, file, Location.COMING, purpose="check")
    rows.do("UPDATE sync_restore SET asked = '2026-01-01 00:00:00'")
    settled(rows, run, TapeAction.LOOK, file, Location.COMING)
    assert waiting(rows) == [("check", "asked", 1)]
    assert when(rows, "asked") == datetime.datetime(2026, 1, 1)


def test_a_restored_copy_is_ready_and_its_restore_deleted(rows: Rows, run: Run) -> None:
    file = a_copy(rows)
    settled(rows, run, TapeAction.RESTORE, file, Location.COMING)
    settled(rows, run, TapeAction.LOOK, file, Location.BOTH)
    assert ready(rows, file) and waiting(rows) == []
    assert len(rows.events("ready")) == 1
    settled(rows, run, TapeAction.LOOK, file, Location.BOTH)
    assert len(rows.events("ready")) == 1


def test_copy_restored_for_a_check_is_not_ready_and_leaves_the_disk_afterwards(rows: Rows, run: Run) -> None:
    file = a_copy(rows, state="MY")
    settled(rows, run, TapeAction.RESTORE, file, Location.COMING, purpose="check")
    settled(rows, run, TapeAction.LOOK, file, Location.BOTH)
    assert waiting(rows) == [("check", "back", 1)] and not ready(rows, file)
    assert tape.checked(rows.index, rows.node["one"], [file.file_id]) == 1
    assert tape.checked(rows.index, rows.node["one"], [file.file_id]) == 0
    assert waiting(rows) == [("check", "checked", 1)]
    settled(rows, run, TapeAction.LEAVE, file, Location.TAPE)
    assert waiting(rows) == [] and not ready(rows, file)
    assert len(rows.events("left to tape")) == 1


def test_copy_restored_for_a_check_is_ready_if_a_request_needs_it(rows: Rows, run: Run) -> None:
    file = a_copy(rows)
    settled(rows, run, TapeAction.RESTORE, file, Location.COMING, purpose="check")
    rows.request(file.file_id, "one", "two")
    settled(rows, run, TapeAction.LOOK, file, Location.BOTH)
    assert waiting(rows) == [] and ready(rows, file)


def test_refused_restore_waits_longer_each_time(rows: Rows, run: Run) -> None:
    file = a_copy(rows)
    waits = []
    for tries in range(1, 6):
        wanted = {file.file_id: RestoreCandidate(file, Purpose.PULL, tries - 1)}
        result = TapeResult(file, Location.TAPE, "no such tape")
        tape.settle(rows.index, run, rows.fact("one"), TapeAction.RESTORE, [result], wanted, WAIT)
        assert waiting(rows) == [("pull", "failed", tries)]
        waits.append((when(rows, "next") - when(rows, "asked")).total_seconds())
    assert waits[4] > waits[2] > waits[0] >= 60
    assert rows.all("SELECT error FROM sync_restore") == [("no such tape",)]


def test_ready_is_cleared_before_a_copy_leaves_and_set_if_it_stays(rows: Rows, run: Run) -> None:
    file = a_copy(rows, ready=True)
    tape.clear_ready(rows.index, run, [file])
    assert not ready(rows, file)
    settled(rows, run, TapeAction.LEAVE, file, Location.DISK)
    assert ready(rows, file) and waiting(rows) == []
    tape.clear_ready(rows.index, run, [file])
    tape.set_ready(rows.index, run, [file])
    assert ready(rows, file)


@pytest.mark.parametrize("verb", [TapeAction.LOOK, TapeAction.LEAVE])
def test_copy_gone_from_disk_and_tape_becomes_suspect_and_is_left_to_the_check(
    rows: Rows, run: Run, verb: TapeAction
) -> None:
    file = a_copy(rows, ready=True)
    settled(rows, run, verb, file, Location.GONE)
    assert rows.state(file.file_id, "one") == "MY"
    assert waiting(rows) == [("check", "back", 0)]
    assert len(rows.events("suspect")) == 1
    assert with_evidence(rows.index, rows.node["one"], [file.file_id]) == {file.file_id}


def test_nothing_is_recorded_of_a_node_that_was_moved_meanwhile(rows: Rows, run: Run) -> None:
    file = a_copy(rows, ready=True)
    node = rows.fact("one")
    rows.do("UPDATE storagenode SET root = '/elsewhere' WHERE id = ?", node.id)
    tape.settle(rows.index, run, node, TapeAction.LOOK, [TapeResult(file, Location.GONE, "")], {}, WAIT)
    assert rows.state(file.file_id, "one") == "YY" and waiting(rows) == []


def test_a_copy_that_was_set_corrupt_meanwhile_does_not_become_suspect(rows: Rows, run: Run) -> None:
    file = a_copy(rows, state="XY")
    settled(rows, run, TapeAction.LOOK, file, Location.GONE)
    assert rows.state(file.file_id, "one") == "XY" and rows.events("suspect") == []


def test_a_copy_whose_row_is_gone_is_nothing_to_settle(rows: Rows, run: Run) -> None:
    file = TapeFile(4711, 4712, "acq/none", 10, False)
    settled(rows, run, TapeAction.LOOK, file, Location.BOTH)
    settled(rows, run, TapeAction.RESTORE, file, Location.COMING)
    assert rows.all("SELECT * FROM archivefilecopy") == [] and waiting(rows) == []


def test_copy_found_on_tape_when_read_is_not_ready_and_restored_at_once(rows: Rows, run: Run) -> None:
    plain, back = a_copy(rows, "a", ready=True), a_copy(rows, "b", "MY")
    settled(rows, run, TapeAction.RESTORE, back, Location.COMING, purpose="check")
    settled(rows, run, TapeAction.LOOK, back, Location.BOTH)
    tape.record_on_tape(rows.index, run, rows.node["one"], [plain.file_id, back.file_id])
    assert not ready(rows, plain)
    assert waiting(rows) == [("check", "failed", 1)]
    assert when(rows, "next") <= datetime.datetime.fromisoformat(run.now())


def test_the_place_of_the_comparison_leaves_what_is_known_of_a_manifest(rows: Rows, run: Run) -> None:
    tape.compared(rows.index, rows.node["one"], 5)
    rows.do("UPDATE sync_node SET manifest = 'token', event_id = 7, files = 8")
    tape.compared(rows.index, rows.node["one"], 6)
    assert rows.all("SELECT compared, manifest, event_id, files FROM sync_node") == [(6, "token", 7, 8)]
