from __future__ import annotations

import pytest

from alpenhorn.model.conditions import Condition
from alpenhorn.plan.conditions import SEEN_EVERY, SUBJECT, decide, essence, joined, key, span

DAY = 86_400.0
NOW = 1_800_000_000.0
KEY = ("node-left-out", "v1")
WHY = "node v1 is left out: /v1 did not answer within 30 s"


def stored(reported: float | None = NOW - 600, seen: float = NOW - 600, why: str = WHY) -> Condition:
    return Condition(*KEY, why, NOW - 2 * DAY, seen, reported)


def told(one: Condition | None, why: str = WHY, mailed: bool = True) -> bool:
    return KEY in decide([one] if one else [], {KEY: why}, NOW, DAY, mailed, lambda _: True).reported


def test_a_new_condition_is_reported_and_a_recently_reported_one_is_not() -> None:
    assert told(None)
    assert not told(stored())


def test_a_lasting_condition_is_reported_once_a_day() -> None:
    assert not told(stored(reported=NOW - DAY + 1))
    assert told(stored(reported=NOW - DAY))


def test_a_changed_text_is_reported_and_a_changed_number_is_not() -> None:
    assert told(stored(), "node v1 is left out: it has no marker")
    assert not told(stored(), WHY.replace("30 s", "31.5 s"))


def test_a_condition_shown_only_on_a_terminal_is_still_mailed() -> None:
    found = decide([], {KEY: WHY}, NOW, DAY, False, lambda _: True)
    (row,) = found.written
    assert found.reported and row.reported is None
    assert told(row)


def test_a_clock_that_was_put_back_silences_nothing() -> None:
    assert told(stored(reported=NOW + DAY))


def test_a_condition_that_lasts_costs_no_write_in_each_run() -> None:
    assert decide([stored()], {KEY: WHY}, NOW, DAY, True, lambda _: True).written == ()
    (row,) = decide([stored(seen=NOW - SEEN_EVERY)], {KEY: WHY}, NOW, DAY, True, lambda _: True).written
    assert (row.seen, row.began, row.reported) == (NOW, NOW - 2 * DAY, NOW - 600)


def test_a_condition_not_found_where_the_run_looked_is_over() -> None:
    found = decide([stored()], {}, NOW, DAY, True, lambda _: True)
    assert found.over == found.removed == (stored(),)
    found = decide([stored()], {}, NOW, DAY, True, lambda _: False)
    assert found.over == found.removed == ()


def test_an_end_is_mailed_if_the_beginning_was() -> None:
    assert decide([stored()], {}, NOW, DAY, False, lambda _: True).removed == ()
    assert decide([stored(reported=None)], {}, NOW, DAY, False, lambda _: True).over


def test_a_condition_replaced_by_another_of_the_same_subject_is_not_reported_as_over() -> None:
    found = decide([stored()], {("node-lost", "v1"): "node v1: gone"}, NOW, DAY, True, lambda _: True)
    assert found.reported == {("node-lost", "v1")} and found.removed == (stored(),) and found.over == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no room on v1: 12.5 GB free", "no room on v1: 980 MB free"),
        (
            "another run (pid 12 on here since 2026-01-01 00:00:00 UTC)",
            "another run (pid 7 on here since 2026-02-03 10:20:30 UTC)",
        ),
        ("needs 2, has 1", "needs 2, has 0"),
        ("seen 3 hours ago", "seen 2 days ago"),
    ],
)
def test_numbers_do_not_distinguish_conditions(one: str, other: str) -> None:
    assert essence(one) == essence(other)


def test_names_distinguish_conditions() -> None:
    assert essence("node v is left out") != essence("node w is left out")


def test_a_condition_replaced_by_one_of_a_part_of_the_subject_is_over() -> None:
    full = stored()._replace(code="destination-full", why="no room on v1")
    found = decide([full], {("node-settings-warning", "v1"): "odd"}, NOW, DAY, True, lambda _: True)
    assert found.over == (full,)


def test_a_long_subject_is_cut_and_stays_another_one_than_its_like() -> None:
    one, other = (key("c", "x" * 1000 + end)[1] for end in "ab")
    assert one != other and len(one) == len(other) == SUBJECT
    assert key("c", "v1\udce9\0") == ("c", "v1\\xe9\\x00")


def test_several_texts_of_one_condition_are_one_text_whatever_their_order_and_numbers() -> None:
    texts = ["12 of b are lost", "9 of a are lost", "9 of a are lost"]
    assert joined(texts) == joined(reversed(texts)) == "9 of a are lost; 12 of b are lost"
    assert essence(joined(texts)) == essence(joined(["1 of b are lost", "70 of a are lost"]))
    assert essence(joined(texts)) != essence(joined(texts[:1]))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (59, "59 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (86_400 + 120, "1 d"),
        (200_000, "2 d 7 h"),
    ],
)
def test_span_of_seconds_is_shown_in_words(seconds: float, text: str) -> None:
    assert span(seconds) == text
