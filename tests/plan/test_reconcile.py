from __future__ import annotations

import pytest

from alpenhorn.plan.reconcile import Place, inside, places


def test_acquisitions_side_by_side_have_no_place() -> None:
    assert places(["2026", "2026-x", "2026x", "20", "a/b", "a/bc"]) == {}


def test_each_knows_what_contains_it_and_what_it_contains_next() -> None:
    assert places(["a/b/c/d", "a", "a-", "a/b", "a/x", "a/b/y", "b/b"]) == {
        "a": Place((), ("a/b", "a/x")),
        "a/b": Place(("a",), ("a/b/c/d", "a/b/y")),
        "a/b/c/d": Place(("a", "a/b"), ()),
        "a/b/y": Place(("a", "a/b"), ()),
        "a/x": Place(("a",), ()),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log/f", True),
        ("log/deep/f", True),
        ("a/b/f", True),
        ("log", False),
        ("logs/f", False),
        ("a/f", False),
    ],
)
def test_what_lies_in_a_directory(name: str, expected: bool) -> None:
    assert inside(name, frozenset({"log", "a/b"})) is expected
