"""Hard links with `verify_links = false`, from the import of a file to its links, and what must not be relied on."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.fs.verified_status import CLEARLY_S, LEAST_B
from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import Archive, wait_for
from tests.fixtures.filesystems import mounted

pytestmark = pytest.mark.one_engine

UNREAD = {"transfer": {"verify_links": False}, "sync": {"import_settle": 0}}
READ = {"transfer": {"verify_links": True}, "sync": {"import_settle": 0}}
BYTES = b"0123456789abcdef" * (LEAST_B // 16)


class LinkArchive:
    """Nodes one, two and three on one ext4 file system, and the file acq/f, imported on node one by a run that keeps
    its status.
    """

    def __init__(self, archive: Archive, disk: Path) -> None:
        self.archive = archive
        self.disk = disk
        for name in ("one", "two", "three"):
            self.root(name).mkdir()
            (self.root(name) / MARKER).write_text(f"{name}\n")
            archive.node(name, made=False, root=str(self.root(name)))
        archive.configure(**UNREAD)
        archive.synced()  # the media become known
        (self.root("one") / "acq").mkdir()
        self.path.write_bytes(BYTES)
        os.utime(self.path, (10**9, 10**9))
        self.imported()

    @property
    def path(self) -> Path:
        return self.root("one") / "acq/f"

    def root(self, node: str) -> Path:
        return self.disk / node

    def imported(self) -> None:
        self.await_clear_time()
        assert self.archive.run("file", "import", "acq/f", "one", "--register-new").status == 0
        self.archive.synced()

    def await_clear_time(self) -> None:
        """Wait until the last change of the file is long enough ago."""
        end = self.path.stat().st_ctime + CLEARLY_S + 0.1
        wait_for(lambda: time.time() > end, "the clock")

    @property
    def file_id(self) -> int:
        return int(self.archive.one("SELECT id FROM archivefile"))

    def statuses(self) -> int:
        """Return the number of copies with a verified status."""
        return int(self.archive.one("SELECT COUNT(*) FROM sync_verified_status"))

    def verify(self, node: str) -> None:
        assert self.archive.run("file", "verify", "acq/f", node).status == 0
        self.archive.sync("--only", "check")

    def remove(self, node: str) -> None:
        """Remove the copy on a node, and forget it."""
        (self.root(node) / "acq/f").unlink()
        self.archive.do("DELETE FROM archivefilecopy WHERE node_id = ?", self.archive.id("storagenode", node))

    def linked(self, source: str, to: str) -> bool:
        """Have the file linked from a node to another; return whether it was read."""
        request = self.archive.request(self.file_id, source, to)
        log = self.archive.base / "log"
        result = self.archive.start(
            "sync",
            "--only",
            "pull",
            prefix=("strace", "-f", "-y", "-e", "trace=preadv2,preadv", "-o", str(log)),
        ).result()
        assert result.status == 0, result
        assert self.archive.state(request) == "done"
        assert (self.root(to) / "acq/f").samefile(self.root(source) / "acq/f")
        (why,) = self.archive.all(
            "SELECT why FROM sync_event WHERE what = 'pulled' ORDER BY id DESC LIMIT 1"
        )[0]
        read = f"{self.root(source)}/acq/f>" in log.read_text(errors="replace")
        assert re.search("hard link(, unread)? from", why) and ("unread" not in why) == read, why
        return read


@pytest.fixture
def links(archive: Archive, tmp_path: Path) -> Iterator[LinkArchive]:
    with mounted("ext4", tmp_path, tmp_path / "disk", 32) as disk:
        yield LinkArchive(archive, disk)


def test_a_file_is_read_when_it_is_imported_and_its_links_are_not(links: LinkArchive) -> None:
    archive = links.archive
    assert links.statuses() == 1
    assert not links.linked("one", "two") and links.statuses() == 2
    assert not links.linked("one", "three")  # the source has a new status, too
    read = archive.all("SELECT DISTINCT verified FROM sync_verification")
    assert len(read) == 1, "a link counts as read when its source was"

    # The link to node three, and its removal, changed the status of the copy on node two.
    links.remove("three")
    assert links.linked("two", "three")
    links.remove("three")
    links.await_clear_time()
    links.verify("two")
    assert not links.linked("two", "three")


def test_without_the_setting_files_are_read_and_nothing_is_kept(links: LinkArchive) -> None:
    archive = links.archive
    archive.do("DELETE FROM sync_verified_status")
    archive.configure(**READ)
    links.verify("one")
    assert links.linked("one", "two") and links.statuses() == 0


def test_a_file_that_was_overwritten_is_read_even_if_its_modification_time_was_set_back(
    links: LinkArchive,
) -> None:
    archive = links.archive
    links.path.write_bytes(BYTES[::-1])
    os.utime(links.path, (10**9, 10**9))
    request = archive.request(links.file_id, "one", "two")
    assert archive.sync("--only", "pull").status == 1
    assert archive.state(request) == "pending" and archive.copy(links.file_id, "one") == "MY"
    assert links.statuses() == 0 and not (links.root("two") / "acq/f").exists()


def test_a_status_belongs_to_the_file_and_not_to_the_name_of_its_node_or_its_root(links: LinkArchive) -> None:
    archive = links.archive
    assert archive.run("node", "rename", "one", "renamed").status == 0
    archive.synced()
    archive.do("UPDATE storagenode SET name = 'one' WHERE name = 'renamed'")
    (links.root("one") / MARKER).write_text("one\n")
    assert not links.linked("one", "two")

    # A copy of the tree, with the identity of the medium, such as a restored backup.
    subprocess.run(["cp", "-a", links.root("one"), links.disk / "restored"], check=True)
    links.root("one").rename(links.disk / "before")
    (links.disk / "restored").rename(links.root("one"))
    assert links.linked("one", "three")


def test_an_older_index_does_not_vouch_for_a_newer_file(links: LinkArchive) -> None:
    archive = links.archive
    (row,) = archive.all("SELECT * FROM sync_verified_status")
    links.path.write_bytes(BYTES)
    os.utime(links.path, (10**9, 10**9))
    links.await_clear_time()
    links.verify("one")
    assert archive.all("SELECT * FROM sync_verified_status") != [row]
    archive.do("DELETE FROM sync_verified_status")
    archive.do(f"INSERT INTO sync_verified_status VALUES ({', '.join('?' * len(row))})", *row)
    assert links.linked("one", "two")


def test_a_link_that_was_not_recorded_is_read_before_it_counts(links: LinkArchive) -> None:
    """The run was killed after it had made the link."""
    archive = links.archive
    (links.root("two") / "acq").mkdir()
    (links.root("two") / "acq/f").hardlink_to(links.path)
    archive.request(links.file_id, "one", "two")
    archive.sync()
    assert archive.copy(links.file_id, "two") == "YY" and archive.pending() == 0
    assert archive.events("good") == [(links.file_id, "two")]
    assert links.linked("one", "three")  # the status in the index is that before the link


def test_archive_nodes_keep_no_statuses_since_nothing_is_linked_there(links: LinkArchive) -> None:
    archive = links.archive
    archive.do("DELETE FROM sync_verified_status")
    archive.do("UPDATE storagenode SET archive = 1 WHERE name = 'one'")
    links.verify("one")
    assert archive.copy(links.file_id, "one") == "YY" and links.statuses() == 0
