"""Measure runs with workers of a Dask cluster on this machine, and runs without a cluster.

Each round imports small files on the node `src`, then pulls them to the node `dst`.  All processes share the cores of
one machine, so this shows what a cluster costs, and not what further machines gain.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import clock
from benchmarks.clock import ALPENHORN, BenchFailed, Spent

START_SECONDS = 60.0
SIZE_B = 20_000
HEADERS = ("workers", "cluster", "import", "CPU", "pull", "CPU")


@dataclass(frozen=True, slots=True)
class Round:
    """`workers`: worker processes of the run; `cluster`: whether there was a Dask worker for each of them."""

    workers: int
    cluster: bool
    imported: Spent
    pulled: Spent


def measure(base: Path, numbers: Sequence[int], files: int, tell: Callable[[str], None]) -> list[Round]:
    """Measure each number of workers without a cluster and with one.  Raises BenchFailed if work is left."""
    found = []
    for number in numbers:
        for cluster in (False, True):
            directory = base / f"{number}-{cluster}"
            directory.mkdir()
            with ExitStack() as at_end:
                address = at_end.enter_context(_cluster(directory, number)) if cluster else ""
                found.append(_round(directory, number, address, files))
            tell(f"cluster: {number} workers, {'with' if cluster else 'without'} a cluster: done")
    return found


def table(facts: dict[str, Any], rounds: Sequence[Round], files: int) -> str:
    rows = [
        (
            one.workers,
            "yes" if one.cluster else "no",
            *(text for spent in (one.imported, one.pulled) for text in _cells(spent, files)),
        )
        for one in rounds
    ]
    shown = tabulate(rows, HEADERS, disable_numparse=True)
    return (
        f"{shown}\n{files:,} files of {SIZE_B:,} bytes; the CPU time is that of the run, without the Dask workers\n"
        f"{facts['cores']} cores for all, Linux {facts['kernel']}, Python {facts['python']}, {facts['file_system']},"
        f" load {facts['load']:.2f} before"
    )


def _cells(spent: Spent, files: int) -> tuple[str, str]:
    return f"{files / spent.seconds:.0f} files/s", f"{spent.user + spent.system:.1f} s"


def _round(base: Path, number: int, address: str, files: int) -> Round:
    config = base / "alpenhorn.toml"
    scheduler = f'scheduler = "{address}"\n' if address else ""
    config.write_text(
        f'[database]\nurl = "sqlite:///{base}/index"\n[sync]\nhost = "here"\njobs = {number}\nimport_settle = 0\n'
        + scheduler
    )

    def alpenhorn(*arguments: str) -> Spent:
        return clock.run(base, [ALPENHORN, "-c", str(config), *arguments])

    alpenhorn("db", "init")
    alpenhorn("host", "create", "here")
    for name in ("src", "dst"):
        root = base / name
        root.mkdir()
        options = ["--auto-import"] if name == "src" else []
        create = ("node", "create", name, "--create-group", "--host", "here", "--root", str(root), "--init")
        alpenhorn(*create, "--activate", *options)
    alpenhorn("sync")
    for count in range(files):
        path = base / "src" / "acq" / f"{count // 1000:03}" / f"{count:07}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%07d" % count * (SIZE_B // 7))
    clock.flush(base)
    imported = alpenhorn("sync", "--only", "import")
    alpenhorn("node", "sync", "src", "dst", "--force")
    pulled = alpenhorn("sync", "--only", "pull")
    there = sum(1 for path in (base / "dst").glob("acq/*/*"))
    if there != files or imported.output or pulled.output:
        raise BenchFailed(f"{there} of {files} files were pulled; {imported.output}{pulled.output}")
    return Round(number, bool(address), imported, pulled)


@contextmanager
def _cluster(base: Path, number: int) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    log = base / "dask.log"
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str, *arguments: str) -> None:
        with log.open("ab") as output:
            argv = [sys.executable, "-m", f"distributed.cli.{program}", *arguments, "--no-dashboard"]
            started.append(subprocess.Popen(argv, cwd=base, stdout=output, stderr=output))

    try:
        start("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-show")
        for _ in range(number):
            start("dask_worker", address, "--nthreads", "1", "--no-nanny", "--local-directory", str(base))
        end = time.monotonic() + START_SECONDS
        while log.read_text().count("Registered to") < number:
            if time.monotonic() > end:
                raise BenchFailed(f"the Dask workers did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield address
    finally:
        for process in started:
            process.kill()
            process.wait()
