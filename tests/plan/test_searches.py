from __future__ import annotations

import pytest

from alpenhorn.model.searches import Stamp
from alpenhorn.plan.searches import (
    FULL_SECONDS,
    Heading,
    is_valid,
    new_subdirectories,
    parse,
    subdirectories,
    to_forget,
    to_list_again,
)

WRITTEN = (7, "here", "2026-01-02 03:04:05")
HEADING = Heading(("a.*", 'b"\n'), WRITTEN, 1000.5, ("it of package 1.0",))


def test_a_heading_is_read_as_it_was_written() -> None:
    assert parse(HEADING.text()) == HEADING


@pytest.mark.parametrize(
    "text", [None, "", "incomplete", "[]", "[1, 2, 3]", "{}", "null", "[[], [1], 2]", '[[], ["x", 1, 2], 3]']
)
def test_anything_else_is_no_heading(text: str | None) -> None:
    assert parse(text) is None


def test_records_of_searches_are_used_while_their_conditions_hold() -> None:
    assert is_valid(HEADING, WRITTEN, HEADING.patterns, 2000.0)
    assert not is_valid(HEADING, None, HEADING.patterns, 2000.0)
    for other in ((8, *WRITTEN[1:]), (7, "there", WRITTEN[2]), (7, "here", "2026-01-02 03:04:06")):
        assert not is_valid(HEADING, other, HEADING.patterns, 2000.0)
    assert not is_valid(HEADING, WRITTEN, (), 2000.0)
    assert not is_valid(HEADING, WRITTEN, HEADING.patterns, 1000.5 + FULL_SECONDS)
    assert not is_valid(HEADING, WRITTEN, HEADING.patterns, 1000.0)  # the clock was put back


def test_known_subdirectories_are_not_listed_again() -> None:
    now = Stamp("acq", 1, 2, "a/b/c")
    assert subdirectories(now) == ["acq/a", "acq/b", "acq/c"]
    assert subdirectories(Stamp("", 1, 2, "a/b")) == ["a", "b"]
    assert subdirectories(Stamp("acq", 1, 2, "")) == []
    assert new_subdirectories(now, None, set()) == ["acq/a", "acq/b", "acq/c"]
    assert new_subdirectories(now, Stamp("acq", 0, 0, "b/d"), set()) == ["acq/a", "acq/c"]


def test_a_subdirectory_that_was_gone_and_is_back_is_new() -> None:
    assert new_subdirectories(Stamp("", 1, 2, "a/b"), Stamp("", 0, 0, "a/b"), {"b"}) == ["b"]


def test_a_directory_to_be_listed_again_keeps_its_known_subdirectories() -> None:
    before, listed = Stamp("a", 1, 2, "x"), Stamp("a", 3, 4, "x/y")
    assert to_list_again("a", before) == Stamp("a", 0, 0, "x")
    assert to_list_again("a", before, listed) == Stamp("a", 0, 0, "x/y")
    assert to_list_again("a", None) == Stamp("a", 0, 0, "")


def test_a_directory_is_forgotten_only_with_its_parents_entry_of_it() -> None:
    gone = ["a/b/c", "a/b", "a", "d/e", "f"]
    assert to_forget(gone, {""}) == ["a", "a/b", "a/b/c", "f"]
    assert to_forget(gone, {"d"}) == ["d/e"]
    assert to_forget(["a/b/c"], {""}) == []
    assert to_forget([], {""}) == []
