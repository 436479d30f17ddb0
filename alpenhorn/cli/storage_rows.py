"""Hosts, groups and nodes as commands list and show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import CommandFunction
from alpenhorn.cli.complete import GROUP, HOST
from alpenhorn.cli.options import settings
from alpenhorn.index.connection import Index
from alpenhorn.listings import storage
from alpenhorn.listings.stats import NodeStats, fullness
from alpenhorn.listings.status import no_room
from alpenhorn.listings.storage import NodeRow
from alpenhorn.model.nodes import GIB
from alpenhorn.scan import names

Stats = Mapping[int, NodeStats]
DETAILS = ("Group", "Host", "Active", "Archive", "Class", "Root")
STATS = ("Files", "Size", "Full")
EXTRA = ("Corrupt", "Suspect", "Missing", "Released")


def details(node: NodeRow) -> tuple[object, ...]:
    """The cells under DETAILS."""
    return (
        node.group,
        node.host,
        output.yes_no(node.active),
        output.yes_no(node.archive),
        node.io_class or "Default",
        node.root,
    )


def stat_cells(node: NodeRow, stats: NodeStats) -> tuple[object, ...]:
    """The cells under STATS."""
    full = output.percent(fullness(node, stats.good.bytes))
    return stats.good.files, output.size(stats.good.bytes), full


def extra_cells(stats: NodeStats) -> tuple[object, ...]:
    """The cells under EXTRA."""
    return tuple(stats.files(state) for state in EXTRA)


def print_nodes(nodes: Sequence[NodeRow], stats: Stats | None, *, details: bool) -> None:
    """A section with the nodes of a host or group: their names, or a table."""
    output.heading("Nodes:")
    if not nodes:
        output.line("  none")
    elif not details and stats is None:
        for node in nodes:
            output.line(f"  {node.name}")
    else:
        headers = ("Name", *(DETAILS if details else ()), *(STATS if stats is not None else ()))
        output.table(headers, [_cells(node, stats, details) for node in nodes], right=STATS)


def _cells(node: NodeRow, stats: Stats | None, with_details: bool) -> tuple[object, ...]:
    cells: tuple[object, ...] = (node.name,)
    if with_details:
        cells += details(node)
    if stats is not None:
        cells += stat_cells(node, stats[node.id])
    return cells


def node_documents(nodes: Sequence[NodeRow], stats: Stats | None = None) -> list[dict[str, object]]:
    return [node_document(node, None if stats is None else stats[node.id]) for node in nodes]


def node_document(node: NodeRow, stats: NodeStats | None = None) -> dict[str, object]:
    """A node for JSON; sizes in bytes."""
    document: dict[str, object] = {
        "name": node.name,
        "group": node.group,
        "host": node.host,
        "username": node.username,
        "address": node.address,
        "root": node.root,
        "active": node.active,
        "archive": node.archive,
        "auto_import": node.auto_import,
        "auto_verify": node.auto_verify,
        "io_class": node.io_class or "Default",
        "io_config": settings(node.io_config),
        "max_total_b": gib_bytes(node.max_total_gb),
        "min_avail_b": gib_bytes(node.min_avail_gb),
        "avail_b": gib_bytes(node.avail_gb),
        "avail_checked": node.avail_gb_last_checked,
        "notes": node.notes,
    }
    if stats is not None:
        document["stats"] = stats_document(node, stats)
    return document


def stats_document(node: NodeRow, stats: NodeStats) -> dict[str, object]:
    full = fullness(node, stats.good.bytes)
    return {
        "files": stats.good.files,
        "size_b": stats.good.bytes,
        "full": full,
        "no_room": no_room(node, full),
        "states": {
            state: {"files": tally.files, "size_b": tally.bytes} for state, tally in stats.states.items()
        },
    }


def gib_bytes(gib: float | None) -> int | None:
    return None if gib is None else round(gib * GIB)


def print_settings(io_config: str | None) -> None:
    """A section with the settings of a storage class."""
    output.heading("I/O settings:")
    config = settings(io_config)
    if not config:
        output.line("  none")
    elif isinstance(config, dict):
        for key, value in config.items():
            output.line(f"  {key}: {value}")
    else:
        output.line(f"  INVALID, not a JSON object: {io_config}")


def filter_options(command: CommandFunction) -> CommandFunction:
    for decorate in (
        click.option("--host", type=HOST, metavar="HOST", help="Only nodes on HOST."),
        click.option("--group", type=GROUP, metavar="GROUP", help="Only nodes in GROUP."),
        click.option("--active/--inactive", default=None, help="Only nodes that are (in)active."),
    ):
        command = decorate(command)
    return command


def chosen_nodes(
    index: Index, active: bool | None, group: str | None, host: str | None
) -> list[storage.NodeRow]:
    return storage.nodes(
        index,
        active=active,
        group_id=names.group(index, group).id if group else None,
        host_id=names.host(index, host).id if host else None,
    )


def group_document(row: storage.GroupRow) -> dict[str, object]:
    return {
        "name": row.name,
        "io_class": row.io_class or "Default",
        "io_config": settings(row.io_config),
        "notes": row.notes,
        "node_count": row.nodes,
    }


def host_document(row: storage.HostRow) -> dict[str, object]:
    return {
        "name": row.name,
        "address": row.address,
        "username": row.username,
        "notes": row.notes,
        "node_count": row.nodes,
    }
