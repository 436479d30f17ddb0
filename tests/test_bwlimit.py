from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.bwlimit import DAY, LEAST, MOST, CurrentLimit, Rates, in_force, rate_at, read, seconds_left

M = 10**6
DAYTIME = ((8 * 3600, 5 * M), (18 * 3600, 0))  # limited while people work


def clock(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (500_000, 500_000),
        (2.5e6, 2_500_000),
        ("500000", 500_000),
        ("5M", 5 * M),
        ("5 MB", 5 * M),
        (" 5  MB ", 5 * M),
        ("1.5 M", 1_500_000),
        ("2 MiB", 2 * 2**20),
        ("2Mi", 2 * 2**20),
        ("64k", 64_000),
        ("64KB", 64_000),
        ("64 KiB", 64 * 1024),
        ("1 GB", 10**9),
        ("1 GiB", 2**30),
        ("2048 B", 2048),
        (LEAST, LEAST),
        (MOST, MOST),
    ],
)
def test_a_rate_is_a_number_of_bytes_or_has_a_unit(value: Any, rate: int) -> None:
    assert read(value) == ((0, rate),)


@pytest.mark.parametrize("value", [0, 0.0, "0", "off", "OFF", {"08:00": "off"}, {"00:00": 0, "12:00": "off"}])
def test_off_is_no_limit(value: Any) -> None:
    assert read(value) == ()


@pytest.mark.parametrize(
    "value",
    [
        *(1, 1023, MOST + 1, -5, True, False, None, [], [5 * M], float("nan"), float("inf"), 10**400),
        # Megabits are not megabytes, and a small m is a thousandth.
        *(
            "",
            "fast",
            "5 Mb",
            "5 Mbit/s",
            "5m",
            "5 T",
            "-5M",
            "1e6",
            "0x10",
            "5M off",
            "1000",
            "0.5 k",
            "9" * 20,
        ),
    ],
)
def test_an_invalid_rate_is_reported_with_the_expected_form(value: Any) -> None:
    with pytest.raises(ValueError) as told:
        read(value)
    (fault,) = told.value.args
    assert fault.startswith(" = ") and '"5 MB"' in fault and '"off"' in fault and '{"08:00"' in fault


def test_a_table_is_sorted_by_its_times() -> None:
    assert read({"18:00": "off", "8:00": "5M"}) == DAYTIME


def test_all_faults_of_a_table_are_reported_together() -> None:
    with pytest.raises(ValueError) as told:
        read(
            {
                "8:00": "5M",
                "08:00": "6M",
                "24:00": "5M",
                "12:60": "x",
                "noon": "off",
                "09:00": {"10:00": "1M"},
            }
        )
    texts = "\n".join(told.value.args)
    assert len(told.value.args) == 6
    assert ".'08:00': duplicate time" in texts
    for key in ("'24:00'", "'12:60'", "'noon'"):
        assert f".{key}: expected a time of day from 00:00 to 23:59" in texts
    assert ".'12:60' = 'x': expected bytes per second" in texts
    assert ".'09:00' = {'10:00': '1M'}: expected bytes per second" in texts
    with pytest.raises(ValueError, match="is empty: expected bytes per second"):
        read({})


@pytest.mark.parametrize(
    ("at", "rate", "left"),
    [
        ("00:00", 0, 8 * 3600),
        ("07:59", 0, 60),
        ("08:00", 5 * M, 10 * 3600),
        ("17:59", 5 * M, 60),
        ("18:00", 0, 14 * 3600),
        ("23:59", 0, 8 * 3600 + 60),
    ],
)
def test_each_entry_holds_until_the_next_and_the_last_over_midnight(at: str, rate: int, left: int) -> None:
    assert (rate_at(DAYTIME, clock(at)), seconds_left(DAYTIME, clock(at))) == (rate, left)


def test_a_limit_that_never_changes_has_no_end() -> None:
    assert seconds_left(((0, 5 * M),), 77) is None
    assert seconds_left(((0, 5 * M), (3600, 5 * M)), 77) is None
    assert (rate_at((), 77), seconds_left((), 77)) == (0, None)


@given(
    st.dictionaries(st.integers(0, DAY - 1), st.sampled_from([0, 1024, 5 * M]), max_size=6),
    st.integers(0, DAY - 1),
)
def test_a_limit_holds_until_the_time_that_is_returned(table: dict[int, int], second: int) -> None:
    rates: Rates = tuple(sorted(table.items()))
    now, left = rate_at(rates, second), seconds_left(rates, second)
    if left is None:
        assert {rate for _, rate in rates} <= {now}
        return
    assert 0 < left < DAY
    assert rate_at(rates, (second + left) % DAY) != now
    between = [(second + ahead) % DAY for ahead in {1, left // 2, left - 1} if 0 < ahead < left]
    assert all(rate_at(rates, one) == now for one in between)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(*when: int) -> float:
    import calendar

    return float(calendar.timegm((*when, 0, 0)))


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # 07:30 and 08:30 in winter, 08:30 in summer.
        (utc(2026, 1, 10, 6, 30), CurrentLimit(0, utc(2026, 1, 10, 7, 0))),
        (utc(2026, 1, 10, 7, 30), CurrentLimit(5 * M, utc(2026, 1, 10, 17, 0))),
        (utc(2026, 7, 10, 6, 30), CurrentLimit(5 * M, utc(2026, 7, 10, 16, 0))),
        # Over midnight, over the end of a year, and over the nights in which the clocks are changed.
        (utc(2026, 12, 31, 22, 0), CurrentLimit(0, utc(2027, 1, 1, 7, 0))),
        (utc(2026, 3, 28, 23, 0), CurrentLimit(0, utc(2026, 3, 29, 6, 0))),
        (utc(2026, 10, 24, 22, 0), CurrentLimit(0, utc(2026, 10, 25, 7, 0))),
    ],
)
def test_times_are_local_ones(now: float, expected: CurrentLimit) -> None:
    assert in_force(DAYTIME, now) == expected


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("minutes", range(0, 240, 7))
def test_the_end_of_a_limit_is_never_in_the_past(minutes: int) -> None:
    table = ((clock("02:30"), 5 * M), (clock("02:45"), 0), (clock("03:15"), 5 * M))
    for midnight in (utc(2026, 3, 29, 0, 0), utc(2026, 10, 25, 0, 0)):
        now = midnight + 60 * minutes
        until = in_force(table, now).until
        assert until is not None and now < until <= now + DAY + 3600
