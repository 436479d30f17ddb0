"""Print the results: a table and a line about the machine, or JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.clock import Spent
from benchmarks.measure import Measured

HEADERS = ("row", "ours", "tool", "ratio", "spread", "target", "reached", "compared with")


def machine(directory: Path) -> dict[str, Any]:
    """Return the usable processors, kernel, Python, file system of `directory`, and load before the first row."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": _file_system(directory),
        "load": os.getloadavg()[0],
    }


def _file_system(directory: Path) -> str:
    """Return the type of the file system, from the deepest mount point above the directory (proc_pid_mountinfo(5))."""
    found = (0, "unknown")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        if directory.is_relative_to(point) and len(point) >= found[0]:
            found = (len(point), after.split()[0])
    return found[1]


def table(facts: dict[str, Any], measured: Sequence[Measured], left_out: dict[str, str]) -> str:
    """Format the table: seconds are medians, the ratio is the median of the rounds' ratios, the spread their range."""
    rows = []
    for one in measured:
        row = one.row
        target, ratio = f"{row.target:g}", f"{one.ratio:.2f}"
        if row.memory_b is not None:
            target += f", {row.memory_b / 1e6:.0f} MB"
            ratio += f", {one.peak_b / 1e6:.0f} MB"
        rows.append(
            (
                row.name,
                f"{_median(one.ours):.3f} s",
                f"{_median(one.tool):.3f} s",
                ratio,
                f"{min(one.ratios):.2f}–{max(one.ratios):.2f}",  # noqa: RUF001
                target,
                "yes" if one.reached else "NO",
                row.tool,
            )
        )
    lines = [tabulate(rows, HEADERS, disable_numparse=True)] if rows else []
    lines += [f"left out: {name}: {why}" for name, why in left_out.items()]
    lines.append(
        f"{facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}, {facts['file_system']},"
        f" load {facts['load']:.2f} before"
    )
    return "\n".join(lines)


def as_json(facts: dict[str, Any], measured: Sequence[Measured], left_out: dict[str, str]) -> dict[str, Any]:
    rows = [
        {
            "row": one.row.name,
            "work": one.row.work,
            "tool": one.row.tool,
            "ours_s": [spent.seconds for spent in one.ours],
            "tool_s": [spent.seconds for spent in one.tool],
            "ours_user_s": _user(one.ours),
            "ours_system_s": _system(one.ours),
            "tool_user_s": _user(one.tool),
            "tool_system_s": _system(one.tool),
            "peak_bytes": one.peak_b,
            "ratio": one.ratio,
            "ratio_least": min(one.ratios),
            "ratio_most": max(one.ratios),
            "target": one.row.target,
            "target_bytes": one.row.memory_b,
            "reached": one.reached,
        }
        for one in measured
    ]
    return {"machine": facts, "rows": rows, "left_out": left_out}


def _median(spent: Sequence[Spent]) -> float:
    return statistics.median(one.seconds for one in spent)


def _user(spent: Sequence[Spent]) -> float:
    return statistics.median(one.user for one in spent)


def _system(spent: Sequence[Spent]) -> float:
    return statistics.median(one.system for one in spent)
