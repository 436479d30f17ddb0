"""Measure how the work of several hosts on one MariaDB index grows with their number.

Each host is a process with a configuration of its own and four nodes: it pulls small files from `src` to the archive
node `vault`, deletes released copies from `src`, of which `vault` and the archive node `mirror` have copies, and
imports new files on `new`.  All hosts start at the same time.  They share acquisitions, so that they insert rows next
to each other's.

On a small machine the hosts' own processors are full long before the server's, so the processor time of the server is
measured as well.  From it follows how many hosts one core of the server can serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import clock, hosts_index
from benchmarks.clock import ALPENHORN, BenchFailed, Spent
from benchmarks.hosts_index import ARCHIVES, KINDS, NODES, File, Host
from benchmarks.mariadb import MariaDB

FILES = 2_000  # of each kind, on each host
RETRIED = "; trying again"
COUNTED = ("Questions", "Com_commit", "Innodb_deadlocks", "Innodb_row_lock_waits", "Innodb_row_lock_time")
HEADERS = (
    "hosts",
    "files",
    "files/s",
    "server CPU",
    "hosts' CPU",
    "statements",
    "commits",
    "deadlocks",
    "lock waits",
    "retries",
)


@dataclass(frozen=True, slots=True)
class Together:
    """What a number of hosts did at the same time.

    `files`: pulled, deleted and imported by all hosts together; `spent`: the times of the hosts' processes; `server_s`:
    processor time of the server, in seconds; `counted`: increase of the server's counters; `retries`: transactions that
    the hosts repeated.
    """

    hosts: int
    files: int
    spent: Spent
    server_s: float
    counted: dict[str, int]
    retries: int

    @property
    def rate(self) -> float:
        """Files a second."""
        return self.files / self.spent.seconds

    @property
    def hosts_s(self) -> float:
        """Processor time of the hosts, in seconds."""
        return self.spent.user + self.spent.system


def measure(base: Path, numbers: Sequence[int], files: int, tell: Callable[[str], None]) -> list[Together]:
    """Measure the numbers of hosts one after the other, each with new hosts and an empty index.

    `files`: files of each kind on each host.  Raises BenchFailed if a file is not where it should be, or its row wrong.
    """
    with ExitStack() as at_end:
        server = MariaDB(base)
        at_end.callback(server.stop)
        found = []
        for number in numbers:
            server.renew()
            found.append(_together(base / f"{number}-hosts", server, number, files, tell))
        return found


def _together(base: Path, server: MariaDB, number: int, files: int, tell: Callable[[str], None]) -> Together:
    base.mkdir()
    hosts = [Host(f"h{count}", base / f"h{count}") for count in range(number)]
    tell(f"hosts: {number}: preparing {len(KINDS) * files:,} files on each")
    _create(base, server, hosts)
    for kind in KINDS:
        for file in hosts_index.files_of(hosts, kind, files):
            _write(file)
    ids = {name: int(number) for name, number in server.rows("SELECT name, id FROM storagenode")}
    clock.flush(base)
    ((now,),) = server.rows("SELECT UTC_TIMESTAMP() + INTERVAL 1 SECOND")
    server.execute_all(hosts_index.filling(hosts, files, ids, now))
    before, cpu = server.counters(), server.cpu_seconds()
    spent = clock.run(base, *(_argv(host, "sync", "--allow-mass-delete") for host in hosts))
    cpu, after = server.cpu_seconds() - cpu, server.counters()
    (unfinished,) = server.rows(hosts_index.UNFINISHED)
    if spent.output or unfinished != ["0", "0"]:
        raise BenchFailed(f"requests and claims left: {', '.join(unfinished)}; output:\n{spent.output}")
    for host in hosts:
        _check(server, host, files)
    retries = sum(host.log.read_text(errors="replace").count(RETRIED) for host in hosts)
    done = Together(
        *(number, number * len(KINDS) * files, spent, cpu),
        *({name: after[name] - before[name] for name in COUNTED}, retries),
    )
    tell(f"hosts: {number}: {done.rate:.0f} files a second")
    return done


def _create(base: Path, server: MariaDB, hosts: Sequence[Host]) -> None:
    """Create the index, the hosts and their nodes, and let a run of each host initialise the nodes."""
    for host in hosts:
        host.base.mkdir()
        host.config.write_text(
            f'[database]\nurl = "{server.url}"\n[sync]\nhost = "{host.name}"\nimport_settle = 0\n'
            f'[log]\nfile = "{host.log}"\nlevel = "debug"\n'
        )
    clock.run(base, _argv(hosts[0], "db", "init"))
    for host in hosts:
        clock.run(base, _argv(host, "host", "create", host.name))
        for node in NODES:
            host.root(node).mkdir()
            options = ["--archive" if node in ARCHIVES else "--no-archive"]
            options += ["--auto-import"] if node == "new" else []
            create = ("node", "create", host.node(node), "--create-group", "--host", host.name)
            clock.run(
                base,
                _argv(host, *create, "--root", str(host.root(node)), "--init", "--activate", *options),
            )
    clock.run(base, *(_argv(host, "sync") for host in hosts))


def _write(file: File) -> None:
    for node in file.kind.nodes:
        path = file.path(node)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.content)


def _check(server: MariaDB, host: Host, files: int) -> None:
    """Check the rows of the host's copies, and the bytes of all its files.  Raises BenchFailed."""
    expected: dict[str, set[tuple[str, ...]]] = {node: set() for node in NODES}
    for kind in KINDS:
        for file in hosts_index.files_of([host], kind, files):
            content = file.content
            for node, state in (dict.fromkeys(kind.nodes, "Y") | kind.afterwards).items():
                path = file.path(node)
                if path.exists() != (state == "Y") or (state == "Y" and path.read_bytes() != content):
                    raise BenchFailed(f"{path}: missing, left over, or of other bytes")
                expected[node].add((file.acq, file.name, str(len(content)), file.md5sum, state))
    for node, rows in expected.items():
        found = server.rows(hosts_index.STATES.format(node=host.node(node)))
        if len(found) != len(rows) or {tuple(row) for row in found} != rows:
            raise BenchFailed(f"{host.node(node)}: {len(found)} copies in the index, some of them wrong")


def _argv(host: Host, *arguments: str) -> list[str]:
    return [ALPENHORN, "-c", str(host.config), *arguments]


def table(facts: dict[str, Any], found: Sequence[Together]) -> str:
    """Format the table, with processor time in milliseconds, statements and commits for each file."""
    rows = [
        (
            one.hosts,
            f"{one.files:,}",
            f"{one.rate:.0f}",
            f"{1000 * one.server_s / one.files:.3f} ms",
            f"{1000 * one.hosts_s / one.files:.3f} ms",
            f"{one.counted['Questions'] / one.files:.2f}",
            f"{one.counted['Com_commit'] / one.files:.3f}",
            one.counted["Innodb_deadlocks"],
            f"{one.counted['Innodb_row_lock_waits']}, {one.counted['Innodb_row_lock_time'] / 1000:.1f} s",
            one.retries,
        )
        for one in found
    ]
    lines = [tabulate(rows, HEADERS, disable_numparse=True), *_full(found)]
    lines.append(
        f"{facts['cores']} cores for hosts and server, Linux {facts['kernel']}, Python {facts['python']},"
        f" {facts['file_system']}, load {facts['load']:.2f} before"
    )
    return "\n".join(lines)


def _full(found: Iterable[Together]) -> list[str]:
    """Say at which rate, and how many hosts, one core of the server would be full."""
    single = [one for one in found if one.hosts == 1]
    most = max(found, key=lambda one: one.hosts)
    full = most.files / most.server_s
    lines = [
        f"one core of the server would be full at {full:.0f} files a second, while"
        f" {most.hosts_s / most.server_s:.1f} cores of hosts are busy (by the times of {most.hosts} hosts)"
    ]
    lines += [f"that is the rate of {full / one.rate:.1f} hosts like the single one" for one in single]
    return lines
