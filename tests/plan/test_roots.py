from __future__ import annotations

from random import Random

import pytest

from alpenhorn.plan.roots import Root, first_overlap, overlap, overlaps


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("/a", "/a", "is"),
        ("/a", "/a/", "is"),
        ("/a", "/x/../a", "is"),
        ("/a", "/a/b", "contains"),
        ("/a/b/c", "/a", "lies in"),
        ("/", "/a", "contains"),
        ("/a", "/", "lies in"),
        ("/a", "/ab", ""),
        ("/a/b", "/a/c", ""),
    ],
)
def test_how_two_roots_overlap(one: str, other: str, how: str) -> None:
    found = overlap(Root("x", one), Root("y", other), {})
    assert (found.how if found else "") == how


@pytest.mark.parametrize(
    ("real", "how"),
    [
        ({"/a": "/data", "/b": "/data"}, "is"),
        ({"/a": "/data/x", "/b": "/data"}, "lies in"),
        ({"/a": "/b/x"}, "lies in"),
        ({"/a": "/c"}, ""),
        ({}, ""),
    ],
)
def test_links_are_resolved_as_far_as_possible(real: dict[str, str], how: str) -> None:
    found = overlap(Root("x", "/a"), Root("y", "/b"), real)
    assert (found.how if found else "") == how


def test_the_message_names_both_nodes_and_roots() -> None:
    roots = [Root("x", "/a"), Root("y", "/b"), Root("z", "/a/c")]
    assert (
        str(first_overlap(roots[2], roots[:2], {})) == "the root /a/c of node z lies in the root /a of node x"
    )
    assert [str(one) for one in overlaps(roots, {})] == [str(first_overlap(roots[2], roots, {}))]
    assert first_overlap(roots[0], [roots[1]], {}) is None


def test_each_pair_of_overlapping_roots_is_found_once() -> None:
    random = Random(1)
    for _ in range(200):
        paths = ["/" + "/".join(random.choices("ab..", k=random.randrange(5))) for _ in range(6)]
        roots = [Root(str(number), path) for number, path in enumerate(paths)]
        real = {path: f"/{random.choice('abc')}" for path in paths if random.random() < 0.3}
        each = [(one, other) for place, one in enumerate(roots) for other in roots[:place]]
        assert overlaps(roots, real) == [found for pair in each if (found := overlap(*pair, real))]
