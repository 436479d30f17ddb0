"""Sets of byte ranges, compared with sets of numbers."""

from __future__ import annotations

import itertools
import random

import pytest

from alpenhorn.transfer.byte_ranges import BLOCK, ByteRange, RangeSet, without_tail


def bytes_of(ranges: RangeSet) -> set[int]:
    return {number for one in ranges for number in range(one.start, one.end)}


def prefix_of(numbers: set[int]) -> int:
    return next(number for number in range(len(numbers) + 1) if number not in numbers)


@pytest.mark.parametrize("seed", range(20))
def test_a_set_of_ranges_is_a_set_of_bytes(seed: int) -> None:
    choice = random.Random(seed)
    ranges, numbers = RangeSet(), set[int]()
    for _ in range(200):
        start = choice.randrange(60)
        one = ByteRange(start, start + choice.randrange(12))
        match choice.randrange(5):
            case 0 | 1:
                ranges.add(one)
                numbers |= set(range(*one))
            case 2 | 3:
                ranges.remove(one)
                numbers -= set(range(*one))
            case _:
                taken = ranges.take(most := choice.randrange(1, 5))
                if taken is None:
                    assert not numbers
                else:
                    assert taken.start == min(numbers) and 0 < taken.length <= most
                    assert numbers >= set(range(*taken))
                    numbers -= set(range(*taken))
        assert bytes_of(ranges) == numbers and ranges.total == len(numbers)
        assert ranges.prefix() == prefix_of(numbers)
        found = list(ranges)
        assert all(one.length > 0 for one in found)
        assert all(left.end < right.start for left, right in itertools.pairwise(found))
        assert list(RangeSet(found)) == found


def test_the_last_block_may_be_short() -> None:
    size_b = 2 * BLOCK + 5
    assert [without_tail(n, size_b) for n in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 4, size_b)] == [
        0,
        0,
        BLOCK,
        2 * BLOCK,
        size_b,
    ]
