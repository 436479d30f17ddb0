import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpenhorn.index.times import EPOCH, known_moment, moment, posix

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        (None, None),
        (WHEN, WHEN),
        ("2026-01-02 03:04:05", WHEN),
        ("2026-01-02T05:04:05+02:00", WHEN),
        (1767323045, WHEN),
        (1767323045.0, WHEN),
        (0, EPOCH),
        ("", None),
        ("soon", None),
        (b"2026-01-02 03:04:05", None),
        (2**63 - 1, None),
        (float("nan"), None),
        (float("-inf"), None),
        ("0001-01-01 00:00:00+14:00", None),
    ],
)
def test_a_date_column_is_what_it_means_or_unknown(stored, meant):
    assert moment(stored) == meant
    assert known_moment(stored) == (meant or EPOCH)


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.none(), st.text(), st.binary(), st.integers(), st.floats(), st.datetimes(), st.datetimes().map(str)
    )
)
def test_no_value_of_a_date_column_is_an_error(stored):
    assert isinstance(posix(stored), float)
