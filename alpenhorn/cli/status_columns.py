"""Columns of the status screen: of nodes, and of sums by host or group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from shlex import quote
from typing import NamedTuple

from alpenhorn import formats
from alpenhorn.cli import output
from alpenhorn.cli.columns import ListingColumn, column, flag, number, size
from alpenhorn.cli.run_columns import run_document
from alpenhorn.cli.storage_columns import gib_bytes
from alpenhorn.listings.retirements import RetirementStatus
from alpenhorn.listings.runs import RunRow
from alpenhorn.listings.status import NodeStatus
from alpenhorn.monitoring.attention import Attention, Look

# Left out on narrow terminals, the first one first.
OPTIONAL = ("Free", "Host")


class NodeStatusLine(NamedTuple):
    """A node, with the items about it.  `look`: of which it is a part."""

    status: NodeStatus
    items: tuple[Attention, ...]
    look: Look


class Sum(NamedTuple):
    """The nodes of a host or group.

    `items`: about it or its nodes; `last_run`: the newest one of its nodes; `look`: of which it is a part.
    """

    name: str
    lines: list[NodeStatusLine]
    items: tuple[Attention, ...]
    look: Look

    @property
    def active(self) -> int:
        return sum(line.status.node.active for line in self.lines)

    @property
    def incoming(self) -> int:
        """Requests into the groups of the nodes; the nodes of a group share them."""
        return sum({line.status.node.group: line.status.incoming[0] for line in self.lines}.values())

    @property
    def outgoing(self) -> int:
        return sum(line.status.outgoing[0] for line in self.lines)

    @property
    def bad(self) -> int:
        return sum(bad_copies(line.status) for line in self.lines)

    @property
    def last_run(self) -> RunRow | None:
        runs = [line.status.last_run for line in self.lines if line.status.last_run is not None]
        return max(runs, key=lambda run: run.id, default=None)


def bad_copies(status: NodeStatus) -> int:
    return status.corrupt + status.changed + status.missing + status.suspect


def _of(path: str) -> str:
    return f"status.{path}"


def _to_tape(name: str) -> Callable[[NodeStatusLine], object]:
    return lambda line: getattr(line.status.to_tape, name) if line.status.to_tape else None


def _last_run(line: NodeStatusLine) -> dict[str, object] | None:
    run = line.status.last_run
    return None if run is None else run_document(run, line.look.states[run.id])


def node_columns(wide: bool) -> tuple[ListingColumn, ...]:
    """Return the columns for a NodeStatusLine; `wide`: as many as possible, which takes about 150 characters."""
    name = column("name", "Node", _of("node.name"))
    group = column("group", "Group", _of("node.group"))
    host = column("host", "Host", _of("node.host"))
    active = flag("active", "Active", _of("node.active"))
    free = size("avail_b", "Free", lambda line: gib_bytes(line.status.node.avail_gb))
    hidden = (
        column("avail_checked", value=_of("node.avail_gb_last_checked")),
        column("in.files", value=lambda line: line.status.incoming[0]),
        column("in.size_b", value=lambda line: line.status.incoming[1]),
        column("out.files", value=lambda line: line.status.outgoing[0]),
        column("out.size_b", value=lambda line: line.status.outgoing[1]),
    )
    counts = (
        column("corrupt", value=_of("corrupt")),
        column("changed", value=_of("changed")),
        column("missing", value=_of("missing")),
        column("suspect", value=_of("suspect")),
        column("mendable", value=_of("mendable")),
        column("trash", value=_of("trashed")),
        *(
            column(f"to_tape.{name}", value=_to_tape(name))
            for name in ("files", "in_batches", "size_b", "since")
        ),
        column("verified", value=_of("verified")),
        column("away_since", value=lambda line: line.status.away and line.status.away.since),
        column("items", value=lambda line: len(line.items)),
    )
    if wide:
        return (
            *(name, group, host, active),
            number("full", "Full", _of("full"), shown=output.percent),
            free,
            *hidden,
            number("", "In", cell=lambda line: _work(line.status.incoming)),
            number("", "Out", cell=lambda line: _work(line.status.outgoing)),
            number("imports", "Imports", _of("imports"), shown=_or_dash),
            column("", "Problems", cell=lambda line: _bad_copies(line.status)),
            *counts,
            column("last_run", "Last run", _last_run, cell=_run)._replace(zoned=True),
        )
    return (
        name,
        number("", "Items", cell=lambda line: _or_dash(len(line.items))),
        group.hidden(),
        host,
        active.hidden(),
        number("full", "Full", _of("full"), shown=_whole_percent),
        free,
        *hidden,
        number("", "In", cell=lambda line: _or_dash(line.status.incoming[0])),
        number("", "Out", cell=lambda line: _or_dash(line.status.outgoing[0])),
        column("imports", value=_of("imports")),
        number("", "Bad", cell=lambda line: _or_dash(bad_copies(line.status))),
        *counts,
        column("last_run", "Last run", _last_run, cell=_age),
    )


RETIREMENTS = (
    column("node", value="node.name"),
    column("began"),
    column("releases"),
    column("declared_lost"),
    column("left.files"),
    column("left.size_b", value="left.bytes"),
    column("missing"),
    column("waiting"),
    column("stuck"),
    column("nowhere"),
    column("compared", value="compared_at"),
)


def retirement_line(one: RetirementStatus) -> str:
    """Return how far a retirement is, and the first command to run."""
    name = one.node.name
    if one.done:
        first = f"alpenhorn node deactivate {quote(name)} && " if one.node.active else ""
        return f"{name}: nothing is left on it; to remove it: {first}alpenhorn node delete {quote(name)}"
    parts = []
    if one.left.files:
        copies = formats.count(one.left.files, "copy", "copies")
        parts.append(f"{copies} ({output.size(one.left.bytes)}) left")
    if one.missing:
        parts.append(f"{one.missing} missing")
    if one.waiting:
        parts.append(f"{formats.count(one.waiting, 'file')} requested")
    if one.stuck:
        parts.append(f"{one.stuck} cannot be copied elsewhere")
    if one.nowhere:
        parts.append(f"of these {one.nowhere} without a good copy")
    if one.left.files and not (one.waiting or one.stuck or one.releases):
        parts.append("to be kept there (no --release)")
    return f"{name}: {', '.join(parts)}; see: alpenhorn node retire {quote(name)}"


def to_tape_line(status: NodeStatus) -> str:
    """Describe the copies on a node that are not on tape yet; "" if there are none."""
    total = status.to_tape
    if total is None:
        return ""
    files = f"{formats.count(total.files, 'file')} ({output.size(total.size_b)})"
    batches = f"{total.in_batches} in batches, " if total.in_batches else ""
    return f"{status.node.name}: {files}, {batches}the first since {output.zoned(total.since)}"


def sum_columns(header: str) -> tuple[ListingColumn, ...]:
    """Return the columns for a Sum; `header`: of its name."""
    return (
        column("name", header),
        number("items", "Items", lambda row: len(row.items), shown=_or_dash),
        number("nodes", "Nodes", lambda row: len(row.lines)),
        number("active", "Active"),
        number("in", "In", "incoming", shown=_or_dash),
        number("out", "Out", "outgoing", shown=_or_dash),
        number("bad", "Bad", shown=_or_dash),
        column(
            "last_run",
            "Last run",
            lambda row: row.last_run and row.last_run.started,
            cell=lambda row: _since(row.last_run, row.look),
        ),
    )


def sums(look: Look, lines: Iterable[NodeStatusLine], items: Iterable[Attention], by: str) -> list[Sum]:
    """Return the sums by "host" or "group", those with the most items first."""
    parts: dict[str, list[NodeStatusLine]] = {}
    for line in lines:
        parts.setdefault(getattr(line.status.node, by) or "", []).append(line)
    about: dict[str, list[Attention]] = {}
    for item in items:
        about.setdefault(getattr(item, by), []).append(item)
    found = [Sum(name, part, tuple(about.get(name, ())), look) for name, part in parts.items()]
    return sorted(found, key=lambda one: (-len(one.items), one.name))


def _bad_copies(status: NodeStatus) -> str:
    words = ("corrupt", "changed", "missing", "suspect")
    return ", ".join(f"{copies} {word}" for word in words if (copies := getattr(status, word))) or "-"


def _or_dash(number: int) -> int | str:
    return number or "-"


def _whole_percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.0f} %"


def _work(work: tuple[int, int]) -> str:
    files, bytes_ = work
    return f"{files} ({output.size(bytes_)})" if files else "-"


def _away(line: NodeStatusLine) -> str:
    """Return for how long a node is away that may be, "" for any other."""
    away = line.status.away
    return "" if away is None else f"away {formats.age((line.look.found.now - away.since).total_seconds())}"


def _age(line: NodeStatusLine) -> str:
    if away := _away(line):
        return away
    if not line.status.node.active:
        return "inactive"
    return _since(line.status.last_run, line.look)


def _since(run: RunRow | None, look: Look) -> str:
    if run is None:
        return "-"
    if run.ended is None:
        return look.states[run.id].said
    return formats.age((look.found.now - run.ended).total_seconds())


def _run(line: NodeStatusLine) -> str:
    parts = []
    if (run := line.status.last_run) is not None:
        parts.append(_minute(run.started))
        if run.ended is None:
            parts.append(line.look.states[run.id].said)
        elif run.failed:
            parts.append(f"{run.failed} failed")
    if away := _away(line):
        parts.append(away)
    return ", ".join(parts) or "-"


def _minute(moment: datetime | None) -> str:
    return output.time(moment)[:16]  # without the seconds
