from __future__ import annotations

import datetime

import pytest

from alpenhorn.index.times import moment, posix


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-07-22 10:00:00", "2026-07-22T10:00:00"),
        (datetime.datetime(2026, 7, 22, 10), "2026-07-22T10:00:00"),
        (1784714400, "2026-07-22T10:00:00"),
        (1784714400.0, "2026-07-22T10:00:00"),
        (0, "1970-01-01T00:00:00"),
        (-1, "1969-12-31T23:59:59"),
        (2**63 - 1, "9999-12-31T23:59:59.999999"),
        (-(2**63), "0001-01-01T00:00:00"),
        (float("inf"), "9999-12-31T23:59:59.999999"),
    ],
)
def test_a_date_column_holds_text_a_datetime_or_posix_seconds(value: float, text: str) -> None:
    assert moment(value).isoformat() == text
    assert datetime.datetime(1, 1, 1) <= moment(value) <= datetime.datetime.max


def test_no_date_is_none() -> None:
    assert moment(None) is None


def test_posix_seconds_of_a_number_are_that_number() -> None:
    assert posix(1784714400) == posix("2026-07-22 10:00:00") == 1784714400
