"""Division of a node's acquisitions for the comparison with its disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Nesting(NamedTuple):
    """The acquisitions around one: `above` contain it, outermost first; `below` are the nearest inside it."""

    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


def nestings(names: Iterable[str]) -> dict[str, Nesting]:
    """Return the nesting of each acquisition that contains others or is inside one."""
    above: dict[str, tuple[str, ...]] = {}
    below: dict[str, list[str]] = {}
    stack: list[str] = []
    # The slash sorts "2026/x" directly after "2026", and before "2026-x".
    for name in sorted(names, key=lambda name: f"{name}/"):
        while stack and not name.startswith(f"{stack[-1]}/"):
            stack.pop()
        if stack:
            above[name] = tuple(stack)
            below.setdefault(stack[-1], []).append(name)
        stack.append(name)
    return {
        name: Nesting(above.get(name, ()), tuple(below.get(name, ()))) for name in above.keys() | below.keys()
    }


def inside(name: str, directories: Sequence[str] | frozenset[str]) -> bool:
    """Return whether a path is inside one of these directories."""
    end = name.find("/")
    while end >= 0:
        if name[:end] in directories:
            return True
        end = name.find("/", end + 1)
    return False
