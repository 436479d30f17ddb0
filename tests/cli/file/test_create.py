from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Archive

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
OTHER = "b6d81b360a5672d80c27430f39153e2c"
LONG = "é" * 127 + "x"  # 255 bytes of UTF-8
BAD_NAMES = [
    "",
    ".",
    "..",
    "a/..",
    "../a",
    "/a",
    "a/",
    "a//b",
    ".hidden",
    "a/.hidden",
    ".alpenhorn",
    "ALPENHORN_NODE",
    "a/ALPENHORN_NODE",
    "a\nb",
    "a\0b",
    "a\x1b[2J",
    "a\x9b",
    "a\udcff",
    "é" * 128,
    "x" * 256,
]


@pytest.fixture
def pilot(archive: Archive) -> Archive:
    archive.insert("archiveacq", name="pilot")
    return archive


def facts(archive: Archive) -> list[tuple[object, ...]]:
    return archive.all(
        "SELECT a.name, f.name, f.size_b, f.md5sum FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
        " ORDER BY f.id"
    )


# --- create --------------------------------------------------------------------------------------------


def test_create_registers_a_file_without_copies(pilot: Archive) -> None:
    earliest = datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)
    out = pilot.ok("file", "create", "dir/a.h5", "pilot", "--md5", EMPTY.upper(), "--size", "0")
    assert out.startswith(f"Created file pilot/dir/a.h5: 0 B, MD5 sum {EMPTY}.\n")
    assert "alpenhorn file import pilot/dir/a.h5 NODE" in out
    assert facts(pilot) == [("pilot", "dir/a.h5", 0, EMPTY)]
    registered = pilot("file", "show", "pilot/dir/a.h5", "--json").json["registered"]
    assert datetime.datetime.fromisoformat(registered).replace(tzinfo=None) >= earliest
    assert pilot.all("SELECT * FROM archivefilecopy") == []


def test_create_takes_the_largest_length(pilot: Archive) -> None:
    pilot.ok("file", "create", "a", "pilot", "--md5", EMPTY, "--size", str(2**63 - 1))
    assert facts(pilot) == [("pilot", "a", 2**63 - 1, EMPTY)]


def test_a_file_that_exists_is_not_created_again(pilot: Archive) -> None:
    arguments = ("file", "create", "a", "pilot", "--md5", EMPTY, "--size")
    pilot.ok(*arguments, "0")
    for size in ("0", "1"):
        message = pilot.fails(1, *arguments, size)
        assert "file 'pilot/a': exists already" in message and "alpenhorn file modify pilot/a" in message


def test_no_two_files_are_created_at_one_path(pilot: Archive) -> None:
    pilot.insert("archiveacq", name="pilot/day")
    for name, acq, other, other_acq in (
        ("day/a", "pilot", "a", "pilot/day"),
        ("b", "pilot/day", "day/b", "pilot"),
    ):
        pilot.ok("file", "create", name, acq, "--md5", EMPTY, "--size", "0")
        message = pilot.fails(1, "file", "create", other, other_acq, "--md5", EMPTY, "--size", "0")
        assert f"{name!r} of acquisition {acq!r}" in message


def test_an_unknown_acquisition_is_answered_with_the_nearest_and_how_to_make_one(pilot: Archive) -> None:
    message = pilot.fails(1, "file", "create", "a", "pilto", "--md5", EMPTY, "--size", "0")
    assert "did you mean 'pilot'?" in message and "alpenhorn acq create" in message


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_no_import_gives_is_wrong_usage(pilot: Archive, name: str) -> None:
    pilot.fails(2, "file", "create", "--md5", EMPTY, "--size", "0", "--", name, "pilot")


def test_an_acquisition_that_is_no_directory_below_a_root_gets_no_files(pilot: Archive) -> None:
    pilot.insert("archiveacq", name="../up")
    assert "'..'" in pilot.fails(1, "file", "create", "a", "../up", "--md5", EMPTY, "--size", "0")


@pytest.mark.parametrize("name", ["-a", LONG, "x" * 255, "a b", f"{LONG[:60]}/{LONG[:60]}"])
def test_every_name_that_an_import_gives_can_be_created(pilot: Archive, name: str) -> None:
    pilot.ok("file", "create", "--md5", EMPTY, "--size", "0", "--", name, "pilot")
    assert facts(pilot) == [("pilot", name, 0, EMPTY)]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--md5", EMPTY),
        ("--size", "0"),
        ("--from-file", "--md5", EMPTY),
        ("--from-file", "--size", "0"),
        ("--md5", EMPTY, "--size", "0", "--prefix", "/"),
        *(
            ("--size", size, "--md5", EMPTY)
            for size in ("-1", "1.5", "1.5 B", "0.0001k", "1q", "1_0", "٣", "", str(2**63))
        ),
        *(("--size", "0", "--md5", md5) for md5 in ("", EMPTY[1:], EMPTY + "0", "g" * 32, EMPTY[1:] + "\n")),
    ],
)
def test_bad_options_are_wrong_usage(pilot: Archive, options: tuple[str, ...]) -> None:
    pilot.fails(2, "file", "create", "a", "pilot", *options)


def test_from_file_reads_length_and_sum(pilot: Archive, tmp_path: Path) -> None:
    path = tmp_path / "pilot" / "dir" / "a"
    path.parent.mkdir(parents=True)
    content = os.urandom(3 * 2**20 + 1)
    path.write_bytes(content)
    pilot.ok("file", "create", "dir/a", "pilot", "--from-file", "--prefix", str(tmp_path))
    assert facts(pilot) == [("pilot", "dir/a", len(content), hashlib.md5(content).hexdigest())]


def test_from_file_begins_in_the_working_directory(pilot: Archive, tmp_path: Path) -> None:
    (tmp_path / "pilot").mkdir()
    (tmp_path / "pilot" / "a").touch()
    with contextlib.chdir(tmp_path):
        pilot.ok("file", "create", "a", "pilot", "--from-file")
        assert f"{tmp_path}/pilot/b" in pilot.fails(1, "file", "create", "b", "pilot", "--from-file")
    assert facts(pilot) == [("pilot", "a", 0, EMPTY)]


def test_from_file_takes_only_a_regular_file_that_no_link_leads_to(pilot: Archive, tmp_path: Path) -> None:
    acq = tmp_path / "pilot"
    (acq / "dir").mkdir(parents=True)
    (acq / "dir" / "a").touch()
    (acq / "link").symlink_to("dir/a")
    (acq / "linked").symlink_to("dir")
    os.mkfifo(acq / "fifo")
    for name, why in (
        ("link", "symbolic link"),
        ("linked/a", "symbolic link"),
        ("fifo", "not a regular file"),
        ("dir", "not a regular file"),
        ("none", "No such file"),
        ("none/a", "No such file"),
    ):
        message = pilot.fails(1, "file", "create", name, "pilot", "--from-file", "--prefix", str(tmp_path))
        assert f"{tmp_path}/pilot/{name}" in message and why in message
    for prefix in ("", "/nonexistent", "a\0b"):
        pilot.fails(1, "file", "create", "dir/a", "pilot", "--from-file", "--prefix", prefix)
    assert facts(pilot) == []


def test_from_file_tells_what_it_could_not_read(archive: Archive) -> None:
    """At its first byte a process has no memory, and reading there is an I/O error for root as well."""
    process = str(os.getpid())
    archive.insert("archiveacq", name=process)
    message = archive.fails(1, "file", "create", "mem", process, "--from-file", "--prefix", "/proc")
    assert f"/proc/{process}/mem" in message and "Input/output error" in message


def test_from_file_refuses_a_file_that_changes_while_it_is_read(pilot: Archive, tmp_path: Path) -> None:
    (tmp_path / "pilot").mkdir()
    path = tmp_path / "pilot" / "a"
    path.write_bytes(bytes(2**26))
    stop = threading.Event()

    def write() -> None:
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                file.seek(0)
                file.write(b"x")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        message = pilot.fails(1, "file", "create", "a", "pilot", "--from-file", "--prefix", str(tmp_path))
    finally:
        stop.set()
        writer.join()
    assert "changed while being read" in message


# --- modify --------------------------------------------------------------------------------------------


def test_modify_changes_what_is_given_and_makes_good_and_corrupt_copies_suspect(archive: Archive) -> None:
    file_id = archive.file("a", field1="YM", off1="YN", off2="XY")
    other = archive.file("b", field1="YY")
    result = archive("file", "modify", "pilot/a", "--md5", OTHER.upper())
    assert result.status == 0
    assert facts(archive) == [("pilot", "a", 1000, OTHER), ("pilot", "b", 1000, "0" * 32)]
    # What is wanted of them stays.
    assert [archive.copy(file_id, node) for node in ("field1", "off1", "off2")] == ["MM", "MN", "MY"]
    assert archive.copy(other, "field1") == "YY"
    assert "3 copies are suspect until read, by the next run on alp1: field1; on alp2: off1" in result.out


def test_modify_without_reverify_leaves_the_copies(archive: Archive) -> None:
    file_id = archive.file("a", field1="XN", off1="MY", off2="XY")
    before = archive.rows()["archivefilecopy"]
    result = archive("file", "modify", "pilot/a", "--size", "0", "--no-reverify")
    assert result.status == 0
    assert result.out == f"Changed file pilot/a: length 0 bytes, MD5 sum {'0' * 32}.\n"
    assert "1 copy is recorded as corrupt" in result.err
    assert "alpenhorn file verify pilot/a off2" in result.err
    assert archive.rows()["archivefilecopy"] == before
    assert archive.one("SELECT size_b FROM archivefile WHERE id = ?", file_id) == 0


def test_modify_to_the_same_changes_nothing(archive: Archive) -> None:
    archive.file("a", field1="YY")
    archive.index.execute("UPDATE archivefile SET md5sum = ?", (OTHER.upper(),))
    before = archive.rows()
    assert archive.ok("file", "modify", "pilot/a", "--size", "1000", "--md5", OTHER) == "No change.\n"
    assert archive.rows() == before


def test_modify_tells_of_copies_that_no_run_reads(archive: Archive) -> None:
    archive.file("a", size=None, off2="YY")
    archive.index.execute("UPDATE archivefile SET md5sum = NULL")
    result = archive("file", "modify", "pilot/a", "--size", "1")
    assert result.status == 0 and "1 copy is suspect until read.\n" in result.out
    assert "off2: no run reads copies there" in result.err
    assert "alpenhorn file modify pilot/a --md5 HASH" in result.err


def test_modify_needs_something_to_change_and_a_file(archive: Archive) -> None:
    archive.file("a", field1="YY")
    archive.fails(2, "file", "modify", "pilot/a")
    archive.fails(2, "file", "modify", "pilot/a", "--no-reverify")
    archive.fails(2, "file", "modify", "pilot/a", "--md5", "x")
    for path in ("pilot/b", "a", "", "/", "..", "pilot/a\n", "pilot/\0", "pilot/\udcff"):
        assert "no file called" in archive.fails(1, "file", "modify", "--size", "1", "--", path)
