"""Power failures while runs import, check, pull and delete: the disk agrees with what the index recorded.

The disk is a file system in a file, which is copied at random moments; data in the page cache only are not in the
copy.  The index is read before and after each copy: it is on another machine, and keeps everything that was recorded.
"""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import WHEN, Archive, ended_within
from tests.fixtures.images import Image, without_flushes

KINDS = ("released", "left", "lost", "pulled", "suspect", "new")
COUNTS = (3, 120)  # files of each kind in a round, in turn: few are flushed one by one
LOST = 2  # more would be taken for a disk that is not whole
KEEPERS = ("safe1", "safe2")


class Copy(NamedTuple):
    """The row of a copy on the disk that loses power."""

    has_file: str
    path: str
    size_b: int
    md5sum: str

    def is_whole(self, content: bytes) -> bool:
        return len(content) == self.size_b and hashlib.md5(content).hexdigest() == self.md5sum


def copies(index: Index) -> dict[int, Copy]:
    rows = index.execute(
        "SELECT c.id, c.has_file, a.name, f.name, f.size_b, f.md5sum FROM archivefilecopy c"
        " JOIN storagenode n ON n.id = c.node_id JOIN archivefile f ON f.id = c.file_id"
        " JOIN archiveacq a ON a.id = f.acq_id WHERE n.name = 'disk'"
    )
    return {row[0]: Copy(row[1], f"{row[2]}/{row[3]}", row[4], row[5]) for row in rows}


def untrue(rows: Mapping[int, Copy], root: Path) -> list[str]:
    """Return the rows that disagree with the disk."""
    found = []
    for copy in rows.values():
        try:
            content = (root / copy.path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            content = None
        if copy.has_file == "N" and content is not None:
            found.append(f"{copy.path} is gone, and there")
        elif copy.has_file == "Y" and content is None:
            found.append(f"{copy.path} is good, and not there")
        elif copy.has_file == "Y" and content is not None and not copy.is_whole(content):
            found.append(f"{copy.path} is good, and has {len(content)} bytes that are not the file's")
    return found


class Power:
    """An archive with a node `disk` whose power is cut while runs are under way."""

    def __init__(self, archive: Archive, image: Image, at: Path, rounds: int, seed: int) -> None:
        self.archive = archive
        self.image = image
        self.at = at
        self.rounds = rounds
        self.rng = random.Random(seed)
        self.cuts = 0
        self.told: Counter[str] = Counter()  # how many rows of each state were compared with a disk
        self.untrue: list[str] = []

    def cut(self) -> None:
        """Copy the disk, and compare the copy, its journal replayed, with what was recorded before.

        A row that was changed meanwhile says nothing: what was good may be on its way to be deleted.
        """
        before = copies(self.archive.index)
        copied = self.image.cut(self.archive.base / "copy")
        after = copies(self.archive.index)
        if copied is None:
            return
        rows = {key: row for key, row in before.items() if row == after.get(key) and row.has_file in "YN"}
        try:
            with copied.mounted(self.archive.base / "replayed") as root:
                self.untrue += untrue(rows, root)
        finally:
            copied.path.unlink()
        self.cuts += 1
        self.told.update(row.has_file for row in rows.values())

    def flush(self) -> None:
        subprocess.run(["sync", "-f", self.at], check=True)

    def prepare(self, name: str, kinds: Sequence[str], count: int) -> None:
        """Prepare work for the next run."""
        archive, size = self.archive, self.rng.choice((300, 3000, 30_000))

        def files(kind: str, state: str, *on: str, count: int = count) -> list[str]:
            paths = [f"{name}-{kind}/{i // 40}/{i}" for i in range(count if kind in kinds else 0)]
            for path in paths:
                file_id = archive.file(path, self.rng.randbytes(size), *on)
                if "disk" in on:
                    archive.set_copy(file_id, "disk", state)
                else:
                    archive.request(file_id, "field", "disk")
            return paths

        with archive.index.transaction():
            files("released", "YN", "disk", *KEEPERS)
            left = files("left", "MN", "disk", *KEEPERS)
            lost = files("lost", "MY", "disk", count=LOST)
            self.flush()
            # Removed by a run that was killed before it could flush, and by somebody.
            for path in left + lost:
                (self.at / path).unlink()
            # From here on nothing that is written is flushed by us.
            files("pulled", "", "field")
            files("suspect", "MY", "disk")
            if "new" in kinds:
                for i in range(count):
                    archive.put("disk", f"{name}-new/{i // 40}/{i}", self.rng.randbytes(size))
                archive.insert(
                    "archivefileimportrequest",
                    node_id=archive.id("storagenode", "disk"),
                    path=f"{name}-new",
                    recurse=1,
                    register=1,
                    completed=0,
                    timestamp=WHEN,
                )

    def run(self, environ: Mapping[str, str]) -> None:
        run = self.archive.start("sync", environ=environ)
        while not ended_within(run.process, self.rng.uniform(0, 0.2)):
            self.cut()
        self.cut()
        run.result()
        self.archive.forget_attempts()

    def runs(self, environ: Mapping[str, str]) -> None:
        """Run each kind of work alone, because one flush covers others, then all of them together."""
        for round_ in range(self.rounds):
            for kinds in (*((kind,) for kind in KINDS), KINDS):
                self.prepare(f"{round_}-{len(kinds)}", kinds, COUNTS[round_ % len(COUNTS)])
                self.run(environ)


@pytest.fixture
def power(sqlite_archive: Archive) -> Iterator[Power]:
    archive = sqlite_archive
    archive.configure(sync={"import_settle": 0})
    archive.node("field")
    for name in KEEPERS:
        archive.node(name, archive=1)
    at = archive.node("disk", made=False)
    image = Image(archive.base / "image", 96)
    # Without that, what is not flushed is written after some seconds all the same.
    with image.mounted(at, "loop,commit=300"):
        (at / MARKER).write_text("disk\n")
        power = Power(archive, image, at, rounds=2, seed=1)
        archive.sync()  # makes what every run finds on a node
        power.flush()
        yield power


@pytest.mark.kill
def test_whatever_is_recorded_survives_a_power_failure(power: Power) -> None:
    power.runs({})
    assert power.untrue == []
    assert power.cuts > len(KINDS) * power.rounds and min(power.told["Y"], power.told["N"]) > 100, power.told


@pytest.mark.kill
def test_the_test_catches_runs_that_do_not_flush(power: Power) -> None:
    """The mutant of the test above: runs on a disk that ignores flushes."""
    power.runs(without_flushes(power.archive.base))
    found = {re.sub(r".*-(\w+)/\S* is (\w+),.*", r"\1 \2", line) for line in power.untrue}
    good = {f"{kind} good" for kind in ("new", "suspect", "pulled")}
    assert found == good | {f"{kind} gone" for kind in ("released", "left", "lost")}
