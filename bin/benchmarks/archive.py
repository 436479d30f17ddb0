"""A small archive for a bench: an index, a source node and a destination node, made by the program itself."""

from __future__ import annotations

import filecmp
import getpass
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import clock
from benchmarks.clock import ALPENHORN, BenchFailed, Spent

HERE = "here"
THERE = "there"
MARKER = "ALPENHORN_NODE"  # what makes an empty directory a node's root
PRIVATE = ".alpenhorn"
SAMPLE = 200  # files whose bytes are compared after a run
BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Archive:
    """Directories below `base`: `source` and `target` are the roots of the nodes src and dst, `plain` is where
    the plain tool puts its files.  `ssh` is the argument list of ssh where src is on another host, or empty."""

    base: Path
    ssh: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        return self.base / "src"

    @property
    def target(self) -> Path:
        return self.base / "dst"

    @property
    def plain(self) -> Path:
        return self.base / "plain"

    @property
    def index(self) -> Path:
        return self.base / "index.db"

    @property
    def user(self) -> str:
        return getpass.getuser()

    def alpenhorn(self, *arguments: str, host: str = HERE) -> Spent:
        """Run our program, as the one on `host`."""
        return clock.run(self.base, [ALPENHORN, "-c", str(self.base / f"{host}.toml"), *arguments])

    def create(self, *, archive: bool) -> None:
        """Make index, hosts and nodes; `archive`: dst is an archive node, so that nothing is hard-linked."""
        for directory in (self.source, self.target, self.plain):
            directory.mkdir()
        for host in (HERE, THERE):
            text = f'[database]\nurl = "sqlite:///{self.index}"\n[sync]\nhost = "{host}"\n'
            if self.ssh:
                words = ", ".join(f"'{word}'" for word in self.ssh)
                text += f"[transfer]\nssh = [{words}]\n"
            (self.base / f"{host}.toml").write_text(text)
        self.alpenhorn("db", "init")
        self.alpenhorn("host", "create", HERE)
        if self.ssh:
            self.alpenhorn("host", "create", THERE, "--address", "127.0.0.1", "--username", self.user)
        for name, root, host in (
            ("src", self.source, THERE if self.ssh else HERE),
            ("dst", self.target, HERE),
        ):
            kind = "--archive" if archive and name == "dst" else "--no-archive"
            self.alpenhorn(
                *("node", "create", name, "--create-group", "--host", host, "--root", str(root)),
                *("--init", "--activate", kind),
            )

    def initialise(self) -> None:
        """Mark the roots as the nodes' own."""
        for host in (HERE, THERE) if self.ssh else (HERE,):
            self.alpenhorn("sync", host=host)

    def fill(self, files: int, size_b: int, directories: int) -> None:
        """Make files of random bytes below src, and take them into the index."""
        for number in range(files):
            directory = self.source / f"acq{number * directories // files:02}"
            directory.mkdir(exist_ok=True)
            with (directory / f"file{number:05}.dat").open("wb") as file:
                for start in range(0, size_b, BLOCK):
                    file.write(os.urandom(min(BLOCK, size_b - start)))
        self.alpenhorn("node", "scan", "src", "--register-new")
        self.initialise()

    def request(self) -> None:
        """Ask for all files of src in dst, and keep the index as it is then."""
        self.alpenhorn("node", "sync", "src", "dst", "--force")
        self.keep()

    def keep(self) -> None:
        """Keep the index, and what runs keep on disks of themselves, as they are now for the runs to come."""
        if self.index.with_name("index.db-wal").exists():
            raise BenchFailed("the index is still in use after the commands that made it")
        shutil.copy(self.index, self.base / "start.db")
        shutil.rmtree(self.base / "start", ignore_errors=True)
        for private in self.base.glob(f"*/{PRIVATE}"):
            shutil.copytree(private, self.base / "start" / private.parent.name)

    def restore(self) -> None:
        """The index as it was kept, and the disks as they were then: otherwise a run would find the index restored."""
        shutil.copy(self.base / "start.db", self.index)
        for kept in (self.base / "start").iterdir():
            private = self.base / kept.name / PRIVATE
            shutil.rmtree(private, ignore_errors=True)
            shutil.copytree(kept, private)

    def begin_again(self, *, remove: bool) -> None:
        """Both destinations new and empty, the index as `request` left it, the source in the cache.

        What was in the destinations is only moved aside unless `remove`, for where there is no room for it all:
        an ext4 without a journal passes over every inode that was deleted in the last minutes, one by one,
        whenever a file is created, so that a deletion slows down what comes after it.
        """
        aside = Path(tempfile.mkdtemp(prefix="used-", dir=self.base))
        for root in (self.target, self.plain):
            root.rename(aside / root.name)
            root.mkdir()
        shutil.copy(aside / self.target.name / MARKER, self.target / MARKER)
        if remove:
            shutil.rmtree(aside)
        self.restore()
        self.read_all()

    def read_all(self) -> None:
        """Bring the files of src into the cache."""
        for path in self.files():
            with path.open("rb", buffering=0) as file:
                while file.read(BLOCK):
                    pass

    def files(self) -> Sequence[Path]:
        return sorted(path for path in self.source.rglob("*.dat"))

    def check(self, *, linked: bool) -> None:
        """Every request done, every copy recorded and of the right length, a sample compared byte for byte.

        Raises BenchFailed.
        """
        files = self.files()
        with closing(sqlite3.connect(self.index)) as index:
            (good,) = index.execute(
                "SELECT COUNT(*) FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
                " WHERE n.name = 'dst' AND c.has_file = 'Y' AND c.wants_file = 'Y'"
            ).fetchone()
            (done,) = index.execute(
                "SELECT COUNT(*) FROM archivefilecopyrequest WHERE completed = 1 AND cancelled = 0"
            ).fetchone()
        if good != len(files) or done != len(files):
            raise BenchFailed(
                f"{len(files)} files were requested, {done} requests done, {good} copies recorded"
            )
        for path in files:
            copy = self.target / path.relative_to(self.source)
            if not copy.is_file() or copy.stat().st_size != path.stat().st_size:
                raise BenchFailed(f"{copy} is not whole")
            if copy.samefile(path) != linked:
                raise BenchFailed(f"{copy} is {'no' if linked else 'a'} hard link")
        for path in random.sample(files, min(SAMPLE, len(files))):
            filecmp.clear_cache()
            if not filecmp.cmp(path, self.target / path.relative_to(self.source), shallow=False):
                raise BenchFailed(f"the copy of {path} has other bytes")
