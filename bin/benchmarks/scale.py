"""Measure commands on a large index, and on one of a tenth of its size.

No file exists, except those that are imported and deleted: only the index is measured.  The times are those of whole
processes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import clock, scale_files, scale_index
from benchmarks.clock import ALPENHORN, BenchFailed, Spent
from benchmarks.mariadb import MariaDB

TENTH = 10
ROUNDS = 3
RUNS_MOST = 50
SETTLED = 5.0  # seconds; a run that counts copies takes up to half a minute
MEMORY_B = 300_000_000
GROWTH = 2.0  # largest permitted ratio
HEADERS = ("command", "a tenth", "whole", "ratio", "memory", "reached")
NODES = (("field", "here"), ("vault", "here"), ("second", "here"), ("mirror", "there"), ("spare", "there"))
ARCHIVES = ("vault", "second", "mirror")


@dataclass(frozen=True, slots=True)
class ScaleRow:
    """A command on `host`, whose output contains `says`.

    `seconds`: if not None, it may take so long at any size; otherwise it may take GROWTH times as long as on the
    smaller index.  `pending`: measured while a tenth of the files of the smaller index is requested.  `what`: what
    it works on.  `prepare`: called before each round with the directory, the number of the round, and a function that
    executes statements in the index.
    """

    command: str
    says: str = ""
    host: str = "here"
    seconds: float | None = None
    pending: bool = False
    what: str = ""
    prepare: Callable[[Path, int, scale_index.Fill], None] | None = None


ROWS = (
    ScaleRow("sync"),
    ScaleRow("status", "mirror", seconds=1),
    ScaleRow("node stats", "mirror", seconds=1),
    ScaleRow("file show acq00000001/file0000000001.dat --all", "mirror"),
    ScaleRow("file find --suspect", seconds=1),
    ScaleRow("file find --corrupt --limit 10", "mirror", seconds=1),
    ScaleRow("acq list --limit 10", "acq"),
    ScaleRow("plan"),
    ScaleRow("node sync vault mirror --check"),
    ScaleRow("node clean field --target mirror --check"),
    ScaleRow("request list --limit 10"),
    ScaleRow("history --limit 10"),
    ScaleRow("db check"),
    ScaleRow("sync --only import", what=f"{scale_files.FILES:,} new files", prepare=scale_files.new),
    ScaleRow(
        "sync --only delete --node field --allow-mass-delete",  # many of a small index
        what=f"{scale_files.FILES:,} released copies",
        prepare=scale_files.released,
    ),
    ScaleRow("sync", pending=True),
    ScaleRow("status", "spare", seconds=1, pending=True),
    ScaleRow("plan", host="there", pending=True),
)


@dataclass(frozen=True, slots=True)
class Scaled:
    """The medians of a command, in seconds, on the smaller and on the whole index.  `peak_b`: on the whole index."""

    row: ScaleRow
    tenth: float
    whole: float
    peak_b: int

    @property
    def reached(self) -> bool:
        within = self.row.seconds is not None and self.whole < self.row.seconds
        return (within or self.whole <= GROWTH * self.tenth) and self.peak_b < MEMORY_B


def measure(base: Path, files: int, engine: str, tell: Callable[[str], None]) -> list[Scaled]:
    """Measure all rows on an index of `files` files, and on one of a tenth.  Raises BenchFailed."""
    pending = files // TENTH // TENTH
    times = [_on_index(base / str(size), size, pending, engine, tell) for size in (files // TENTH, files)]
    return [
        Scaled(row, *(statistics.median(one.seconds for one in spent) for spent in both), both[1][0].peak_b)
        for row, *both in zip(ROWS, *times, strict=True)
    ]


def _on_index(
    base: Path, files: int, pending: int, engine: str, tell: Callable[[str], None]
) -> list[list[Spent]]:
    base.mkdir()
    with ExitStack() as at_end:
        if engine == "mariadb":
            server = MariaDB(base)
            at_end.callback(server.stop)
            url = server.url
            fill: scale_index.Fill = server.execute_all
        else:
            url = f"sqlite:///{base / 'index.db'}"
            fill = scale_index.in_sqlite(base / "index.db")
        _create(base, url)
        tell(f"{engine}: filling an index of {files:,} files")
        fill(scale_index.archive(files, engine == "sqlite"))
        _settle(base, tell)
        spent: list[list[Spent]] = []
        filled = False
        for row in ROWS:
            if row.pending and not filled:
                fill(scale_index.pending(pending, engine == "sqlite"))
                filled = True
            spent.append([])
            for number in range(ROUNDS):
                if row.prepare is not None:
                    row.prepare(base, number, fill)
                spent[-1].append(_command(base, row.host, row.command, row.says))
            tell(f"{files:,} files: {row.command}: {', '.join(f'{one.seconds:.2f} s' for one in spent[-1])}")
        return spent


def _create(base: Path, url: str) -> None:
    """Create the index, the hosts and the nodes, and initialise the nodes' roots."""
    for host in ("here", "there"):
        text = f'[database]\nurl = "{url}"\n[sync]\nhost = "{host}"\nimport_settle = 0\n'
        (base / f"{host}.toml").write_text(text)
    _command(base, "here", "db init")
    for host in ("here", "there"):
        _command(base, "here", f"host create {host}")
    for name, host in NODES:
        (base / name).mkdir()
        kind = "--archive" if name in ARCHIVES else "--no-archive"
        _command(
            *(base, "here", f"node create {name} --create-group --host {host} --root {base / name} {kind}"),
            more=("--init", "--activate"),
        )
    for host in ("here", "there"):
        _command(base, host, "sync")


def _settle(base: Path, tell: Callable[[str], None]) -> None:
    """Carry out runs until all copies are counted, for which each takes a limited time."""
    for number in range(RUNS_MOST):
        seconds = _command(base, "here", "sync").seconds
        tell(f"run {number + 1} on the new index: {seconds:.0f} s")
        if number and seconds < SETTLED:
            return
    raise BenchFailed(f"{RUNS_MOST} runs did not count all copies")


def _command(base: Path, host: str, command: str, says: str = "", more: tuple[str, ...] = ()) -> Spent:
    spent = clock.run(base, [ALPENHORN, "-c", str(base / f"{host}.toml"), *command.split(), *more])
    if says not in spent.output:
        raise BenchFailed(f"alpenhorn {command} did not print {says!r}:\n{spent.output}")
    return spent


def table(facts: dict[str, Any], engine: str, files: int, scaled: list[Scaled]) -> str:
    rows = [
        (
            one.row.command
            + (", requests pending" if one.row.pending else "")
            + (f", {one.row.what}" if one.row.what else ""),
            f"{one.tenth:.2f} s",
            f"{one.whole:.2f} s",
            f"{one.whole / one.tenth:.2f}",
            f"{one.peak_b / 1e6:.0f} MB",
            "yes" if one.reached else "NO",
        )
        for one in scaled
    ]
    lines = [tabulate(rows, HEADERS, disable_numparse=True)]
    lines.append(
        f"{engine}, {files // TENTH:,} and {files:,} files, {facts['cores']} cores, Python {facts['python']},"
        f" load {facts['load']:.2f} before"
    )
    return "\n".join(lines)
