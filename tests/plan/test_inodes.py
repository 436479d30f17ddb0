"""Free inodes are room: each file and each directory takes one."""

from __future__ import annotations

from alpenhorn.plan.inodes import SPARE, Inodes
from alpenhorn.plan.pulls import Choice
from alpenhorn.reasons import Code, code_of
from tests.plan.facts import DESTINATION, NOW, fact, planner

NODE = 2


def stock(free: int | None) -> Inodes:
    inodes = Inodes()
    inodes.open(NODE, free)
    return inodes


def test_situation_09_a_file_takes_one_and_each_new_directory_too() -> None:
    inodes = stock(SPARE + 4)
    assert inodes.short(NODE, "acq/deep/f") is None
    inodes.reserve(NODE, "acq/deep/f")
    assert inodes.short(NODE, "acq/deep/g") is None
    inodes.reserve(NODE, "acq/deep/g")
    assert inodes.short(NODE, "acq/deep/h") == SPARE


def test_situation_09_a_file_that_is_not_pulled_takes_none() -> None:
    inodes = stock(SPARE + 1)
    inodes.reserve(NODE, "f")
    assert inodes.short(NODE, "g") == SPARE
    inodes.settle(NODE, "f", came=False)
    assert inodes.short(NODE, "g") is None
    inodes.reserve(NODE, "g")
    inodes.settle(NODE, "g", came=True)
    assert inodes.short(NODE, "h") == SPARE


def test_situation_09_a_file_system_without_a_limit_has_enough() -> None:
    inodes = stock(None)
    inodes.reserve(NODE, "f")
    inodes.settle(NODE, "f", came=True)
    assert inodes.short(NODE, "g") is None


def test_situation_09_the_pull_that_would_take_the_last_is_put_off_with_the_reason() -> None:
    plan = planner()
    plan.inodes.open(DESTINATION, SPARE + 4)  # two directories, acq and acq/dir, and two files
    assert [plan.decide(fact(request), NOW).choice for request in (1, 2)] == [Choice.PULL] * 2
    refused = plan.decide(fact(3), NOW)
    assert refused.choice is Choice.SKIP and code_of(refused.why) is Code.NO_INODES
    assert f"{SPARE} free inodes" in refused.why
    plan.finished(fact(1).group_to_id, fact(1).file_id, DESTINATION, 100, None)
    assert plan.decide(fact(3), NOW).choice is Choice.PULL
