"""`alpenhorn db upgrade`, killed or out of resources: the old or the new index exists, and nothing is lost."""

import itertools
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.shapes import Shape, describe, shape_of
from alpenhorn.index.upgrade import do, prepare
from alpenhorn.index.upgrade_plan import FillNodes
from tests.index.older import assert_moved, kept, make_older_index, old_values

FILES = 3000
# How an upgrade changes its index and its dump, asks the server, and says something; and which of that are changes.
CALLS = "pwrite64,write,writev,sendto,fsync,fdatasync"
CHANGE = re.compile(r"(pwrite64|fsync|fdatasync)\(|.{,30}(CREATE|ALTER|DROP|INSERT|UPDATE|DELETE|COMMIT)")
UPGRADE = ("db", "upgrade", "--force", "--dump")
fork = multiprocessing.get_context("fork")


class Upgrading:
    """An index of 2.0.0rc2 with some thousand rows, and real commands on it."""

    def __init__(self, url, directory):
        self.url = url
        self.dumps = directory / "dumps"
        self.dumps.mkdir()
        self.template = directory / "template.db"
        self.index = Index.open(url, create=True)
        self.make()
        self.note()
        if self.index.dialect.in_a_file:
            self.index.close()
            shutil.copy(self.file, self.template)
            self.index = Index.open(url)

    def make(self):
        make_older_index(self.index, files=FILES)

    def note(self):
        """Record the current state for `check`."""
        self.kept, self.moved = kept(self.index), old_values(self.index)

    @property
    def file(self):
        return Path(self.url.removeprefix("sqlite:///"))

    def anew(self):
        """Create the old index again."""
        if not self.index.dialect.in_a_file:
            self.index.execute("SET foreign_key_checks = 0")
            for table in self.index.db.get_tables():
                self.index.execute(f"DROP TABLE {table}")
            self.index.execute("SET foreign_key_checks = 1")
            self.make()
            return
        self.index.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.file}{suffix}").unlink(missing_ok=True)
        shutil.copy(self.template, self.file)
        self.index = Index.open(self.url)

    def start(self, *arguments, prefix=()):
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "alpenhorn", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "PYTHONUTF8": "1",
                "ALPENHORN_DATABASE_URL": self.url,
            },
            cwd=self.dumps,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments, **options):
        process = self.start(*arguments, **options)
        said, _ = process.communicate(timeout=60)
        assert "Traceback" not in said
        return process.returncode, said

    def killed(self, count):
        """Run an upgrade to its end, and then kill others at `count` of its calls: the first, the last, and changes at
        even distances.  What is left is upgraded by a second that is killed at the same call, if it comes to it, and
        then by one that is not.  Yields after each of the two."""
        trace = self.dumps.parent / "trace"
        status, said = self.run(*UPGRADE, "whole", prefix=["strace", "-qq", "-o", str(trace), "-e", CALLS])
        assert status == 0, said
        lines = trace.read_text().splitlines()
        calls = [line.partition("(")[0] for line in lines]
        changes = [number for number, line in enumerate(lines) if CHANGE.match(line)]
        between = (changes[number * len(changes) // (count - 2)] for number in range(count - 2))
        self.check()
        self.check_dumps()
        self.anew()
        for number in (0, *between, len(calls) - 1):
            name = calls[number]
            prefix = ["strace", "-qq", "-o", "/dev/null", "-e", name]
            prefix += ["-e", f"inject={name}:signal=KILL:when={calls[: number + 1].count(name)}"]
            for again in (False, True):
                status, said = self.run(*UPGRADE, f"dump{number}{again}", prefix=prefix)
                # How often the progress is written depends on the time, so one call may be missing at the end.
                may_end = again or number == len(calls) - 1
                assert status == -signal.SIGKILL or (may_end and status == 0), (status, said)
                assert "Error" not in said, said
                yield
            status, said = self.run(*UPGRADE, f"last{number}")
            assert status == 0, said
            self.check_dumps()
            assert self.run("db", "check")[0] == 0
            self.anew()

    def shape(self):
        return shape_of(describe(self.index))[0]

    def check(self):
        """Check what must hold at any moment; return the shape."""
        assert kept(self.index) == self.kept
        shape = self.shape()
        if shape is Shape.CURRENT:
            assert_moved(self.index)
        else:
            assert shape is Shape.RC2 or (shape is Shape.HALF and not self.index.dialect.in_a_file)
            assert old_values(self.index) == self.moved
        if self.index.dialect.in_a_file:
            assert self.index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return shape

    def check_dumps(self):
        """Check that every file with the name of a dump is complete."""
        for path in self.dumps.iterdir():
            if path.name.endswith((".part", "-journal")):
                path.unlink()
                continue
            if self.index.dialect.in_a_file:
                copy = Index.open(f"sqlite:///{path}")
                assert kept(copy) == self.kept and old_values(copy) == self.moved
                copy.close()
            else:
                assert path.read_text().endswith("\n-- complete\n")
            for left in self.dumps.glob(f"{path.name}*"):
                left.unlink()


@pytest.fixture
def upgrading(index_url, tmp_path):
    made = Upgrading(index_url, tmp_path)
    yield made
    made.index.close()


@pytest.mark.kill
@pytest.mark.ci
@pytest.mark.timeout(600)
def test_upgrades_that_are_killed_anywhere_lose_nothing_and_are_finished(upgrading, long):
    seen = set()
    for _ in upgrading.killed(20 if long else 6):
        shape = upgrading.check()
        seen.add(shape)
        upgrading.check_dumps()
        if shape is not Shape.CURRENT:
            status, said = upgrading.run("status")
            assert status == 3 and "`alpenhorn db upgrade`" in said
    assert Shape.CURRENT in seen and Shape.RC2 in seen
    if not upgrading.index.dialect.in_a_file:
        assert Shape.HALF in seen


def _steps_without_their_rules(url):
    """The first steps: on SQLite without the transaction, on MariaDB with the old columns going too early."""
    index = Index.open(url)
    steps = prepare(index)[2].steps
    for step in itertools.takewhile(lambda step: not isinstance(step, FillNodes), steps):
        do(index, step)
    if not index.dialect.in_a_file:
        for column in ("host", "username", "address", "storage_type"):
            index.execute(f"ALTER TABLE storagenode DROP COLUMN {column}")
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_checks_catch_an_upgrade_without_its_rules(upgrading):
    process = fork.Process(target=_steps_without_their_rules, args=(upgrading.url,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(AssertionError):
        upgrading.check()


@pytest.mark.parametrize("blocks", ["40", "100"])
def test_a_dump_that_cannot_be_finished_changes_nothing(upgrading, blocks):
    """A limit on file sizes makes a write fail like a full disk, but after the first check of free space."""
    limit = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "limit"]
    status, said = upgrading.run("db", "upgrade", "--force", "--dump", "dump", prefix=limit)
    assert status == 1 and "cannot be written" in said and "nothing was changed" in said
    assert upgrading.check() is Shape.RC2
    assert list(upgrading.dumps.iterdir()) == []


def test_a_server_that_goes_away_half_way_loses_nothing(mariadb, mariadb_index_url, tmp_path):
    """Every session is killed repeatedly during an upgrade."""
    upgrading = Upgrading(mariadb_index_url, tmp_path)
    database = upgrading.index.execute("SELECT DATABASE()").fetchone()[0]
    for number in range(20):
        process = upgrading.start("db", "upgrade", "--force", "--dump", f"dump{number}")
        for _ in range(4 + number):
            process.stdout.readline()
        administrator = mariadb.connect()
        administrator.query(f"SELECT id FROM information_schema.processlist WHERE db = '{database}'")
        ids = [row[0] for row in administrator.store_result().fetch_row(maxrows=0)]
        for id_ in ids:
            try:
                administrator.query(f"KILL {int(id_)}")
            except Exception as error:
                assert error.args[0] == 1094  # it has ended by itself
        administrator.close()
        said, _ = process.communicate(timeout=60)
        assert "Traceback" not in said
        assert process.returncode in (0, 3), said
        upgrading.index.disconnect()
        if upgrading.check() is Shape.CURRENT:
            upgrading.anew()
    upgrading.index.close()


def test_two_upgrades_at_once_are_one(upgrading):
    processes = [upgrading.start("db", "upgrade", "--force", "--dump", f"dump{n}") for n in range(3)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    statuses = [process.returncode for process in processes]
    # Who comes later finds it done, or that what it was about to do is done.
    assert 0 in statuses and set(statuses) <= {0, 1, 3}, said
    assert all(
        status == 0 or "changed the index" in text or "locked by another" in text or ": busy" in text
        for status, text in zip(statuses, said, strict=True)
    ), said
    assert upgrading.check() is Shape.CURRENT
