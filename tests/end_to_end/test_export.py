"""`alpenhorn export bagit`: a valid bag of all files of an acquisition, or none at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_sha256 import FIRST, SECOND
from tests.fixtures.archive import Archive, Result, wait_for
from tests.fixtures.filesystems import LINKLESS, mounted

pytestmark = pytest.mark.one_engine

DECOMPOSED = "cafe\u0301"
NAMES = [
    "plain.h5",
    "deep/er/f",
    "a b",
    " leading",
    "#comment",
    "*star",
    "-rf",
    "~",
    "line\nbreak",
    "carriage\rreturn",
    "two\n\nbreaks",
    "per%cent",
    "50%25",
    "%0a",
    "'quoted\"",
    "back\\slash",
    "caf\u00e9",
    DECOMPOSED,
    "\N{SATELLITE}",
    "tab\tinside",
    "$(touch x)",
    "é" * 120,
]
IMPOSSIBLE = {
    "%0A": "contains %0A",
    "a%0Db": "contains %0A or %0D",
    "trailing ": "ends with a blank",
    "separ\u2028ated": "separator",
    "next\x85line": "separator",
    "a\nb\nc\nd": "line breaks",
}


@pytest.fixture
def two(archive: Archive) -> Archive:
    archive.node("one")
    archive.node("two")
    archive.node("far", host="there")
    return archive


def bag_of(archive: Archive) -> Path:
    return archive.base / "out" / "bag"


def export(archive: Archive, *more: str, acq: str = "acq", **options: Any) -> Result:
    bag_of(archive).parent.mkdir(exist_ok=True)
    return archive.run("export", "bagit", acq, str(bag_of(archive)), *more, **options)


def validated(bag: Path) -> None:
    """Have the package read everything in a process of its own, as somebody who got the bag does."""
    ended = subprocess.run(
        [sys.executable, "-m", "bagit", "--validate", str(bag)],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert ended.returncode == 0 and "is valid" in ended.stderr, ended


def files(bag: Path) -> dict[str, bytes]:
    data = bag / "data"
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def nothing_left(archive: Archive) -> None:
    assert list(bag_of(archive).parent.iterdir()) == []


def test_names_that_differ_in_their_form_only_are_two_files(two: Archive) -> None:
    """The package takes one for the other, whichever the disk lists last; programs that compare bytes do not."""
    for name in ("caf\u00e9", DECOMPOSED):
        two.file(f"acq/{name}", name.encode(), "one")
    assert export(two).status == 0
    for kind in ("md5", "sha256"):
        argv = [f"{kind}sum", "--check", "--strict", f"manifest-{kind}.txt"]
        assert subprocess.run(argv, cwd=bag_of(two), capture_output=True).returncode == 0


def test_a_bag_has_all_files_with_both_sums_and_is_valid(two: Archive) -> None:
    names = [name for name in NAMES if name != DECOMPOSED]
    for number, name in enumerate(names):
        two.file(f"acq/{name}", f"contents {number}".encode(), ("one", "two")[number % 2])
    two.file("other/f", b"not exported", "one")
    before = {node: two.everything(node) for node in ("one", "two")}
    rows = two.dump()
    result = export(two)
    assert result.status == 0 and result.err == "" and f"{len(names)} files" in result.out, result
    bag = bag_of(two)
    validated(bag)
    assert files(bag) == {f"acq/{name}": f"contents {number}".encode() for number, name in enumerate(names)}
    for kind in ("md5", "sha256"):
        lines = (bag / f"manifest-{kind}.txt").read_text().split("\n")
        assert f"{hashlib.new(kind, b'contents 0').hexdigest()}  data/acq/plain.h5" in lines
        assert any(line.endswith("  data/acq/line%0Abreak") for line in lines)
        assert (bag / f"tagmanifest-{kind}.txt").exists()
    info = (bag / "bag-info.txt").read_text()
    assert "External-Identifier: acq\n" in info and "Bag-Software-Agent: alpenhorn " in info
    # Nothing is shared with the nodes, and nothing there has changed.
    assert {path.stat().st_nlink for path in (bag / "data").rglob("*") if path.is_file()} == {1}
    assert {node: two.everything(node) for node in before} == before and two.dump() == rows
    assert list(bag.parent.iterdir()) == [bag]
    mask = os.umask(0)
    os.umask(mask)
    modes = {path.stat().st_mode & 0o777 for path in (bag, bag / "data", bag / "data/acq/deep")}
    assert modes == {0o777 & ~mask}
    # The command that it prints checks it, and finds a changed byte.
    at = bag / "data/acq/plain.h5"
    at.write_bytes(at.read_bytes().upper())
    with pytest.raises(AssertionError):
        validated(bag)


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_name_that_a_bag_cannot_hold_is_refused_before_anything_is_copied(two: Archive, name: str) -> None:
    two.file(f"acq/{name}", b"f", "one")
    two.file("acq/fine", b"f", "one")
    result = export(two)
    assert result.status == 1 and "1 name that a bag cannot hold" in result.err, result
    assert IMPOSSIBLE[name] in result.err
    nothing_left(two)


def test_all_or_nothing_is_written(two: Archive) -> None:
    two.file("acq/here", b"h", "one")
    for number in range(12):
        two.file(f"acq/far{number:02}", b"f", "far")
    lost = two.file("acq/lost", b"f")
    two.set_copy(lost, "one", "XY")
    result = export(two)
    assert result.status == 1 and "13 of 14 files without a good copy" in result.err, result
    assert "acq/far00 (good on far)" in result.err and "and 3 more" in result.err
    assert "alpenhorn file sync acq/far00" in result.err
    nothing_left(two)
    two.do("DELETE FROM archivefilecopy WHERE file_id <> 1")
    two.do("DELETE FROM archivefile WHERE id <> 1")
    assert export(two).status == 0


def test_a_copy_that_differs_is_named_and_another_one_used(two: Archive) -> None:
    two.file("acq/f", b"right", "one", "two")
    two.file("acq/g", b"g", "one")
    two.put("one", "acq/f", b"wrong")
    result = export(two)
    assert result.status == 0 and "acq/f on one: the MD5 of the source" in result.err, result
    assert "alpenhorn file verify acq/f one" in result.err
    validated(bag_of(two))
    assert files(bag_of(two)) == {"acq/f": b"right", "acq/g": b"g"}
    assert two.copy(1, "one") == "YY"  # the run that checks it decides


@pytest.mark.parametrize("how", ["wrong", "longer", "gone", "unmounted"])
def test_without_another_copy_there_is_no_bag(two: Archive, how: str) -> None:
    two.file("acq/f", b"right", "one")
    two.file("acq/g", b"g", "two")
    path = two.root("one") / "acq/f"
    if how == "unmounted":
        two.root("one").rename(two.base / "away")
        two.root("one").mkdir()
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(how.encode())
    result = export(two)
    assert result.status == 1 and "1 file could not be copied from any node here" in result.err, result
    assert "acq/f on one: " in result.err
    assert ("file verify acq/f one" in result.err) is (how != "unmounted")
    nothing_left(two)


def test_a_forged_copy_is_not_exported_if_its_sha256_is_known(two: Archive) -> None:
    file_id = two.file("acq/f", FIRST, "one")
    two.insert(
        "sync_digest",
        file_id=file_id,
        size_b=len(FIRST),
        md5sum=hashlib.md5(FIRST).hexdigest(),
        sha256=hashlib.sha256(FIRST).hexdigest(),
    )
    two.put("one", "acq/f", SECOND)
    assert "SHA-256" in export(two).err
    nothing_left(two)
    two.put("one", "acq/f", FIRST)
    assert export(two).status == 0
    validated(bag_of(two))


def test_a_row_that_leads_out_of_the_root_is_not_followed(two: Archive) -> None:
    (two.base / "secret").write_bytes(b"secret")
    two.file("acq/f", b"f", "one")
    two.insert(
        "archivefile",
        acq_id=1,
        name="../../secret",
        size_b=6,
        md5sum=hashlib.md5(b"secret").hexdigest(),
        registered="2026-01-01 00:00:00",
    )
    two.set_copy(2, "one", "YY")
    assert export(two).status == 1
    nothing_left(two)
    assert (two.base / "secret").read_bytes() == b"secret"


def test_names_that_the_target_takes_for_one_another_make_no_bag(two: Archive, tmp_path: Path) -> None:
    """As on exFAT, which a disk for the transport may have."""
    with mounted(LINKLESS[0], tmp_path, tmp_path / "disk") as disk:
        there = set(disk.iterdir())
        two.file("acq/name", b"one", "one")
        two.file("acq/NAME", b"two", "one")
        result = two.run("export", "bagit", "acq", str(disk / "bag"))
        assert result.status == 1 and "nothing was written" in result.err, result
        assert set(disk.iterdir()) == there
        two.do("DELETE FROM archivefilecopy WHERE file_id = 2")
        two.do("DELETE FROM archivefile WHERE id = 2")
        done = two.run("export", "bagit", "acq", str(disk / "bag"))
        assert done.status == 0, done
        validated(disk / "bag")


def test_a_target_without_room_is_refused_or_given_up(two: Archive, tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, tmp_path / "disk") as disk:
        two.file("acq/f", bytes(20 * 2**20), "one")
        result = two.run("export", "bagit", "acq", str(disk / "bag"))
        assert result.status == 1 and "bytes are free" in result.err, result
        # The file is longer than it should be: found out by reading, but there is no room for that.
        two.do("UPDATE archivefile SET size_b = 100")
        assert two.run("export", "bagit", "acq", str(disk / "bag")).status == 1
        # Somebody else fills the disk meanwhile: here, many small files, which need a page each.
        two.files(5000, "two", 10, acq="many")
        result = two.run("export", "bagit", "many", str(disk / "bag"))
        assert result.status == 1 and "cannot write to the destination" in result.err, result
        assert list(disk.iterdir()) == []


def test_only_the_chosen_nodes_are_read(two: Archive) -> None:
    two.file("acq/f", b"right", "one", "two")
    two.put("one", "acq/f", b"wrong")
    result = export(two, "--node", "two")
    assert result.status == 0 and result.err == ""
    assert "run this command there" in export_elsewhere(two, "--node", "far").err
    two.do("UPDATE storagenode SET active = 0 WHERE name = 'one'")
    assert "alpenhorn node activate one" in export_elsewhere(two, "--node", "one").err


def export_elsewhere(archive: Archive, *more: str) -> Result:
    result = archive.run("export", "bagit", "acq", str(archive.base / "out" / "second"), *more)
    assert result.status == 1 and "nothing was written" in result.err, result
    assert not (archive.base / "out" / "second").exists()
    return result


def test_a_directory_that_is_not_free_is_refused_and_left_as_it_is(two: Archive) -> None:
    two.file("acq/f", b"f", "one")
    out = two.base / "out"
    out.mkdir()
    (out / "bag").mkdir()
    (out / "bag" / "mine").write_text("mine")
    assert "not empty" in export(two).err
    assert (out / "bag" / "mine").read_text() == "mine"
    (out / "bag" / "mine").unlink()
    assert export(two).status == 0  # an empty one is used
    assert "not empty" in export(two).err
    validated(out / "bag")
    inside = two.run("export", "bagit", "acq", str(two.root("two") / "bag"))
    assert inside.status == 1 and "which is the root of a node" in inside.err
    assert two.run("export", "bagit", "acq", str(out / "no" / "bag")).status == 1
    assert two.run("export", "bagit", "none", str(out / "b")).status == 1
    two.do("INSERT INTO archiveacq (name) VALUES ('empty')")
    assert "has no files" in two.run("export", "bagit", "empty", str(out / "b")).err
    assert sorted(path.name for path in out.iterdir()) == ["bag"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_what_was_interrupted_does_not_look_like_a_bag(two: Archive, how: signal.Signals) -> None:
    two.files(300, "one", 200_000, acq="acq")
    with (two.root("one") / "acq/big").open("wb") as file:
        file.truncate(2**34)  # 16 GiB of zeros: long enough
    two.insert(
        "archivefile", acq_id=1, name="big", size_b=2**34, md5sum="0" * 32, registered="2026-01-01 00:00:00"
    )
    two.set_copy(two.one("SELECT MAX(id) FROM archivefile"), "one", "YY")
    out = bag_of(two).parent
    out.mkdir()
    running = two.start("export", "bagit", "acq", str(bag_of(two)))
    wait_for(lambda: list(out.glob(".bag.unfinished-*/acq/*")), "the first file")
    os.kill(running.process.pid, how)
    running.process.wait(60)
    assert not bag_of(two).exists()
    if how is not signal.SIGKILL:
        nothing_left(two)
        return
    two.do("DELETE FROM archivefile WHERE name = 'big'")
    (two.root("one") / "acq/big").unlink()
    again = export(two)
    assert again.status == 0 and "rm -r" in again.err and ".bag.unfinished-" in again.err, again
    validated(bag_of(two))


def test_without_the_package_the_command_says_how_to_install_it(two: Archive) -> None:
    (two.base / "path" / "bagit").mkdir(parents=True)
    (two.base / "path" / "bagit" / "__init__.py").write_text("raise ImportError('No module named bagit')\n")
    two.file("acq/f", b"f", "one")
    result = export(two, environ={"PYTHONPATH": str(two.base / "path")})
    assert result.status == 1 and "pip install 'alpenhorn[bagit]'" in result.err, result
    nothing_left(two)
