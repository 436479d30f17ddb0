"""Backups of an index that others write to, that are cut short, or for which there is no room."""

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from alpenhorn.errors import Refused
from alpenhorn.index import backup, dump
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import COMPONENTS
from tests.faults.test_disks import mount, root  # noqa: F401
from tests.fixtures.archive import wait_for
from tests.index.test_dump import read_back

TABLES = [table._meta.table_name for tables in COMPONENTS.values() for table in tables]
# Read one after the other, so that a copy which is not of one moment has more of the later ones.
COUNTS = (
    "SELECT (SELECT COUNT(*) FROM archivefile), (SELECT COUNT(*) FROM archivefilecopy),"
    " (SELECT COUNT(*) FROM sync_event)"
)


def fill(archive, rows):
    archive.node("field")
    acq = archive.insert("archiveacq", name="many")
    with archive.index.transaction():
        archive.index.executemany(
            "INSERT INTO archivefile (acq_id, name, size_b, registered) VALUES (?, ?, 1, '2026-01-01')",
            [(acq, f"{number:07}{'x' * 150}") for number in range(rows)],
        )
        archive.index.execute(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, last_update)"
            " SELECT id, 1, 'Y', 'Y', 1, '2026-01-01' FROM archivefile"
        )
        archive.index.execute(
            "INSERT INTO sync_event (at, file_id, node_id, what, why)"
            " SELECT '2026-01-01', id, 1, 'pulled', '' FROM archivefile"
        )


WRITER = """
import sys
from alpenhorn.index.connection import Index
index = Index.open(sys.argv[1])
number = 0
while True:
    number += 1
    with index.transaction():
        file_id = index.execute(
            "INSERT INTO archivefile (acq_id, name, registered) VALUES (1, ?, '2026-01-01')",
            (f"{sys.argv[2]}-{number}",),
        ).lastrowid
        index.execute(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, last_update)"
            " VALUES (?, 1, 'Y', 'Y', 1, '2026-01-01')", (file_id,))
        index.execute("INSERT INTO sync_event (at, file_id, node_id, what, why)"
            " VALUES ('2026-01-01', ?, 1, 'pulled', '')", (file_id,))
    print(number, flush=True)
"""


class Writer:
    """A process that repeatedly adds a file, its copy and its event in one transaction."""

    def __init__(self, url, name):
        self.done = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, url, name], stdout=subprocess.PIPE, text=True
        )
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.done = int(line)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()


def test_a_backup_shows_one_moment_while_others_write(archive, tmp_path):
    fill(archive, 20_000)
    directory = tmp_path / "kept"
    directory.mkdir()
    counts, progress = [], []
    with closing(Writer(archive.url, "a")) as one, closing(Writer(archive.url, "b")) as two:
        wait_for(lambda: one.done and two.done, "the writers")
        for _ in range(3):
            before = one.done + two.done
            made = backup.write(archive.index, directory, TABLES, 10)
            progress.append(one.done + two.done - before)
            counts.append((made.rows["archivefile"], made.rows["archivefilecopy"], made.rows["sync_event"]))
    assert all(len(set(found)) == 1 for found in counts), counts
    assert [found[0] for found in counts] == sorted({found[0] for found in counts})
    assert all(progress), progress
    if archive.index.dialect.in_a_file:
        copy = Index.open(f"sqlite:///{made.path}")
        assert tuple(copy.execute(COUNTS).fetchone()) == counts[-1]
        copy.close()
    else:
        read_back(archive.url, made.path)
        assert tuple(archive.index.execute(COUNTS).fetchone()) == counts[-1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_backup_leaves_the_old_ones_and_the_next_removes_its_remains(archive, tmp_path, how):
    fill(archive, 60_000)
    directory = tmp_path / "kept"
    directory.mkdir()
    first = backup.write(archive.index, directory, TABLES, 1)
    before = first.path.read_bytes()
    running = archive.start("db", "backup", str(directory), "--keep", "1")
    wait_for(
        lambda: (
            any(part.stat().st_size for part in directory.glob("*.part"))
            or running.process.poll() is not None
        ),
        "its beginning",
    )
    running.process.send_signal(how)
    running.process.wait()
    assert running.process.returncode != 0, running.said()
    running.end()
    assert first.path.read_bytes() == before
    assert bool(list(directory.glob("*.part"))) is (how == signal.SIGKILL)
    result = archive.run("db", "backup", str(directory), "--keep", "1")
    assert result.status == 0, result
    (left,) = [entry for entry in directory.iterdir() if entry.name != backup.LOCK]
    assert left != first.path and left.suffix in (".db", ".sql")
    assert archive.one("SELECT value FROM sync_index WHERE name = 'backup'") == str(left)


@pytest.fixture
def small(tmp_path):
    at = tmp_path / "small"
    at.mkdir()
    mount("-t", "tmpfs", "-o", "size=3m", "none", at)
    yield at
    subprocess.run(["umount", "-l", str(at)], check=True)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("checked", [True, False], ids=["beforehand", "while it is written"])
def test_a_full_disk_does_not_remove_older_backups(archive, small, checked):
    first = backup.write(archive.index, small, TABLES, 1)
    before = first.path.read_bytes()
    fill(archive, 20_000)
    if checked:
        result = archive.run("db", "backup", str(small), "--keep", "1")
        assert result.status == 1, result
        said = result.err
    else:
        subprocess.run(["mount", "-o", "remount,size=100m", str(small)], check=True)
        # As where the room was there when it was looked at, and another program took it.
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
        try:
            with pytest.raises(Refused, match="cannot be written") as caught:
                backup.write(archive.index, small, TABLES, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        said = f"{caught.value}\n"
    assert said.count("\n") == 1 and "older backups are unchanged" in said, said
    assert sorted(entry.name for entry in small.iterdir()) == sorted([backup.LOCK, first.path.name])
    assert first.path.read_bytes() == before


@pytest.mark.usefixtures("root")
def test_a_directory_that_cannot_be_written_is_reported_in_one_message(archive, small):
    first = backup.write(archive.index, small, TABLES, 1)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    result = archive.run("db", "backup", str(small), "--keep", "1")
    assert result.status == 1 and result.err.count("\n") == 1, result
    assert "cannot write a backup: Read-only file system" in result.err
    assert first.path.exists()
    assert archive.all("SELECT * FROM sync_index WHERE name = 'backup'") == []


def test_a_backup_is_recorded_in_the_index_and_readable_by_its_owner_only(sqlite_archive):
    archive = sqlite_archive
    fill(archive, 10)
    result = archive.run("db", "backup")
    assert result.status == 0 and result.out.startswith("Wrote and verified "), result
    at = archive.one("SELECT value FROM sync_index WHERE name = 'backup'")
    assert os.path.dirname(at) == str(archive.base / "backups")
    assert stat.S_IMODE(os.stat(at).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(at)).st_mode) == 0o700
    assert archive.run("-q", "db", "backup").silent


def test_with_a_server_the_directory_must_be_given(mariadb_archive):
    result = mariadb_archive.run("db", "backup")
    assert result.status == 1 and "set [database] backup_dir" in result.err
    (mariadb_archive.base / "kept").mkdir()
    mariadb_archive.configure(database={"backup_dir": str(mariadb_archive.base / "kept")})
    assert mariadb_archive.run("db", "backup").status == 0
    (at,) = (mariadb_archive.base / "kept").glob("alpenhorn-index-*.sql")
    assert dump.read_through(at)["storagenode"] == 0
