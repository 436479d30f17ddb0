"""The questions of `alpenhorn init`, each the equivalent of one of its options."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from alpenhorn.cli import output
from alpenhorn.setup.directories import FileSystem
from alpenhorn.setup.start import WantedNode

T = TypeVar("T")


def place(question: str, kind: click.ParamType[WantedNode], default: str | None = None) -> WantedNode | None:
    """Ask for an existing directory; None for an empty answer, which is possible if the default is "".

    An answer that is not accepted is asked for again.
    """

    def accepted(answer: str) -> WantedNode | None:
        if not answer:
            return None
        found = kind.convert(os.path.expanduser(answer), None, None)
        if not os.path.isdir(found.root):
            raise click.BadParameter(f"{found.root!a}: no such directory")
        return found

    return _ask(question, accepted, default)


def disks(
    systems: Sequence[FileSystem], kind: click.ParamType[WantedNode], keep: Sequence[WantedNode]
) -> tuple[WantedNode, ...]:
    """Offer file systems, and ask for at least one disk for copies: the number of one, or a directory."""
    offered = [one for one in systems if not any(_holds(one.mount, place.root) for place in keep)]
    if offered:
        output.line("\nMounted file systems:")
        for number, one in enumerate(offered, 1):
            sizes = f"{output.size(one.free_b)} free of {output.size(one.total_b)}"
            output.line(f"  {number}  {one.mount}  ({one.device}, {one.kind}, {sizes})")
    chosen: list[WantedNode] = []
    which = "number or directory" if offered else "directory"
    while True:
        question = f"Disk for copies ({which})" if not chosen else f"Another disk ({which}, empty for none)"
        found = place(question, _Numbered(kind, [one.mount for one in offered]), "" if chosen else None)
        if found is None:
            return tuple(chosen)
        chosen.append(found)


class _Numbered(click.ParamType[WantedNode]):
    """A directory, or the number of one that was offered."""

    name = "directory"

    def __init__(self, kind: click.ParamType[WantedNode], offered: Sequence[str]) -> None:
        self.kind = kind
        self.offered = offered

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> WantedNode:
        if value.isdecimal() and 1 <= int(value) <= len(self.offered):
            value = self.offered[int(value) - 1]
        return self.kind.convert(value, param, ctx)


def _holds(mount: str, root: str) -> bool:
    """Return whether a directory to keep is in a file system, whose root can then not be that of another node."""
    return os.path.realpath(root).startswith(f"{mount.rstrip('/')}/") or os.path.realpath(root) == mount


def text(question: str, kind: click.ParamType[T], default: str, *, shown: bool = True) -> T:
    """Ask for a value of a kind, with a default, which is `shown` unless the question says what it is."""
    return _ask(question, lambda answer: kind.convert(answer, None, None), default, shown)


def one_of(question: str, choices: Sequence[str], default: str) -> str:
    found: str = click.prompt(question, type=click.Choice(choices), default=default)
    return found


def _ask(question: str, accepted: Callable[[str], T], default: str | None, shown: bool = True) -> T:
    return click.prompt(
        output.harmless(question), value_proc=accepted, default=default, show_default=shown and bool(default)
    )
