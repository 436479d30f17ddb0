"""Columns for hosts, groups and nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import CommandFunction
from alpenhorn.cli.columns import ListingColumn, column, flag, number, size
from alpenhorn.cli.complete import GROUP, HOST, NODE, names_option
from alpenhorn.cli.options import settings
from alpenhorn.index.connection import Index
from alpenhorn.listings import storage
from alpenhorn.listings.stats import FileTally, NodeStats, fullness
from alpenhorn.listings.status import no_room
from alpenhorn.listings.storage import GroupRow, NodeRow
from alpenhorn.model.nodes import GIB
from alpenhorn.scan import patterns


class NodeLine(NamedTuple):
    """A node, with its statistics if they are shown."""

    node: NodeRow
    stats: NodeStats | None = None

    @property
    def full(self) -> float | None:
        return fullness(self.node, self.good.bytes)

    @property
    def good(self) -> FileTally:
        return FileTally() if self.stats is None else self.stats.good

    def states(self) -> dict[str, FileTally]:
        return {} if self.stats is None else self.stats.states


def gib_bytes(gib: float | None) -> int | None:
    return None if gib is None else round(gib * GIB)


def _io_class(row: GroupRow | NodeRow) -> str:
    return row.io_class or "Default"


HOST_COLUMNS = (
    column("name", "Name"),
    column("address", "Address"),
    column("username", "User"),
    column("site", "Site"),
    number("node_count", "Nodes", "nodes"),
    column("notes", "Notes"),
)
GROUP_COLUMNS = (
    column("name", "Name"),
    column("io_class", "Class", _io_class),
    column("io_config", value=lambda row: settings(row.io_config)),
    number("node_count", "Nodes", "nodes"),
    column("notes", "Notes"),
)
# For a NodeLine.
NODE_NAME = column("name", "Name", "node.name")
NODE_COLUMNS = (
    column("group", "Group", "node.group"),
    column("host", "Host", "node.host"),
    column("username", value="node.username"),
    column("address", value="node.address"),
    flag("active", "Active", "node.active"),
    flag("archive", "Archive", "node.archive"),
    column("auto_import", value="node.auto_import"),
    column("auto_verify", value="node.auto_verify"),
    column("absent_ok", value="node.absent_ok"),
    column("top_acq", value="node.top_acq"),
    column("site", value="node.site"),
    column("retired", value="node.retired"),
    column("io_class", "Class", lambda line: _io_class(line.node)),
    column("root", "Root", "node.root"),
    column("io_config", value=lambda line: settings(line.node.io_config)),
    column("max_total_b", value=lambda line: gib_bytes(line.node.max_total_gb)),
    column("min_avail_b", value=lambda line: gib_bytes(line.node.min_avail_gb)),
    column("avail_b", value=lambda line: gib_bytes(line.node.avail_gb)),
    column("avail_checked", value="node.avail_gb_last_checked"),
)
NODE_NOTES = column("notes", "Notes", "node.notes")
STATS_COLUMNS = (
    number("files", "Files", "good.files"),
    size("size_b", "Size", "good.bytes"),
    number("full", "Full", shown=output.percent),
    column("no_room", value=lambda line: no_room(line.node, line.full)),
    column(
        "states",
        value=lambda line: {
            state: {"files": tally.files, "size_b": tally.bytes} for state, tally in line.states().items()
        },
    ),
)
# For the pending requests from a node into a group, and for the rules between them.
PENDING = (number("files", "Files"), size("size_b", "Size", "bytes"))
ACTIONS = (flag("autosync", "Autosync into the group"), flag("autoclean", "Autoclean of the node"))


def bad_copies(state: str) -> ListingColumn:
    """Return a column for a NodeLine with the number of copies in a state."""
    return number("", state, cell=lambda line: line.states().get(state, FileTally()).files)


def node_lines(nodes: Iterable[NodeRow], stats: Mapping[int, NodeStats] | None = None) -> list[NodeLine]:
    """Return lines for nodes; `stats` has their statistics by their ids."""
    return [NodeLine(node, None if stats is None else stats[node.id]) for node in nodes]


def node_document(line: NodeLine) -> dict[str, object]:
    document = columns.document((NODE_NAME, *NODE_COLUMNS, NODE_NOTES), line)
    if line.stats is not None:
        document["stats"] = columns.document(STATS_COLUMNS, line)
    return document


def print_nodes(lines: Sequence[NodeLine], *, details: bool, stats: bool) -> None:
    """Print a section with the nodes of a host or group: their names, or a table."""
    output.heading("Nodes:")
    if not lines:
        output.line("  none")
    elif details or stats:
        columns.table(
            (NODE_NAME, *(NODE_COLUMNS if details else ()), *(STATS_COLUMNS if stats else ())), lines
        )
    else:
        output.lines(f"  {line.node.name}" for line in lines)


def print_settings(io_config: str | None) -> None:
    """Print a section with the settings of a storage class."""
    output.heading("I/O settings:")
    config = settings(io_config)
    if not config:
        output.line("  none")
    elif isinstance(config, dict):
        for key, value in config.items():
            output.line(f"  {key}: {value}")
    else:
        output.line(f"  invalid, not a JSON object: {io_config}")


def filter_options(command: CommandFunction) -> CommandFunction:
    """Add the argument PATTERN, --active, --all, --group and --host to a command that lists nodes."""
    for decorate in (
        names_option(HOST, "Only nodes on HOST, a name or a pattern"),
        names_option(GROUP, "Only nodes in GROUP, a name or a pattern"),
        click.option("-a", "--all", "all_", is_flag=True, help="Include retired nodes."),
        click.option("--active/--inactive", default=None, help="Only active, or only inactive, nodes."),
        click.argument("pattern", type=NODE, metavar="[PATTERN]", default="*"),
    ):
        command = decorate(command)
    return command


def chosen_nodes(
    index: Index, pattern: str, active: bool | None, all_: bool, groups: Iterable[str], hosts: Iterable[str]
) -> list[storage.NodeRow]:
    """Return the nodes that the options chose.  `groups`, `hosts`: names or patterns, none for all.

    `all_`: include retired nodes, which are left out unless one of them is named.
    """
    in_groups = {row.name for row in patterns.matching(index, "group", groups)}
    on_hosts = {row.name for row in patterns.matching(index, "host", hosts)}
    return [
        row
        for row in storage.nodes(index, active=active)
        if patterns.matches(pattern, row.name)
        and (all_ or not row.retired or row.name == pattern)
        and (not in_groups or row.group in in_groups)
        and (not on_hosts or row.host in on_hosts)
    ]
