from __future__ import annotations

import pytest

from alpenhorn.model.tape import (
    Location,
    Purpose,
    RestoreCandidate,
    RestoreFact,
    RestoreState,
    TapeAction,
    TapeFile,
    TapeResult,
)
from alpenhorn.plan.tape import NOT_RESTORED, TapeUpdate, enough, restores, tape_update


def file(file_id: int, held_b: int = 10, ready: bool = False) -> TapeFile:
    return TapeFile(file_id, file_id, f"acq/{file_id}", held_b, ready)


def wanted(*file_ids: int, held_b: int = 10) -> list[RestoreCandidate]:
    return [RestoreCandidate(file(file_id, held_b), Purpose.PULL) for file_id in file_ids]


def ids(chosen: list[RestoreCandidate]) -> list[int]:
    return [one.file.file_id for one in chosen]


def row(
    state: RestoreState = RestoreState.ASKED,
    purpose: Purpose = Purpose.PULL,
    requested: bool = False,
    tries: int = 1,
) -> RestoreFact:
    return RestoreFact(file(1), purpose, state, tries, 0.0, requested, True)


def test_restores_are_requested_in_order_except_those_in_progress() -> None:
    found = restores(wanted(7, 3, 9, 1), [file(20), file(21)], 4, None)
    assert ids(found.chosen) == [7, 3] and found.later == []


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_nothing_is_restored_while_the_limit_is_reached(limit: int) -> None:
    assert restores(wanted(7), [file(20), file(21)], limit, None).chosen == []


def test_no_more_files_are_looked_for_than_can_be_restored() -> None:
    def endless():
        yield from wanted(1, 2)
        raise AssertionError("one more was looked for")

    assert ids(restores(endless(), [], 2, None).chosen) == [1, 2]


def test_files_without_room_wait_and_restores_in_progress_count() -> None:
    found = restores(wanted(1, 2, held_b=40) + wanted(3), [file(20, 50)], 9, 100)
    assert ids(found.chosen) == [1, 3] and ids(found.later) == [2]


def test_a_full_disk_does_not_have_the_whole_queue_looked_at() -> None:
    found = restores((one for one in wanted(*range(1000))), [], 5, 0)
    assert found.chosen == [] and len(found.later) == 5


def test_only_as_many_files_as_needed_leave_the_disk() -> None:
    files = [file(1, 30), file(3, 30), file(4, 30)]
    assert [one.file_id for one in enough(files, 31)] == [1, 3]
    assert [one.file_id for one in enough(files, 30)] == [1]


def test_no_copy_is_taken_from_the_queue_that_is_not_needed() -> None:
    queue = iter([file(1), file(2), file(3)])
    enough(queue, 20)
    assert next(queue).file_id == 3


ON_DISK = [Location.DISK, Location.BOTH]


@pytest.mark.parametrize("where", ON_DISK)
@pytest.mark.parametrize("verb", list(TapeAction))
@pytest.mark.parametrize(
    "known", [None, row(), row(RestoreState.FAILED), row(RestoreState.ASKED, Purpose.CHECK, requested=True)]
)
def test_a_file_on_disk_is_ready_and_no_longer_waited_for(
    where: Location, verb: TapeAction, known: RestoreFact | None
) -> None:
    assert tape_update(verb, TapeResult(file(1), where), known) == TapeUpdate(True, False, None)


@pytest.mark.parametrize("where", ON_DISK)
@pytest.mark.parametrize("state", [RestoreState.ASKED, RestoreState.FAILED, RestoreState.BACK])
def test_a_file_restored_for_a_check_is_kept_for_the_check(where: Location, state: RestoreState) -> None:
    known = row(state, Purpose.CHECK)
    assert tape_update(TapeAction.LOOK, TapeResult(file(1), where), known) == TapeUpdate(
        None, False, RestoreState.BACK
    )


def test_a_checked_file_stays_checked_until_it_left_the_disk() -> None:
    known = row(RestoreState.CHECKED, Purpose.CHECK)
    look = tape_update(TapeAction.LOOK, TapeResult(file(1), Location.BOTH), known)
    assert look == TapeUpdate(None, False, RestoreState.CHECKED)
    left = tape_update(TapeAction.LEAVE, TapeResult(file(1), Location.TAPE), known)
    assert left == TapeUpdate(False, False, None)
    stayed = tape_update(TapeAction.LEAVE, TapeResult(file(1), Location.BOTH), known)
    assert stayed == TapeUpdate(True, False, None)


def test_a_restore_is_in_progress_until_it_is_found_not_to_be() -> None:
    asked = tape_update(TapeAction.RESTORE, TapeResult(file(1), Location.COMING), None)
    assert asked == TapeUpdate(False, False, RestoreState.ASKED)
    coming = tape_update(TapeAction.LOOK, TapeResult(file(1), Location.COMING), row())
    assert coming == TapeUpdate(False, False, RestoreState.ASKED)
    lost = tape_update(TapeAction.LOOK, TapeResult(file(1), Location.TAPE), row())
    assert lost == TapeUpdate(False, False, RestoreState.FAILED, NOT_RESTORED)
    refused = tape_update(TapeAction.RESTORE, TapeResult(file(1), Location.TAPE, "no"), None)
    assert refused == TapeUpdate(False, False, RestoreState.FAILED, "no")


def test_looking_at_a_failed_restore_keeps_its_reason_and_retry_time() -> None:
    seen = tape_update(TapeAction.LOOK, TapeResult(file(1), Location.TAPE), row(RestoreState.FAILED))
    assert seen == TapeUpdate(False, False, RestoreState.FAILED, as_it_is=True)


@pytest.mark.parametrize("where", [Location.TAPE, Location.COMING])
def test_a_file_that_was_not_requested_is_not_ready(where: Location) -> None:
    assert tape_update(TapeAction.LOOK, TapeResult(file(1, ready=True), where), None) == TapeUpdate(
        False, False, None
    )


@pytest.mark.parametrize("known", [None, row(), row(RestoreState.BACK, Purpose.CHECK)])
def test_a_missing_file_is_left_to_the_check(known: RestoreFact | None) -> None:
    assert tape_update(TapeAction.LOOK, TapeResult(file(1), Location.GONE), known) == TapeUpdate(
        None, True, RestoreState.BACK
    )


def test_a_copy_of_unknown_location_is_unchanged() -> None:
    unknown = TapeResult(file(1, ready=True), None, "no answer")
    assert tape_update(TapeAction.LOOK, unknown, None) == TapeUpdate(None, False, None, "no answer")
    assert tape_update(TapeAction.LOOK, unknown, row()) == TapeUpdate(
        None, False, RestoreState.FAILED, "no answer"
    )
    assert tape_update(TapeAction.RESTORE, unknown, None) == TapeUpdate(
        None, False, RestoreState.FAILED, "no answer"
    )
