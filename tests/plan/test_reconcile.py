from __future__ import annotations

import pytest

from alpenhorn.plan.reconcile import Nesting, inside, nestings


def test_acquisitions_with_a_common_prefix_are_not_nested() -> None:
    assert nestings(["2026", "2026-x", "2026x", "20", "a/b", "a/bc"]) == {}


def test_nested_acquisition_knows_those_above_it_and_the_nearest_below() -> None:
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
def test_path_is_inside_a_directory_only_at_a_whole_element(name: str, expected: bool) -> None:
    assert inside(name, frozenset({"log", "a/b"})) is expected
