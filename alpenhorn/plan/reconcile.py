"""How the acquisitions of a node are shared out for a comparison with its disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """Where an acquisition's directory lies among the others: `above`, those that contain it, outermost first;
    `below`, the nearest ones that it contains."""

    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


def places(names: Iterable[str]) -> dict[str, Place]:
    """The acquisitions whose directories lie in one another, by name; others are left out."""
    above: dict[str, tuple[str, ...]] = {}
    below: dict[str, list[str]] = {}
    stack: list[str] = []
    # With the slash, so that what lies in a directory comes right behind it, and before "2026-x" for "2026".
    for name in sorted(names, key=lambda name: f"{name}/"):
        while stack and not name.startswith(f"{stack[-1]}/"):
            stack.pop()
        if stack:
            above[name] = tuple(stack)
            below.setdefault(stack[-1], []).append(name)
        stack.append(name)
    return {
        name: Place(above.get(name, ()), tuple(below.get(name, ()))) for name in above.keys() | below.keys()
    }


def inside(name: str, directories: Sequence[str] | frozenset[str]) -> bool:
    """Whether a path lies in one of these directories."""
    end = name.find("/")
    while end >= 0:
        if name[:end] in directories:
            return True
        end = name.find("/", end + 1)
    return False
