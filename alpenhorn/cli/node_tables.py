"""Nodes as `node list`, `node stats`, `host show` and `group show` present them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpenhorn.cli import output
from alpenhorn.cli.options import settings
from alpenhorn.listings.stats import NodeStats, fullness
from alpenhorn.listings.status import no_room
from alpenhorn.listings.storage import NodeRow
from alpenhorn.model.nodes import GIB

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
