"""Compare the speed of alpenhorn with that of plain tools.

Both process the same data, from warm caches, into an empty destination, after all pending writes were flushed, so
that neither pays for the other.  Nothing is deleted in between, except in the row big.  They alternate, and the
first round is not counted.  The time of alpenhorn is that of the whole process, from its start to its exit:
interpreter, index, verification and flushing.  Afterwards the result is checked.  None of the plain tools verifies,
and only dd flushes.  The benchmark is not a test: it has no time limit, and its exit status shows whether the work
was done, not how fast.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import archive, hosts, rivals, scale, show
from benchmarks.clock import BenchFailed
from benchmarks.measure import Measured, measure
from benchmarks.rows import ROWS
from benchmarks.sshd import CannotServe

RUNS = 5


def main() -> int:
    arguments = _arguments()
    if arguments.list:
        for row in ROWS:
            tools = [(row.tool, row.target), *((kind.tool, kind.target) for kind in row.rivals)]
            for tool, target in tools:
                print(f"{row.name}: {row.work}; compared with: {tool}; at most {target:g} times")
        return 0
    for chosen, measure_alone in (
        (arguments.scale, _scale),
        (arguments.hosts, _hosts),
        (arguments.long_link, _long_link),
        (arguments.cluster, _cluster),
    ):
        if chosen:
            return _alone(arguments, partial(measure_alone, arguments))
    if arguments.sha256:
        archive.SYNC.append("sha256 = true")
    measured: list[Measured] = []
    left_out: dict[str, str] = {}
    parent = arguments.dir.resolve()
    if any(character in str(parent) for character in " \t\n\"'\\"):
        message = "contains blanks, quotes or backslashes, which break ssh's configuration; use another --dir"
        print(f"bin/bench: {parent}: {message}", file=sys.stderr)
        return 2
    facts = show.machine(parent)
    try:
        with tempfile.TemporaryDirectory(prefix="alpenhorn-bench-", dir=parent) as base:
            for row in ROWS:
                if arguments.only and row.name not in arguments.only:
                    continue
                present, missing = rivals.present(row.rivals)
                left_out |= {f"{row.name}, {tool}": why for tool, why in missing.items()}
                try:
                    measured += measure(row, present, Path(base, row.name), arguments.runs, _tell)
                except CannotServe as why:
                    left_out[row.name] = str(why)
    except (BenchFailed, OSError, subprocess.SubprocessError) as error:
        print(f"bin/bench: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(show.as_json(facts, measured, left_out), indent=2))
    else:
        print(show.table(facts, measured, left_out))
    return 0


def _alone(arguments: argparse.Namespace, measure: Callable[[Path], str]) -> int:
    """Print what `measure` returns for an empty directory."""
    try:
        with tempfile.TemporaryDirectory(prefix="alpenhorn-bench-", dir=arguments.dir) as base:
            print(measure(Path(base)))
    except (BenchFailed, OSError, subprocess.SubprocessError) as error:
        print(f"bin/bench: {error}", file=sys.stderr)
        return 1
    return 0


def _scale(arguments: argparse.Namespace, base: Path) -> str:
    facts = show.machine(arguments.dir)
    scaled = scale.measure(base, arguments.scale, arguments.engine, _tell)
    return scale.table(facts, arguments.engine, arguments.scale, scaled)


def _hosts(arguments: argparse.Namespace, base: Path) -> str:
    facts = show.machine(arguments.dir)
    return hosts.table(facts, hosts.measure(base, arguments.hosts, arguments.files, _tell))


def _cluster(arguments: argparse.Namespace, base: Path) -> str:
    from benchmarks import cluster  # it needs Dask

    rounds = cluster.measure(base, arguments.cluster, arguments.files, _tell)
    return cluster.table(show.machine(arguments.dir), rounds, arguments.files)


def _long_link(arguments: argparse.Namespace, base: Path) -> str:
    from benchmarks import long_link  # it needs an installed alpenhorn

    return long_link.measure(base, arguments.runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [row.name for row in ROWS]
    parser.add_argument(
        "--only", nargs="+", action="extend", metavar="ROW", choices=names, help="measure only these rows"
    )
    parser.add_argument(
        "--runs", type=_count, default=RUNS, metavar="N", help=f"number of rounds (default: {RUNS})"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(tempfile.gettempdir()),
        metavar="DIR",
        help="parent of the working directory, which is removed at the end; needs 20 GB (default: %(default)s)",
    )
    parser.add_argument(
        "--sha256", action="store_true", help="let alpenhorn compute and record SHA-256 sums, too"
    )
    parser.add_argument(
        "--scale",
        type=_count,
        metavar="FILES",
        help="measure commands on an index of FILES files and on one of a tenth, and nothing else",
    )
    parser.add_argument(
        "--engine", choices=("sqlite", "mariadb"), default="sqlite", help="for --scale (default: %(default)s)"
    )
    parser.add_argument(
        "--hosts",
        type=_count,
        nargs="+",
        metavar="N",
        help="measure N hosts at the same time on a private MariaDB server, and nothing else",
    )
    parser.add_argument(
        "--files",
        type=_count,
        default=hosts.FILES,
        metavar="FILES",
        help="for --hosts and --cluster: number of files that each host pulls, deletes and imports"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--cluster",
        type=_count,
        nargs="+",
        metavar="N",
        help="measure runs with N workers, without and with N workers of a Dask cluster, and nothing else",
    )
    parser.add_argument(
        "--long-link",
        action="store_true",
        help="measure one file over a link with delay and losses, and nothing else (as root)",
    )
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    parser.add_argument("--json", action="store_true", help="print JSON, with the times of each round")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
