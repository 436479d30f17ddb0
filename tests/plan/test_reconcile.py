from __future__ import annotations

import pytest

from alpenhorn.plan.reconcile import Nesting, inside, nestings


def test_acquisitions_side_by_side_have_no_place() -> None:
    assert nestings(["2026", "2026-x", "2026x", "20", "a/b", "a/bc"]) == {}


def test_each_knows_what_contains_it_and_what_it_contains_next() -> None:
    assert nestings(["a/b/c/d", "a", "a-", "a/b", "a/x", "a/b/y", "b/b"]) == {
        "a": Nesting((), ("a/b", "a/x")),
        "a/b": Nesting(("a",), ("a/b/c/d", "a/b/y")),
        "a/b/c/d": Nesting(("a", "a/b"), ()),
        "a/b/y": Nesting(("a", "a/b"), ()),
        "a/x": Nesting(("a",), ()),
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
