"""The work of each row: its data, the timed commands, and the check of the result."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from benchmarks import bulk, clock
from benchmarks.archive import Archive
from benchmarks.clock import ALPENHORN, PYTHON, BenchFailed, Spent
from benchmarks.sshd import Sshd

JOIN = Path(__file__).with_name("join.py")


class Case:
    """The work of one row.  `prepare` runs before each timed command, `check` after each command of alpenhorn; neither
    is timed.  `check` raises BenchFailed if the work was not done."""

    def __init__(self, base: Path, at_end: ExitStack) -> None:
        self.base = base

    def prepare(self) -> None:
        clock.flush(self.base)

    def ours(self) -> Spent:
        raise NotImplementedError

    def check(self, spent: Spent) -> None:
        raise NotImplementedError

    def tool(self) -> Spent:
        raise NotImplementedError


class Version(Case):
    """Start the program."""

    def ours(self) -> Spent:
        return clock.run(self.base, [ALPENHORN, "--version"])

    def check(self, spent: Spent) -> None:
        if not spent.output.startswith("alpenhorn "):
            raise BenchFailed(f"alpenhorn --version printed {spent.output!r}")

    def tool(self) -> Spent:
        return clock.run(self.base, [PYTHON, "-c", "import click"])


class Pull(Case):
    """A run that copies files between nodes of this host."""

    files, size_b, directories = 5_000, 10_000, 20
    archive = True
    linked = False
    remove = False  # delete old destinations: those of all rounds would need too much room

    def __init__(self, base: Path, at_end: ExitStack) -> None:
        super().__init__(base, at_end)
        self.made = self.make(at_end)
        self.made.create(archive=self.archive)
        self.made.initialise()
        self.made.fill(self.files, self.size_b, self.directories)
        self.made.request()

    def make(self, at_end: ExitStack) -> Archive:
        return Archive(self.base)

    def prepare(self) -> None:
        self.made.begin_again(remove=self.remove)
        super().prepare()

    def ours(self) -> Spent:
        return self.made.alpenhorn("sync")

    def check(self, spent: Spent) -> None:
        self.made.check(linked=self.linked)

    def tool(self) -> Spent:
        return clock.run(self.base, self.rsync())

    def rsync(self) -> Sequence[str]:
        """Return the command that copies the files to the directory `plain`."""
        return ["rsync", "-a", f"{self.made.source}/", f"{self.made.plain}/"]


class FewPull(Pull):
    """A run that copies few files: programs that take much longer are compared with it."""

    files = 200


class ManyPull(Pull):
    """A run that copies many files."""

    files, directories = 100_000, 400


class RemotePull(Pull):
    """A run that copies files from another host."""

    def make(self, at_end: ExitStack) -> Archive:
        self.server = Sshd(self.base / "sshd")
        at_end.callback(self.server.stop)
        return Archive(self.base, self.server.ssh)

    def rsync(self) -> Sequence[str]:
        made = self.made
        source = f"{made.user}@127.0.0.1:{made.source}/"
        return ["rsync", "-a", "-e", shlex.join(made.ssh), source, f"{made.plain}/"]


class RemoteFewPull(RemotePull):
    """The same from another host."""

    files = FewPull.files


class BigPull(Pull):
    """A run that copies two large files."""

    files, size_b, directories = 2, 2**30, 1
    remove = True

    def tool(self) -> Spent:
        """Return the slower of the two tools, each of which does half of the work."""
        files = [str(path) for path in self.made.files()]
        hashing = clock.run(self.base, *(["md5sum", path] for path in files))
        copying = clock.run(
            self.base,
            *(
                ["dd", f"if={path}", f"of={self.made.plain}/{number}", "bs=1M", "conv=fsync"]
                for number, path in enumerate(files)
            ),
        )
        return max(hashing, copying, key=lambda spent: spent.seconds)


class LinkPull(Pull):
    """A run that makes hard links."""

    archive = False
    linked = True

    def tool(self) -> Spent:
        spent = clock.run(self.base, ["cp", "-al", f"{self.made.source}/.", f"{self.made.plain}/"])
        # A lock file with a second name is refused, and the next round would do nothing.
        (self.made.plain / ".alpenhorn.lock").unlink(missing_ok=True)
        return spent


class BigIndex(Case):
    """An index with a million files and as many requests, completed if `done`."""

    done = False

    def __init__(self, base: Path, at_end: ExitStack) -> None:
        super().__init__(base, at_end)
        self.made = Archive(base)
        self.made.create(archive=True)
        self.made.initialise()
        bulk.insert(self.made.index, done=self.done)


class Plan(BigIndex):
    """A plan of a million pending requests."""

    def ours(self) -> Spent:
        return self.made.alpenhorn("plan", "--json")

    def check(self, spent: Spent) -> None:
        planned = sum(line["files"] for line in json.loads(spent.output)["lines"] if line["planned"])
        if planned != bulk.ROWS:
            raise BenchFailed(f"planned {planned} of {bulk.ROWS} requests")

    def tool(self) -> Spent:
        spent = clock.run(self.base, [PYTHON, str(JOIN), str(self.made.index)])
        if int(spent.output) != bulk.ROWS:
            raise BenchFailed(f"the join found {spent.output} rows instead of {bulk.ROWS}")
        return spent


class Idle(BigIndex):
    """A run that finds nothing to do."""

    done = True

    def ours(self) -> Spent:
        return self.made.alpenhorn("sync")

    def check(self, spent: Spent) -> None:
        found_nothing(self.made, spent)

    def tool(self) -> Spent:
        return clock.run(self.base, [ALPENHORN, "--version"])


def found_nothing(made: Archive, spent: Spent) -> None:
    """Raise BenchFailed unless the last run succeeded and had nothing to do."""
    with closing(sqlite3.connect(made.index)) as index:
        last = index.execute(
            "SELECT exit_status, done, failed FROM sync_run ORDER BY id DESC LIMIT 1"
        ).fetchone()
    if last != (0, 0, 0) or spent.output:
        raise BenchFailed(f"the run found something to do: {last} {spent.output}")


Make = Callable[[Path, ExitStack], Case]
