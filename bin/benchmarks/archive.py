"""A small archive for the benchmark: an index, a source node and a destination node, created by alpenhorn."""

from __future__ import annotations

import filecmp
import getpass
import os
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
MARKER = "ALPENHORN_NODE"  # makes an empty directory the root of a node
PRIVATE = ".alpenhorn"
BLOCK = 2**20
SYNC: list[str] = []  # settings of all archives, below [sync]


@dataclass(frozen=True, slots=True)
class Archive:
    """Directories below `base`: `source` and `target` are the roots of the nodes src and dst; the plain tool writes
    to `plain`.  `ssh` is the argument list of ssh if src is on another host, or empty."""

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
        """Run alpenhorn as on `host`."""
        return clock.run(self.base, [ALPENHORN, "-c", str(self.base / f"{host}.toml"), *arguments])

    def create(self, *, archive: bool) -> None:
        """Create index, hosts and nodes; with `archive`, dst is an archive node, so that nothing is hard-linked."""
        for directory in (self.source, self.target, self.plain):
            directory.mkdir()
        for host in (HERE, THERE):
            text = f'[database]\nurl = "sqlite:///{self.index}"\n[sync]\nhost = "{host}"\n'
            text += "".join(f"{setting}\n" for setting in SYNC)
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
        """Run `sync` on each host, which writes the markers of the nodes."""
        for host in (HERE, THERE) if self.ssh else (HERE,):
            self.alpenhorn("sync", host=host)

    def fill(self, files: int, size_b: int, directories: int) -> None:
        """Create files of random bytes below src, and import them."""
        for number in range(files):
            directory = self.source / f"acq{number * directories // files:02}"
            directory.mkdir(exist_ok=True)
            with (directory / f"file{number:05}.dat").open("wb") as file:
                for start in range(0, size_b, BLOCK):
                    file.write(os.urandom(min(BLOCK, size_b - start)))
        self.alpenhorn("node", "scan", "src", "--register-new")
        self.initialise()

    def request(self) -> None:
        """Request all files of src into dst, and save the index."""
        self.alpenhorn("node", "sync", "src", "dst", "--force")
        self.keep()

    def keep(self) -> None:
        """Save the index and the private directories of runs on the disks, for `restore`."""
        if self.index.with_name("index.db-wal").exists():
            raise BenchFailed("the index is still in use after the commands that created it")
        with closing(sqlite3.connect(self.index)) as database, database:
            # Sums that are recorded take longer than those that are only compared.
            database.execute("DELETE FROM sync_digest")
        shutil.copy(self.index, self.base / "start.db")
        shutil.rmtree(self.base / "start", ignore_errors=True)
        for private in self.base.glob(f"*/{PRIVATE}"):
            shutil.copytree(private, self.base / "start" / private.parent.name)

    def restore(self) -> None:
        """Restore what `keep` saved: both, because with only the index a run would notice a restored index."""
        shutil.copy(self.base / "start.db", self.index)
        for kept in (self.base / "start").iterdir():
            private = self.base / kept.name / PRIVATE
            shutil.rmtree(private, ignore_errors=True)
            shutil.copytree(kept, private)

    def begin_again(self, *, remove: bool) -> None:
        """Prepare two new, empty destinations and the index as `request` left it, and read the source into the cache.

        The old destinations are moved aside, not deleted: after a deletion, an ext4 file system without a journal is
        slow for minutes, because each new file skips the recently deleted inodes one by one.  `remove` deletes them
        all the same, for rows too large to keep every round.
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
        """Read the files of src into the cache."""
        for path in self.files():
            with path.open("rb", buffering=0) as file:
                while file.read(BLOCK):
                    pass

    def files(self) -> Sequence[Path]:
        return sorted(path for path in self.source.rglob("*.dat"))

    def check(self, *, linked: bool) -> None:
        """Check that every request is done and every copy is recorded; compare all bytes.  Raises BenchFailed."""
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
                f"files requested: {len(files)}, requests done: {done}, copies recorded: {good}"
            )
        for path in files:
            copy = self.target / path.relative_to(self.source)
            compare(path, copy)
            if copy.samefile(path) != linked:
                raise BenchFailed(f"{copy}: {'not a' if linked else 'a'} hard link")


def compare(path: Path, copy: Path) -> None:
    """Compare all bytes of a file and its copy.  Raises BenchFailed."""
    filecmp.clear_cache()
    if not copy.is_file() or not filecmp.cmp(path, copy, shallow=False):
        raise BenchFailed(f"{copy}: missing, or differs from {path}")
