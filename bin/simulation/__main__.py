"""Simulate years of an observatory's archive, and print what became of its files.

The runs are those of alpenhorn: `alpenhorn.coordinator.sync` on an index with alpenhorn's tables.  Simulated are the
clock, the disks, the links, what workers do, and what people do.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from simulation.observatory import simulate
from simulation.report import Sample
from simulation.scenario import ScenarioError, read
from simulation.show import show

DEFAULT = Path(__file__).with_name("observatory.toml")
MEMORY = Path("/dev/shm")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/simulate", description=__doc__)
    parser.add_argument("--scenario", type=Path, default=DEFAULT, help="a TOML file; default: %(default)s")
    parser.add_argument("--years", type=float, default=1.0, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers; default: %(default)s")
    parser.add_argument(
        "--minutes", type=float, help="end earlier, after that time, and show what happened until then"
    )
    parser.add_argument("--json", action="store_true", help="print one document")
    asked = parser.parse_args()
    if not 0 < asked.years <= 100:
        parser.error("--years: use a number up to 100")
    try:
        scenario = read(asked.scenario)
    except ScenarioError as error:
        print(f"bin/simulate: {error}", file=sys.stderr)
        return 2
    started = time.monotonic()
    logging.getLogger("alpenhorn").addHandler(logging.NullHandler())  # the report has the reasons

    def progress(sample: Sample) -> None:
        seconds = time.monotonic() - started
        print(
            f"day {sample.day} of {asked.years * 365:.0f}: {sample.files:,} files, {sample.below:,} below policy;"
            f" {seconds:.0f} s",
            file=sys.stderr,
        )

    stopped = threading.Event()

    def stop(*_: object) -> None:
        """End as after --minutes; a second Ctrl-C ends the program at once."""
        stopped.set()
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def may_go_on() -> bool:
        late = asked.minutes is not None and time.monotonic() - started >= 60 * asked.minutes
        return not (late or stopped.is_set())

    signal.signal(signal.SIGINT, stop)

    # In memory, if there is a file system in memory: an index on a disk would be flushed at each commit.
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        found = simulate(scenario, asked.years, asked.seed, Path(directory), progress, may_go_on)
        size_b = sum(path.stat().st_size for path in Path(directory).iterdir())
    cost = {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "index_mb": size_b // 10**6,
    }
    document: dict[str, Any] = {"seed": asked.seed, **found, "cost": cost}
    if asked.json:
        print(json.dumps(document, indent=1))
    else:
        show(document)
    return 1 if found["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
