"""The work of the rows import, verify, delete, search and reconcile."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, closing
from hashlib import md5
from pathlib import Path
from typing import Any

from benchmarks import clock
from benchmarks.archive import MARKER, PRIVATE, Archive
from benchmarks.bulk import WHEN
from benchmarks.cases import Case, found_nothing
from benchmarks.clock import BenchFailed, Spent

SOURCES = "SELECT id FROM storagenode WHERE name = 'src'"


class SmallFiles(Case):
    """5,000 files of 10 kB on the node src."""

    files, size_b, directories = 5_000, 10_000, 20

    def __init__(self, base: Path, at_end: ExitStack) -> None:
        super().__init__(base, at_end)
        self.made = Archive(base)
        self.made.create(archive=True)
        self.made.initialise()
        self.made.fill(self.files, self.size_b, self.directories)
        self.change()
        self.made.keep()

    def change(self) -> None:
        """Change the index, in which all files are registered, to the state in which each run begins."""

    def statements(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.made.index)) as index:
            for sql in statements:
                index.execute(sql)
            index.commit()

    def one(self, sql: str) -> Any:
        with closing(sqlite3.connect(self.made.index)) as index:
            return index.execute(sql).fetchone()[0]

    def prepare(self) -> None:
        self.made.restore()
        self.made.read_all()
        super().prepare()

    def ours(self) -> Spent:
        return self.made.alpenhorn("sync")

    def good(self) -> int:
        return int(
            self.one(f"SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ({SOURCES}) AND has_file = 'Y'")
        )

    def check(self, spent: Spent) -> None:
        if self.good() != self.files or spent.output:
            raise BenchFailed(f"{self.good()} of {self.files} copies are good: {spent.output}")

    def tool(self) -> Spent:
        return _shell(self.base, f"find {self.made.source.name} -type f -print0 | xargs -0 md5sum >/dev/null")


class Import(SmallFiles):
    """A run that imports new files."""

    def change(self) -> None:
        self.statements(
            *(
                f"DELETE FROM {table}"
                for table in (
                    "archivefilecopy",
                    "archivefile",
                    "archiveacq",
                    "sync_verification",
                    "sync_event",
                )
            )
        )
        self.made.alpenhorn("node", "scan", "src", "--register-new")


class Verify(SmallFiles):
    """A run that reads suspect copies."""

    def change(self) -> None:
        self.statements("UPDATE archivefilecopy SET has_file = 'M'")


class Delete(SmallFiles):
    """A run that deletes released copies of files that two archive nodes have."""

    def change(self) -> None:
        for name in ("safe1", "safe2"):
            (self.base / name).mkdir()
            self.made.alpenhorn(
                *(
                    "node",
                    "create",
                    name,
                    "--create-group",
                    "--host",
                    "here",
                    "--root",
                    str(self.base / name),
                ),
                *("--init", "--activate", "--archive"),
            )
        for name in ("safe1", "safe2"):
            shutil.copytree(
                self.made.source, self.base / name, dirs_exist_ok=True, ignore=lambda *_: {PRIVATE, MARKER}
            )
        self.made.initialise()
        self.statements(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
            f" SELECT f.id, n.id, 'Y', 'Y', 1, 4096, '{WHEN}' FROM archivefile f, storagenode n"
            " WHERE n.name IN ('safe1', 'safe2')",
            f"UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = ({SOURCES})",
        )
        self.made.source.rename(self.base / "master")
        self.made.source.mkdir()

    def prepare(self) -> None:
        """Move aside what the last round left, as in `Archive.begin_again`."""
        aside = Path(tempfile.mkdtemp(prefix="used-", dir=self.base))
        for root in (self.made.source, self.made.plain):
            root.rename(aside / root.name)
            shutil.copytree(self.base / "master", root)
        self.made.restore()
        clock.flush(self.base)

    def ours(self) -> Spent:
        return self.made.alpenhorn("sync", "--allow-mass-delete")

    def check(self, spent: Spent) -> None:
        left = [path for path in self.made.source.iterdir() if path.name[0] != "." and path.name != MARKER]
        if left or self.good() or spent.output:
            raise BenchFailed(f"{self.good()} copies and {len(left)} directories are left: {spent.output}")

    def tool(self) -> Spent:
        return _shell(self.base, f"find {self.made.plain.name} -name '*.dat' -print0 | xargs -0 rm")


class ManyFiles(Case):
    """A tree of 200,000 files in 2,000 directories, all of them in the index."""

    directories, each = 2_000, 100

    def __init__(self, base: Path, at_end: ExitStack) -> None:
        super().__init__(base, at_end)
        self.made = Archive(base)
        self.made.create(archive=True)
        self.made.initialise()
        with closing(sqlite3.connect(self.made.index)) as index:
            index.execute("PRAGMA synchronous = OFF")
            (node_id,) = index.execute(SOURCES).fetchone()
            index.executemany(
                "INSERT INTO archiveacq (id, name) VALUES (?, ?)",
                ((number, f"acq{number:04}") for number in range(1, self.directories + 1)),
            )
            index.executemany(
                "INSERT INTO archivefile (id, acq_id, name, size_b, md5sum, registered) VALUES (?, ?, ?, ?, ?, ?)",
                self._make(),
            )
            index.execute(
                "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
                f" SELECT id, {node_id}, 'Y', 'Y', 1, 0, '{WHEN}' FROM archivefile"
            )
            index.commit()

    def _make(self) -> Iterable[tuple[Any, ...]]:
        digest = md5(b"", usedforsecurity=False).hexdigest()
        for number in range(1, self.directories + 1):
            directory = self.made.source / f"acq{number:04}"
            directory.mkdir()
            for file in range(self.each):
                name = f"file{file:03}.dat"
                (directory / name).touch()
                yield (number - 1) * self.each + file + 1, number, name, 0, digest, WHEN


class Search(ManyFiles):
    """A run that searches the tree for new files, and finds none."""

    def __init__(self, base: Path, at_end: ExitStack) -> None:
        super().__init__(base, at_end)
        self.made.alpenhorn("node", "modify", "src", "--auto-import")
        # The first run looks at every file, and remembers the directories.
        self.made.alpenhorn("sync")

    def ours(self) -> Spent:
        return self.made.alpenhorn("sync")

    def check(self, spent: Spent) -> None:
        found_nothing(self.made, spent)

    def tool(self) -> Spent:
        return _shell(self.base, f"find {self.made.source.name} -type d >/dev/null")


class Reconcile(ManyFiles):
    """A comparison of the tree with an index that agrees; each copy was read after it was written."""

    def __init__(self, base: Path, at_end: ExitStack) -> None:
        super().__init__(base, at_end)
        with closing(sqlite3.connect(self.made.index)) as index:
            index.execute(
                "INSERT INTO sync_verification (file_id, node_id, verified)"
                " SELECT file_id, node_id, datetime('now') FROM archivefilecopy"
            )
            index.commit()

    def ours(self) -> Spent:
        return self.made.alpenhorn("reconcile", "--node", "src", "--json")

    def check(self, spent: Spent) -> None:
        (node,) = json.loads(spent.output)["nodes"]
        found = sum(len(value) for value in node.values() if isinstance(value, list))
        if not node["complete"] or node["looked"] != self.directories * self.each or found:
            raise BenchFailed(
                f"copies looked at: {node['looked']}, differences: {found}, reason: {node['why']}"
            )

    def tool(self) -> Spent:
        return _shell(self.base, f"find {self.made.source.name} -printf '%p %s %T@\\n' >/dev/null")


def _shell(base: Path, command: str) -> Spent:
    return clock.run(base, ["sh", "-c", command])
