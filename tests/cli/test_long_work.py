from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.archive import PATIENCE, Archive
from tests.fixtures.terminal import on_screen

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"  # the MD5 sum of no bytes


def shown_until_unlocked(archive: Archive, command: tuple[str, ...], lock: str, shown: str) -> list[str]:
    """Lock a table, run a command on a terminal until it shows `shown`, unlock; return the screen at the end."""
    conf, environ = archive.configure(), {"HOME": str(archive.base)}
    archive.index.execute(f"LOCK TABLES {lock}")
    try:
        with on_screen("-c", str(conf), *command, columns=160, environ=environ) as screen:
            screen.until(lambda lines: any(shown in line for line in lines))
            archive.index.execute("UNLOCK TABLES")
            screen.end()
    finally:
        archive.index.execute("UNLOCK TABLES")
    assert not any(shown in line for line in screen.lines)
    return screen.lines


@pytest.fixture
def locked(mariadb_archive: Archive) -> Archive:
    """Two nodes, with a pending request, a corrupt copy, a rule that was not applied, and old events."""
    archive = mariadb_archive
    for node in ("field", "safe"):
        archive.node(node)
    archive.request(archive.file("acq/f", b"bytes", "field"), "field", "field")
    bad = archive.file("acq/bad", b"bad", "field", "safe")
    archive.set_copy(bad, "safe", "XY")
    archive.once_good(bad, "safe")
    field, safe = archive.id("storagenode", "field"), archive.id("storagegroup", "safe")
    archive.insert("storagetransferaction", node_from_id=field, group_to_id=safe, autosync=1, autoclean=0)
    for _ in range(3):  # the newest one is kept
        archive.insert(
            "sync_event", at="2026-01-02 03:04:05", file_id=bad, node_id=field, what="checked", why=""
        )
    (archive.base / "backups").mkdir()
    return archive


@pytest.mark.parametrize(
    ("command", "table", "shown"),
    [
        (("node", "stats"), "archivefilecopy", "Counting the copies on each node"),
        (("node", "risk", "field"), "archivefilecopy", "Reading the copies on field"),
        (("node", "risk", "field", "--list"), "archivefilecopy", "Reading the copies on field"),
        (("file", "list"), "archivefile", "Listing files"),
        (("file", "find"), "archivefilecopy", "Listing copies"),
        (("request", "list"), "archivefilecopyrequest", "Listing requests"),
        (("status",), "archivefilecopyrequest", "Reading the state of the nodes"),
        (("history", "--node", "field"), "archivefile", "Listing events"),
        (("repair", "--check"), "archivefilecopy", "Looking for good copies of the files"),
        (("rules", "check"), "archivefilecopy", "Looking for missed actions"),
        (("plan",), "archivefilecopyrequest", "Deciding what a run would do"),
        (("plan", "--files"), "archivefilecopyrequest", "Deciding what a run would do"),
        (("metrics",), "archivefilecopy", "Reading the index for the metrics"),
        (("db", "check"), "archivefilecopy", "Checking the index"),
        (("db", "backup", "backups"), "archivefilecopy", "Writing and verifying a backup"),
    ],
)
def test_a_long_query_is_shown_on_a_terminal(
    locked: Archive, command: tuple[str, ...], table: str, shown: str
) -> None:
    arguments = tuple(str(locked.base / word) if word == "backups" else word for word in command)
    said = shown_until_unlocked(locked, arguments, f"{table} WRITE", shown)
    assert said and not any("Error" in line or "stopped" in line for line in said), said


@pytest.mark.parametrize(
    ("command", "table", "shown", "said"),
    [
        (
            ("history", "--prune", "1d", "--force"),
            "sync_event",
            "Deleting 2 events and 0 runs",
            "Deleted 2 events",
        ),
        (("repair", "--force"), "archivefilecopyrequest", "Requesting 1 file", "Requested 1 file."),
        (
            ("rules", "check", "--apply", "--force"),
            "archivefilecopyrequest",
            "Applying the rules",
            "Requested 2 files, released 0 copies.",
        ),
    ],
)
def test_a_long_change_is_shown_on_a_terminal(
    locked: Archive, command: tuple[str, ...], table: str, shown: str, said: str
) -> None:
    # The rows can be counted, and not changed.
    lines = shown_until_unlocked(locked, command, f"{table} READ", shown)
    assert any(said in line for line in lines), lines


def disk(archive: Archive, name: str) -> str:
    """Make the root of a node with an empty file in its manifest, and return it."""
    root = archive.base / name
    (root / ".alpenhorn").mkdir(parents=True)
    (root / "ALPENHORN_NODE").write_text(f"{name}\n")
    (root / ".alpenhorn/manifest.md5").write_text(
        f"# alpenhorn manifest 2 {'0' * 32}\n# size 0 {len(name)}\n{EMPTY}  {name}/empty\n# end 1 0\n"
    )
    return str(root)


def test_a_long_rebuild_is_shown_on_a_terminal(mariadb_archive: Archive) -> None:
    command = ("db", "rebuild", disk(mariadb_archive, "vault"))
    lines = shown_until_unlocked(mariadb_archive, command, "archivefile READ", "Filling the index")
    assert any("Filled the index: 1 file" in line for line in lines), lines


def test_a_rebuild_that_is_stopped_after_a_part_says_that_nothing_was_changed(
    mariadb_archive: Archive,
) -> None:
    archive = mariadb_archive
    command = ("db", "rebuild", disk(archive, "vault"), disk(archive, "vault2"))
    conf, environ = archive.configure(), {"HOME": str(archive.base)}
    with archive.index.transaction():
        archive.insert("archiveacq", name="vault2")  # the second disk waits for it
        with on_screen("-c", str(conf), *command, columns=160, environ=environ) as screen:
            screen.until(lambda lines: any("Filling the index" in line for line in lines))
            screen.process.send_signal(signal.SIGINT)
            assert screen.end() == 130
    assert any("stopped; nothing was changed" in line for line in screen.lines), screen.lines
    assert archive.all("SELECT * FROM archivefile") == archive.all("SELECT * FROM storagenode") == []


# A statement for ever, in which a cursor is left that only a collection of garbage closes.
STATEMENT_WITH_LITTER = """
import gc, os, signal, sys
from types import SimpleNamespace
from alpenhorn.cli.long_work import LongWork
from alpenhorn.index.connection import Index

index = Index.open("sqlite:///" + sys.argv[1], create=True)
connection = index.db.connection()

def litter():
    circle = [connection.cursor().execute("SELECT 1 UNION SELECT 2")]
    circle.append(circle)
    os.kill(os.getpid(), signal.SIGINT)
    del circle
    gc.set_threshold(1)  # the next list or dictionary of any thread
    return 1

connection.create_function("litter", 0, litter)
with LongWork(SimpleNamespace(index=index, verbosity=0), "Counting", changing=True):
    index.execute(
        "WITH RECURSIVE n(i) AS (SELECT litter() UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    ).fetchall()
"""


def test_ctrl_c_ends_a_statement_although_a_cursor_is_left_to_the_collector(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", STATEMENT_WITH_LITTER, str(tmp_path / "index")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert "note: stopped; nothing was changed" in found.stdout
    assert found.stdout.endswith("KeyboardInterrupt\n") and "interrupted" in found.stdout, found.stdout
