"""The results of a simulation as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

HEADERS = (
    "day",
    "files",
    "below policy",
    "one copy",
    "lost",
    "pending",
    "oldest",
    "moved",
    "runs",
    "busiest host",
)
MOST_LINKS = 10


def show(document: dict[str, Any]) -> None:
    """Print the results."""
    scenario, cost, latency = document["scenario"], document["cost"], document["latency_h"]
    print(
        f"{scenario['sites']} sites, {scenario['nodes']} nodes, {scenario['days']} days, seed {document['seed']};"
        f" each row of the index stands for {scenario['files_per_row']:,} files"
    )
    print()
    _table(HEADERS, [_row(sample) for sample in document["samples"]])
    print()
    print(f"requests: {_latency(latency)}")
    print(
        f"disks that died: {document['disks']['died']}; deleted copies: {document['deleted_files']:,} files"
    )
    lost = ", ".join(f"{files:,} ({why})" for why, files in document["lost_files"].items())
    print(f"lost files: {lost or 'none'}")
    runs = document["runs"].values()
    print(
        f"runs: {sum(host['runs'] for host in runs):,}, of which {sum(host['failed'] for host in runs):,} reported"
        f" failures; the longest took {max(host['longest_h'] for host in runs)} h"
    )
    print()
    most = sorted(document["links"], key=lambda link: -link["tb"])[:MOST_LINKS]
    headers = ("from", "to", "moved", "requests", "median", "longest")
    _table(headers, [_link(link) for link in most if link["tb"] or link["latency_h"]["requests"]])
    print()
    for host, lines in document["reasons"].items():
        for line in lines:
            print(f"{host}: {line}")
    for line in document["violations"]:
        print(f"violation: {line}")
    print(
        f"took {cost['seconds']:.0f} s ({cost['cpu_seconds']:.0f} s of CPU time), {cost['memory_mb']:,} MB of memory;"
        f" index: {cost['index_mb']:,} MB"
    )


def _row(sample: dict[str, Any]) -> tuple[str, ...]:
    counts = [f"{sample[key]:,}" for key in ("day", "files", "below", "at_risk", "lost", "pending")]
    return (
        *counts,
        f"{sample['oldest_d']} d",
        f"{sample['moved_tb']:,.2f} TB",
        f"{sample['runs']:,}",
        f"{sample['busy']:.0%}",
    )


def _link(link: dict[str, Any]) -> tuple[str, ...]:
    latency = link["latency_h"]
    waits = [f"{latency[key]} h" if latency["requests"] else "-" for key in ("median", "max")]
    return (link["from"], link["to"], f"{link['tb']:,.2f} TB", f"{latency['requests']:,}", *waits)


def _latency(latency: dict[str, Any]) -> str:
    if not latency["requests"]:
        return "none was completed"
    return (
        f"{latency['requests']:,} completed; from the request to the copy: median {latency['median']} h, 95 %"
        f" {latency['95']} h, longest {latency['max']} h"
    )


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [tuple(headers), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    lines.insert(1, tuple("-" * width for width in widths))
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
