"""The sections of the manual on backups, followed to the letter: back up, continue for a week, restore."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.end_to_end.test_rebuild import COPIES, FILES, lose
from tests.fixtures.archive import Archive, stand_in
from tests.fixtures.index import program
from tests.fixtures.manual import block_lines, page, section

SECTIONS = ("Backups of the index", "Restoring the index", "Rebuilding the index without a backup")
NAME = "alpenhorn-index-20261126T030000Z"  # in the text


def written(*beginnings: str) -> list[str]:
    """Return the command lines of the sections whose titles begin like this."""
    lines = [line for title in SECTIONS for line in block_lines(section(page("operating"), title))]
    found = [line for line in lines if line.startswith(beginnings)]
    assert found, beginnings
    return found


class Hands:
    """Executes the lines of the text on an archive of these tests."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.backups = archive.base / "kept"
        self.backups.mkdir()
        self.programs = archive.base / "bin"
        conf = archive.configure()
        stand_in(self.programs, "alpenhorn", f'exec {sys.executable} -m alpenhorn -c {conf} "$@"')

    def words(self) -> dict[str, str]:
        parts = urlsplit(self.archive.url)
        words = {
            "/srv/backup/alpenhorn": str(self.backups),
            "/srv/index/alpenhorn.db": parts.path,
            "/data/": f"{self.archive.base}/",
        }
        if parts.scheme != "sqlite":
            (socket,) = parse_qs(parts.query)["unix_socket"]
            words["mariadb alpenhorn"] = (
                f"{program('mariadb')} --no-defaults --socket={socket} --user=root {parts.path[1:]}"
            )
        newest = max(self.backups.glob("alpenhorn-index-*"), default=None)
        return words if newest is None else words | {NAME: newest.name.split(".")[0]}

    def type(self, lines: list[str], status: int = 0) -> str:
        self.archive.index.disconnect()
        said = ""
        for line in lines:
            # Paths first: what replaces them must not be replaced again.
            for old, new in self.words().items():
                line = line.replace(old, new)
            done = subprocess.run(
                ["bash", "-c", line],
                env={"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": str(self.archive.base)},
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            said += done.stdout + done.stderr
            assert done.returncode == status, (line, said)
        return said


@pytest.fixture
def hands(archive: Archive) -> Iterator[Hands]:
    archive.node("field")
    archive.node("vault", archive=1)
    archive.node("vault2", archive=1)
    for number in range(5):
        file_id = archive.file(f"acq/before{number}", b"before", "field")
        archive.request(file_id, "field", "vault")
        archive.request(file_id, "field", "vault2")
    archive.synced()
    yield Hands(archive)


def a_week(archive: Archive) -> None:
    """Import, pull and delete files, so that the disks are ahead of the backup."""
    for number in range(5):
        file_id = archive.file(f"acq/after{number}", b"after", "field")
        archive.request(file_id, "field", "vault")
        archive.request(file_id, "field", "vault2")
    archive.synced()
    archive.do(
        "UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = ?", archive.id("storagenode", "field")
    )
    # The media are seen in one run, and count as keepers from then on.
    archive.sync()
    archive.sync()


def back_up(hands: Hands) -> None:
    hands.type(written("alpenhorn db backup"))


def go_back(hands: Hands) -> None:
    hands.type(written("rm ", "cp ") if hands.archive.index.dialect.in_a_file else written("mariadb "))


def test_the_lines_of_the_text_bring_the_index_back(hands: Hands) -> None:
    archive = hands.archive
    before = archive.dump("sync_index")
    back_up(hands)
    assert archive.dump("sync_index") == before
    a_week(archive)
    assert archive.dump("sync_index") != before
    go_back(hands)
    assert archive.dump("sync_index") == before
    assert archive.run("db", "check").status == 0


def test_the_lines_of_the_text_fill_an_empty_index_from_the_disks(hands: Hands) -> None:
    archive = hands.archive
    files = archive.all(FILES)
    copies = [row for row in archive.all(COPIES) if row[0] != "field"]
    lose(archive)
    hands.type(written("alpenhorn db init", "alpenhorn db rebuild", "alpenhorn sync"))
    assert archive.all(FILES) == files and archive.all(COPIES) == copies


def test_with_the_disks_a_week_ahead_nothing_is_deleted_until_they_are_reconciled(hands: Hands) -> None:
    archive = hands.archive
    back_up(hands)
    a_week(archive)
    trees = {node: archive.tree(node) for node in ("field", "vault", "vault2")}
    assert trees["field"] == {}, "the deletions of that week"
    go_back(hands)
    # Released by somebody who believes the index: two good copies each, it says.
    archive.do(
        "UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = ?", archive.id("storagenode", "vault2")
    )
    for _ in range(2):
        archive.sync()
        assert {node: archive.tree(node) for node in trees} == trees
    archive.do(
        "UPDATE archivefilecopy SET wants_file = 'Y' WHERE node_id = ?", archive.id("storagenode", "vault2")
    )
    assert archive.run("reconcile").status in (0, 1)
    archive.sync("--accept-loss")
    assert archive.violations() == []
    assert {node: archive.tree(node) for node in trees} == trees
    assert archive.one("SELECT COUNT(*) FROM sync_index WHERE name = 'restored'") == 0
