"""The copies of a medium that is gone: counted and shown before, and recorded as missing."""

from __future__ import annotations

from alpenhorn import formats
from alpenhorn.cli import output
from alpenhorn.cli.app import App
from alpenhorn.cli.long_work import LongWork
from alpenhorn.edits import lost
from alpenhorn.edits.lost import LostAmounts, RecordedMedium
from alpenhorn.model.nodes import NodeFact


def count(app: App, node: NodeFact) -> LostAmounts:
    with LongWork(app, f"Counting the copies on {node.name}"):
        return lost.amounts(app.index, node.id)


def show_only_here(found: LostAmounts) -> None:
    """Print how many files have no good copy elsewhere, if there are any."""
    if found.only_here.files:
        files = formats.count(found.only_here.files, "file has", "files have")
        output.line(f"{files} no good copy elsewhere ({output.size(found.only_here.bytes)}).")


def record(app: App, node: NodeFact, before: RecordedMedium | None, found: LostAmounts) -> str:
    """Record the copies as missing; return their number in words.  `before`: as for `alpenhorn.edits.lost.declare`."""
    with LongWork(app, f"Recording the copies on {node.name} as missing", changing=True) as work:
        done = lost.declare(app.index, node, before, app.stamp(), work.at, found.copies.files)
    return formats.count(done, "copy", "copies")
