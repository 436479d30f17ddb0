"""Files without an MD5 sum, as the daemon leaves some: which commands report them, and `file modify --from-copy`."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.fixtures.archive import Archive
from tests.fixtures.tape import Tape

CONTENT = b"as it is on the node"
MD5 = hashlib.md5(CONTENT).hexdigest()
REMEDY = "alpenhorn file modify acq/a --from-copy one"


def facts(archive: Archive) -> Any:
    return archive.one("SELECT size_b, md5sum FROM archivefile WHERE name = 'a'")


def refused(archive: Archive, *arguments: str) -> str:
    """Return the message of a `file modify` that must be refused and change nothing."""
    before = archive.dump()
    result = archive.run("file", "modify", "acq/a", *arguments)
    assert result.status == 1 and "nothing was changed" in result.err, result
    assert "Traceback" not in result.err and archive.dump() == before
    return result.err


@pytest.fixture
def bare(sqlite_archive: Archive) -> Archive:
    """acq/a on the nodes one and two of this host, without an MD5 sum in the index; node far on another host."""
    sqlite_archive.node("one")
    sqlite_archive.node("two")
    sqlite_archive.node("far", host="there")
    sqlite_archive.file("acq/a", CONTENT, "one", "two", md5sum=None)
    return sqlite_archive


def test_a_file_without_an_md5_sum_is_pulled_once_it_was_read_from_a_copy(archive: Archive) -> None:
    archive.node("one")
    archive.node("vault")
    file_id = archive.file("acq/a", CONTENT, "one", md5sum=None)
    request = archive.request(file_id, "one", "vault")
    archive.sync()
    assert archive.state(request) == "pending"
    for command in (("status",), ("plan",), ("request", "show", str(request))):
        assert REMEDY in archive.run(*command).out
    result = archive.run("file", "modify", "acq/a", "--from-copy", "one")
    assert result.status == 0 and MD5 in result.out, result
    assert facts(archive) == (len(CONTENT), MD5) and archive.copy(file_id, "one") == "MY"
    archive.synced()
    archive.synced()
    assert archive.state(request) == "done" and archive.tree("vault") == {"acq/a": CONTENT}


def test_the_length_is_read_too(bare: Archive) -> None:
    bare.do("UPDATE archivefile SET size_b = NULL")
    assert bare.run("file", "modify", "acq/a", "--from-copy", "one", "--no-reverify").status == 0
    assert facts(bare) == (len(CONTENT), MD5)
    assert bare.copy(1, "one") == bare.copy(1, "two") == "YY"


def test_known_values_are_replaced_only_by_force(bare: Archive) -> None:
    bare.do("UPDATE archivefile SET size_b = 7")
    assert f"has {len(CONTENT)} bytes, the index says 7" in refused(bare, "--from-copy", "one")
    bare.do("UPDATE archivefile SET size_b = NULL, md5sum = ?", "0" * 32)
    assert f"has MD5 sum {MD5}" in refused(bare, "--from-copy", "one")
    bare.do("UPDATE archivefile SET size_b = 7")
    message = refused(bare, "--from-copy", "one")
    assert "already has a length and an MD5 sum" in message and "alpenhorn file verify acq/a one" in message
    assert bare.run("file", "modify", "acq/a", "--from-copy", "one", "--force").status == 0
    assert facts(bare) == (len(CONTENT), MD5)


@pytest.mark.parametrize(
    ("node", "change", "told"),
    [
        ("far", "", "node far: on host there; run this command there"),
        ("one", "UPDATE storagenode SET active = 0", "alpenhorn node activate one"),
        ("one", "UPDATE storagenode SET host_id = NULL", "node one: not on any host"),
        ("one", "UPDATE storagenode SET root = NULL", "node one has no root"),
        ("one", "UPDATE storagenode SET io_class = 'Nix'", "Nix"),
        ("one", "UPDATE archivefilecopy SET has_file = 'X'", "acq/a on one: the copy is corrupt"),
        ("one", "UPDATE archivefilecopy SET has_file = 'N'", "acq/a on one: no copy"),
        ("one", "DELETE FROM archivefilecopy", "acq/a on one: no copy"),
    ],
)
def test_a_copy_that_is_not_trustworthy_is_refused(bare: Archive, node: str, change: str, told: str) -> None:
    if change:
        bare.do(change)
    assert told in refused(bare, "--from-copy", node)


def test_the_node_must_be_mounted_and_contain_the_file(bare: Archive) -> None:
    path = bare.root("one") / "acq/a"
    path.unlink()
    assert "cannot read 'acq/a' on one: No such file" in refused(bare, "--from-copy", "one")
    path.symlink_to(bare.root("two") / "acq/a")
    assert "cannot read 'acq/a' on one" in refused(bare, "--from-copy", "one")
    (bare.root("two") / "ALPENHORN_NODE").write_text("one\n")
    assert "cannot read 'acq/a' on two" in refused(bare, "--from-copy", "two")


def test_a_file_on_tape_is_not_read(sqlite_archive: Archive) -> None:
    tape = Tape(sqlite_archive)
    tape.file("acq/a", CONTENT)
    sqlite_archive.do("UPDATE archivefile SET md5sum = NULL")
    assert "lfs hsm_restore" in refused(sqlite_archive, "--from-copy", "tape")


def test_wrong_usage(bare: Archive) -> None:
    for arguments in (
        ("--from-copy", "one", "--size", "1"),
        ("--size", "1", "--force"),
        ("--from-copy", "nix"),
    ):
        result = bare.run("file", "modify", "acq/a", *arguments)
        assert result.status == (1 if "nix" in arguments else 2), result
    assert facts(bare) == (len(CONTENT), None)
