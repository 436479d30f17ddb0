from __future__ import annotations

import pytest

from alpenhorn.model.checks import CheckFact, CheckFile
from alpenhorn.model.links import LookTotals
from alpenhorn.plan.checks import choose, doubt_reason, loss_in_doubt, storage_in_doubt, sums_to_keep
from tests.plan.facts import MD5, NOW, attempt

GOOD = CheckFact(1, 2, 3, "acq", "a/b", 10, MD5)


def test_a_suspect_copy_is_read() -> None:
    assert choose([GOOD], NOW) == ([CheckFile(1, 2, "acq/a/b", 10, MD5)], [])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"acq": None, "name": None}, "no row"),
        ({"size_b": None}, "no length"),
        ({"md5sum": None}, "MD5"),
        ({"name": "../x"}, "not a path below a root"),
        ({"attempt": attempt(NOW + 1)}, "waiting"),
    ],
)
def test_a_copy_that_cannot_be_checked_now_is_left_with_the_reason(
    changes: dict[str, object], why: str
) -> None:
    fact = GOOD._replace(**changes)  # type: ignore[arg-type]
    plan = choose([fact, GOOD], NOW)
    assert [file.copy_id for file in plan.files] == [1]
    ((left, reason),) = plan.left
    assert left is fact
    assert why in reason


def test_a_failed_attempt_is_made_again_when_its_time_has_come() -> None:
    assert choose([GOOD._replace(attempt=attempt(NOW))], NOW).files


def test_a_copy_to_be_read_carries_its_state() -> None:
    ((file,), _) = choose([GOOD._replace(has_file="Y", wants_file="M")], NOW)
    assert (file.has_file, file.wants_file) == ("Y", "M")


@pytest.mark.parametrize(
    ("looked", "lost", "doubted"),
    [
        (99, 99, False),
        (100, 33, False),
        (100, 34, True),
        (300, 99, False),
        (300, 100, True),
        (100, 100, True),
        (10**6, 1000, False),
        (0, 0, False),
    ],
)
def test_losing_a_third_of_a_hundred_copies_is_not_recorded(looked: int, lost: int, doubted: bool) -> None:
    assert storage_in_doubt(looked, lost) is doubted


def test_the_message_about_a_loss_names_both_remedies() -> None:
    told = doubt_reason("disk1", 120, 60, "acq/a: it is gone")
    assert "60 of 120" in told and "acq/a" in told
    assert "mount it" in told and "alpenhorn sync --node disk1 --accept-loss" in told


@pytest.mark.parametrize(
    ("before", "run", "doubted"),
    [
        ((0, 0), (50, 50), False),
        ((60, 40), (50, 30), True),
        ((60, 0), (50, 50), True),
        ((300, 10), (50, 50), False),
        # A run that looked at enough is judged alone, whichever way.
        ((300, 300), (150, 1), False),
        ((10**6, 0), (150, 50), True),
    ],
)
def test_a_run_that_looked_at_few_copies_is_judged_with_those_before_it(
    before: tuple[int, int], run: tuple[int, int], doubted: bool
) -> None:
    assert loss_in_doubt(LookTotals(*before), LookTotals(*run)) is doubted


@pytest.mark.parametrize(
    ("run", "kept"),
    [((0, 0), (60, 40)), ((1, 0), (0, 0)), ((50, 1), (110, 41)), ((100, 1), (100, 1))],
)
def test_sums_of_checked_copies_kept_for_later_runs(run: tuple[int, int], kept: tuple[int, int]) -> None:
    assert sums_to_keep(LookTotals(60, 40), LookTotals(*run)) == kept
