from __future__ import annotations

import pytest

from alpenhorn.model.tape_batches import BatchLimits, CollectedFile
from alpenhorn.plan.tape_batches import choose_batches
from alpenhorn.reasons import Code, code_of

NOW = 1e9
LIMITS = BatchLimits(files=3, size_b=100, wait=3600.0, at_once=2)


def file(number: int, size_b: int = 10, since: float = NOW, **more: float) -> CollectedFile:
    return CollectedFile(number, number, f"acq/{number}", size_b, "0" * 32, since, **more)  # type: ignore[arg-type]


def chosen(*files: CollectedFile, under_way: int = 0) -> tuple[list[list[int]], dict[int, str]]:
    """Return the batches to begin, by copy ids, and the codes of the reasons of the others."""
    found = choose_batches(files, LIMITS, under_way, NOW)
    due = [[one.copy_id for one in batch] for batch in found.due]
    return due, {one.copy_id: code_of(why) for one, why in found.later}


def test_a_batch_is_begun_with_enough_files() -> None:
    due, later = chosen(*(file(n) for n in range(4)))
    assert due == [[0, 1, 2]] and later == {3: Code.COLLECTED_FOR_TAPE}


def test_a_batch_is_begun_with_enough_bytes() -> None:
    due, later = chosen(file(1, 60), file(2, 60), file(3, 30))
    assert due == [[1]] and later.keys() == {2, 3}
    assert chosen(file(1, 60), file(2, 40))[0] == [[1, 2]]


def test_a_file_larger_than_a_batch_is_one_of_its_own() -> None:
    assert chosen(file(1), file(2, 1000), file(3))[0] == [[1], [2]]


@pytest.mark.parametrize(
    ("since", "begun"),
    [
        (NOW - 3600, True),
        (NOW - 3599, False),
        (NOW + 600, False),  # the clock of the host that recorded it was a little ahead
        (NOW + 86_400, True),  # a wrong clock
        (0.0, True),  # an invalid date
    ],
)
def test_a_batch_is_begun_when_its_oldest_file_has_waited(since: float, begun: bool) -> None:
    assert chosen(file(1, since=since), file(2))[0] == ([[1, 2]] if begun else [])


def test_no_more_batches_are_under_way_than_allowed() -> None:
    due, later = chosen(*(file(n) for n in range(6)), under_way=1)
    assert due == [[0, 1, 2]] and set(later.values()) == {Code.TAPE_BATCHES_UNDER_WAY}


@pytest.mark.parametrize(("after", "waits"), [(-1, False), (3600, True), (10 * 86_400, False)])
def test_a_file_waits_after_a_failure_but_not_for_ever(after: float, waits: bool) -> None:
    due, later = chosen(file(1, since=0.0, tries=1, next=NOW + after))
    assert (due == []) == waits and (later == {1: Code.TAPE_BATCH_WAITS_AFTER_FAILURE}) == waits
