"""Which batches of the trash are due."""

from __future__ import annotations

import pytest

from alpenhorn.model.nodes import TrashBatch
from alpenhorn.plan.space import Space, below_min_avail_b
from alpenhorn.plan.trash import due
from alpenhorn.reasons import Code
from tests.plan.facts import node

DAY = 86_400.0
NOW = 1_767_323_045.0  # 2026-01-02 03:04:05
TODAY, LAST_YEAR, IN_2036 = "20260102T030405Z-1-1", "20250102T030405Z-1-1", "20360102T030405Z-1-1"


@pytest.mark.parametrize(
    ("name", "modified", "expected"),
    [
        (TODAY, NOW, "kept"),
        (LAST_YEAR, NOW - 365 * DAY, "expired"),
        (LAST_YEAR, NOW - DAY, "kept"),
        (TODAY, NOW - 365 * DAY, "kept"),
        (IN_2036, NOW - 365 * DAY, "expired"),
        (IN_2036, NOW - DAY, "kept"),
        (LAST_YEAR, NOW + DAY, "expired"),
        (IN_2036, NOW + DAY, "future"),
    ],
)
def test_the_younger_age_counts_and_no_date_in_the_future(name: str, modified: float, expected: str) -> None:
    found = due([TrashBatch(name, modified)], 14 * DAY, NOW, NOW)
    assert [kind for kind in found._fields if getattr(found, kind)] == [expected]


def test_without_a_trash_everything_is_due_and_the_oldest_first() -> None:
    batches = [TrashBatch(name, NOW) for name in (IN_2036, "20269999T999999Z-1-1", LAST_YEAR, TODAY)]
    assert due(batches, 0, NOW, NOW).expired == (LAST_YEAR, TODAY, IN_2036)


def test_room_is_lacking_below_min_avail_on_archive_nodes_too() -> None:
    assert below_min_avail_b(node(archive=True, min_avail_gb=2.0), 2**30) == 2**30
    assert (
        below_min_avail_b(node(min_avail_gb=2.0), 2**32)
        == 0
        == below_min_avail_b(node(min_avail_gb=2.0), None)
    )
    assert below_min_avail_b(node(min_avail_gb=float("nan")), 0) == 0


def test_space_in_the_trash_is_refused_first_and_asked_for_as_much_as_is_lacking() -> None:
    space = Space()
    one = node(id=1, min_avail_gb=0.0, max_total_gb=None)
    space.open(one, 100, 0, 0, lambda size_b: size_b, lambda: 1000)
    refused = []
    for size_b in (80, 50, 60, 2000):
        space.decide()
        if (found := space.obstacle(1, size_b)) is None:
            space.reserve(1, size_b)
            continue
        refused.append(found)
        space.refused()
        if size_b == 60:
            # 20 bytes are left of those that are free.
            assert space.take_short(1) == 50 + 60 - 20
    assert refused == [Code.DESTINATION_FULL] * 3
    assert space.take_short(1) == 1000 and space.take_short(1) == 0
    assert space.usable(1, 900) and not space.usable(1, 1100)
    assert space.usable_b(1) == 1020 and space.left_b(1) == 20
    planned = Space(counts_trash=True)
    planned.open(one, 100, 0, 0, lambda size_b: size_b, lambda: 1000)
    assert planned.obstacle(1, 1100) is None and planned.obstacle(1, 1101) is Code.DESTINATION_FULL
