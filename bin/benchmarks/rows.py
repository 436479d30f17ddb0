"""The rows of the table: the work, the tool, and the target."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import cases, life
from benchmarks.rivals import Annex, Daemon, EqualWork, Rclone, RemoteRclone, Rival


@dataclass(frozen=True, slots=True)
class Row:
    """`target`: largest permitted ratio of alpenhorn's time to the tool's.  `rounds`: factor for `--runs`, since
    short work needs more rounds.  `memory_b`: permitted memory of alpenhorn's largest process, in bytes.  `rivals`:
    what else is measured in the same rounds."""

    name: str
    work: str
    tool: str
    target: float
    make: cases.Make
    rounds: int = 1
    memory_b: int | None = None
    rivals: tuple[type[Rival], ...] = ()


ROWS = (
    Row(
        "local-small",
        "sync: 5,000 files of 10 kB between nodes of this host, no hard links",
        "rsync -a",
        1.5,
        cases.Pull,
        rivals=(EqualWork, Rclone),
    ),
    Row(
        "remote-small",
        "the same from another host (ssh to loopback)",
        "rsync -a over ssh, one session",
        1.3,
        cases.RemotePull,
        rivals=(EqualWork,),
    ),
    Row(
        "local-many",
        "sync: 100,000 files of 10 kB between nodes of this host, no hard links",
        "rsync -a",
        1.2,
        cases.ManyPull,
        rivals=(EqualWork,),
    ),
    Row(
        "local-few",
        "sync: 200 files of 10 kB between nodes of this host, no hard links",
        "rsync -a",
        5,
        cases.FewPull,
        rivals=(Annex, Daemon),
    ),
    Row(
        "remote-few",
        "the same from another host",
        "rsync -a over ssh, one session",
        5,
        cases.RemoteFewPull,
        rivals=(RemoteRclone,),
    ),
    Row(
        "big",
        "sync: 2 files of 1 GiB, no hard links",
        "the slower of md5sum and dd conv=fsync, both files in parallel",
        1.3,
        cases.BigPull,
    ),
    Row("links", "sync: 5,000 hard links", "cp -al", 5, cases.LinkPull),
    Row(
        "plan",
        "plan: 1,000,000 pending requests, SQLite",
        "one pass of the SQL join, sqlite3 module",
        5,
        cases.Plan,
        memory_b=300_000_000,
    ),
    Row(
        "idle",
        "sync: nothing to do, 1,000,000 files and finished requests",
        "alpenhorn --version",
        3,
        cases.Idle,
        rounds=3,
    ),
    Row(
        "import",
        "sync: 5,000 new files of 10 kB imported",
        "find | xargs md5sum",
        3,
        life.Import,
    ),
    Row("verify", "sync: 5,000 suspect copies of 10 kB read", "find | xargs md5sum", 3, life.Verify),
    Row("delete", "sync: 5,000 released copies of 10 kB deleted", "find | xargs rm", 5, life.Delete),
    Row(
        "search",
        "sync: 200,000 files in 2,000 directories searched, nothing new",
        "find -type d",
        2,
        life.Search,
        rounds=3,
    ),
    Row(
        "reconcile",
        "reconcile: 200,000 copies in 2,000 directories compared with the disk",
        "find -printf '%p %s %T@'",
        3,
        life.Reconcile,
        memory_b=150_000_000,
    ),
    Row("version", "--version", "python3 -c 'import click'", 1.5, cases.Version, rounds=3),
)
