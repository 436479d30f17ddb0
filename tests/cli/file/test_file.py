from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import Archive


@pytest.fixture
def files(archive: Archive) -> Archive:
    """Six files of pilot, each named for what it is on field1, and two of other."""
    archive.file("healthy", field1="YY", off1="YY")
    archive.file("removable", field1="YM")
    archive.file("released", field1="YN", off2="XY")
    archive.file("suspect", field1="MY", off1="MN")
    archive.file("corrupt", field1="XM", off1="YY")
    archive.file("missing", field1="NY")
    archive.file("removed", acq="other", field1="NM")
    archive.file("nowhere", acq="other")
    return archive


def listed(archive: Archive, *options: str) -> list[str]:
    return [path.split("/")[1] for path in archive.ok("file", "list", *options).splitlines()]


def test_list_by_place(files: Archive) -> None:
    assert len(listed(files)) == 8
    assert files.ok("file", "list").splitlines()[:2] == ["other/nowhere", "other/removed"]
    assert listed(files, "--acq", "other") == ["nowhere", "removed"]
    assert listed(files, "--node", "field1") == ["healthy", "removable"]
    assert listed(files, "--group", "offsite") == ["corrupt", "healthy"]
    assert listed(files, "--node", "field1", "--group", "offsite") == ["corrupt", "healthy", "removable"]
    assert listed(files, "--all", "--node", "field1", "--group", "offsite") == ["healthy"]
    assert listed(files, "--all", "--node", "field1", "--absent-group", "offsite") == ["removable"]
    assert listed(files, "--absent-node", "field1", "--absent-node", "off1", "--acq", "pilot") == [
        "corrupt",
        "missing",
        "released",
        "removable",
        "suspect",
    ]
    assert listed(files, "--all", "--absent-node", "field1", "--absent-node", "off1", "--acq", "pilot") == [
        "missing",
        "released",
        "suspect",
    ]


def test_list_by_state(files: Archive) -> None:
    assert listed(files, "--node", "field1", "--corrupt") == ["corrupt"]
    assert listed(files, "--node", "field1", "--missing", "--suspect") == ["missing", "suspect"]
    assert listed(files, "--group", "offsite", "--corrupt") == ["released"]
    assert listed(files, "--corrupt") == ["corrupt", "released"]


def test_list_what_can_be_copied(files: Archive) -> None:
    assert listed(files, "--from", "field1", "--to", "offsite") == ["released", "removable"]
    files.fails(2, "file", "list", "--from", "field1")
    files.fails(2, "file", "list", "--from", "field1", "--to", "offsite", "--corrupt")
    files.fails(2, "file", "list", "--all")
    files.fails(1, "file", "list", "--from", "field1", "--to", "elsewhere")


def test_list_with_details(files: Archive) -> None:
    first = files("file", "list", "--node", "field1", "--json").json[0]
    assert first == {
        "path": "pilot/healthy",
        "acq": "pilot",
        "name": "healthy",
        "size_b": 1000,
        "md5sum": "0" * 32,
        "registered": "2026-07-22T10:00:00Z",
        "state": "Healthy",
    }
    assert "4.00 KiB" in files.ok("file", "list", "--node", "field1", "--details")
    assert "2026-07-22 10:00:00" in files.ok("file", "list", "--details")
    states = files("file", "list", "--group", "offsite", "--suspect", "--corrupt", "--json").json
    assert [(row["name"], row["state"]) for row in states] == [("released", "Corrupt")]
    assert files.ok("file", "list", "--acq", "other", "--node", "off1", "--details") == "No files.\n"
    assert files("file", "list", "--node", "off2", "--json").json == []


def test_find_lists_copies(files: Archive) -> None:
    def found(*options: str) -> list[tuple[str, str, str]]:
        rows = files("file", "find", "--json", *options).json
        return [(row["path"].split("/")[1], row["node"], row["state"]) for row in rows]

    assert found() == [
        ("corrupt", "off1", "Healthy"),
        ("healthy", "field1", "Healthy"),
        ("healthy", "off1", "Healthy"),
        ("removable", "field1", "Removable"),
    ]
    assert found("--corrupt") == [("corrupt", "field1", "Corrupt"), ("released", "off2", "Corrupt")]
    assert found("--corrupt", "--group", "offsite") == [("released", "off2", "Corrupt")]
    assert found("--node", "field1", "--missing", "--acq", "pilot") == [("missing", "field1", "Missing")]
    assert "No such copies" in files.ok("file", "find", "--acq", "other")
    files.fails(1, "file", "find", "--acq", "pilo")


def test_show(files: Archive) -> None:
    file_id = files.one("SELECT id FROM archivefile WHERE name = 'released'")
    files.request(file_id)
    files.request(file_id, cancelled=1)
    document = files("file", "show", "pilot/released", "--all", "--json").json
    assert document["groups"] == [
        {"group": "field", "state": "Present"},
        {"group": "offsite", "state": "Corrupt"},
    ]
    assert [(copy["node"], copy["state"]) for copy in document["copies"]] == [
        ("field1", "Released"),
        ("off2", "Corrupt"),
    ]
    assert [one["state"] for one in document["transfers"]] == ["pending", "cancelled"]
    text = files.ok("file", "show", "pilot/released", "-a")
    assert "Released" in text and "cancelled" in text and "1000 B" in text
    assert "no file called 'pilot/nix'" in files.fails(1, "file", "show", "pilot/nix")
    assert "did you mean 'pilot/released'" in files.fails(1, "file", "show", "pilot/relaesed")
    assert "did you mean 'pilot'?" in files.fails(1, "file", "show", "pilto/released")
    assert "ACQUISITION/NAME" in files.fails(1, "file", "show", "nix")
    assert "no file called" in files.fails(1, "file", "show", "/srv/field1/pilot/released")


def test_state_is_shown_in_words(files: Archive) -> None:
    words = {
        "pilot/healthy": "Healthy",
        "pilot/removable": "Healthy Removable",
        "pilot/released": "Healthy Released",
        "pilot/suspect": "Suspect",
        "pilot/corrupt": "Corrupt Removable",
        "pilot/missing": "Missing",
        "other/removed": "Removed",
        "other/nowhere": "Absent",
    }
    for path, word in words.items():
        assert files.ok("file", "state", path, "field1") == f"{word}\n"
    assert files("file", "state", "/srv/field1/pilot/released", "field1", "--json").json == {
        "path": "pilot/released",
        "node": "field1",
        "state": "Released",
        "has_file": "Y",
        "wants_file": "N",
        "ready": False,
        "in_trash": False,
    }


@pytest.mark.parametrize(
    ("before", "word", "state"),
    [
        ("YN", "Healthy", "YY"),
        ("YY", "suspect", "MY"),
        ("YN", "CORRUPT", "XY"),
        ("YM", "Missing", "NY"),
        ("YM", "absent", "NN"),
        # What may go when room is needed still may.
        ("XM", "Healthy", "YM"),
        ("YM", "Suspect", "MM"),
        ("YM", "Corrupt", "XM"),
        ("NM", "Healthy", "YM"),
    ],
)
def test_state_set(archive: Archive, before: str, word: str, state: str) -> None:
    file_id = archive.file("a", field1=before)
    updated = archive.one("SELECT last_update FROM archivefilecopy WHERE file_id = ?", file_id)
    assert archive.ok("file", "state", "pilot/a", "field1", "--set", word) == "State changed.\n"
    assert archive.copy(file_id, "field1") == state
    assert archive.one("SELECT last_update FROM archivefilecopy WHERE file_id = ?", file_id) > updated
    assert archive.ok("file", "state", "pilot/a", "field1", "--set", word) == "No change.\n"


def test_state_of_a_copy_that_was_not_recorded(files: Archive) -> None:
    file_id = files.one("SELECT id FROM archivefile WHERE name = 'nowhere'")
    assert files.ok("file", "state", "other/nowhere", "off1", "--set", "absent") == "No change.\n"
    assert files.copy(file_id, "off1") is None
    files.ok("file", "state", "other/nowhere", "off1", "--set", "suspect")
    assert files.copy(file_id, "off1") == "MY"


def test_the_ready_bit(files: Archive) -> None:
    files.ok("file", "state", "pilot/healthy", "field1", "--ready")
    assert files.ok("file", "state", "pilot/healthy", "field1") == "Healthy Ready\n"
    assert files.ok("file", "state", "pilot/healthy", "field1", "--ready") == "No change.\n"
    files.ok("file", "state", "pilot/healthy", "field1", "--unready")
    assert files.ok("file", "state", "pilot/healthy", "field1") == "Healthy\n"
    assert "copy is not healthy" in files.fails(1, "file", "state", "pilot/missing", "field1", "--ready")
    files.fails(2, "file", "state", "pilot/missing", "field1", "--ready", "--unready")
    files.fails(2, "file", "state", "pilot/missing", "field1", "--ready", "--set", "Corrupt")
    files.fails(2, "file", "state", "pilot/missing", "field1", "--set", "Gone")
    files.ok("file", "state", "pilot/missing", "field1", "--set", "healthy", "--ready")


def test_import_files_a_request(archive: Archive) -> None:
    archive.ok("file", "import", "pilot/a", "field1")
    archive.ok("file", "import", "/srv/field1/pilot/b", "field1", "--register-new")
    assert "Already requested" in archive.ok("file", "import", "./pilot//a", "field1")
    # Another request for the same path that does more is not the same.
    archive.ok("file", "import", "pilot/a", "field1", "--register-new")
    rows = archive.all("SELECT path, recurse, register FROM archivefileimportrequest ORDER BY id")
    assert rows == [("pilot/a", 0, 0), ("pilot/b", 0, 1), ("pilot/a", 0, 1)]
    archive.fails(2, "file", "import", "", "field1")
    archive.fails(2, "file", "import", "/srv/field1", "field1")
    archive.fails(1, "file", "import", "pilot/a", "field")
    archive.index.execute("UPDATE storagenode SET root = NULL WHERE name = 'field1'")
    assert "has no root" in archive.fails(1, "file", "import", "/srv/field1/a", "field1")


def test_sync_requests_one_file(files: Archive) -> None:
    files.ok("file", "sync", "pilot/removable", "--from", "field1", "--to", "offsite")
    file_id = files.one("SELECT id FROM archivefile WHERE name = 'removable'")
    assert files.requests() == [(file_id, "field1", "offsite")]
    assert "Already requested" in files.ok(
        "file", "sync", "pilot/removable", "--from", "field1", "--to", "offsite"
    )
    assert "is already in offsite" in files.ok(
        "file", "sync", "pilot/healthy", "--from", "field1", "--to", "offsite"
    )
    assert len(files.requests()) == 1
    first = files.one("SELECT id FROM archivefilecopyrequest")
    again = files.ok("file", "sync", "pilot/removable", "--from", "field1", "--to", "offsite")
    assert f"request {first} from field1; to see why: alpenhorn request show {first}" in again
    files.ok("node", "create", "field2", "--group", "field")
    other = files.ok("file", "sync", "pilot/removable", "--from", "field2", "--to", "offsite", "--force")
    assert "Requested: pilot/removable from field2" in other and f"request {first} from field1" in other
    assert len(files.requests()) == 2
    files.ok("file", "sync", "pilot/removable", "--cancel", "--from", "field2")
    files.ok("file", "sync", "pilot/removable", "--cancel", "--to", "spare")
    assert len(files.requests()) == 1
    assert files.ok("file", "sync", "pilot/removable", "--cancel") == "Cancelled 1 request.\n"
    assert files.requests() == []
    assert "No pending" in files.ok("file", "sync", "pilot/removable", "--cancel")


def test_sync_from_a_node_without_the_file_needs_force(files: Archive) -> None:
    message = files.fails(1, "file", "sync", "pilot/missing", "--from", "field1", "--to", "offsite")
    assert "pilot/missing: no good copy on field1 (Missing); nothing was requested" in message
    assert "(Absent)" in files.fails(1, "file", "sync", "pilot/missing", "--from", "off1", "--to", "field")
    files.ok("file", "sync", "pilot/missing", "--from", "field1", "--to", "offsite", "--force")
    assert len(files.requests()) == 1
    files.fails(2, "file", "sync", "pilot/missing", "--from", "field1")
    files.fails(2, "file", "sync", "pilot/missing")


def test_verify_makes_a_copy_suspect(files: Archive) -> None:
    for name, after in (("healthy", "MY"), ("removable", "MM"), ("corrupt", "MM"), ("missing", "MY")):
        files.ok("file", "verify", f"pilot/{name}", "field1")
        file_id = files.one("SELECT id FROM archivefile WHERE name = ?", name)
        assert files.copy(file_id, "field1") == after
    assert "Already requested" in files.ok("file", "verify", "pilot/suspect", "field1")
    assert "released" in files.fails(1, "file", "verify", "pilot/released", "field1")
    assert "no copy" in files.fails(1, "file", "verify", "other/removed", "field1")
    assert "no copy" in files.fails(1, "file", "verify", "other/nowhere", "field1")


def test_hostile_names_do_not_reach_the_terminal(archive: Archive) -> None:
    archive.file("a\x1b[2J\nb\u202e\x9b", field1="YY")
    for command in (("list",), ("list", "--details"), ("find",)):
        text = archive.ok("file", *command)
        assert "pilot/a\\x1b[2J\\nb\\u202e\\x9b" in text and "\x1b" not in text
    assert archive("file", "list", "--json").json[0]["name"] == "a\x1b[2J\nb\u202e\x9b"
    assert "\x1b" not in archive.ok("file", "show", "pilot/a\x1b[2J\nb\u202e\x9b")
    assert "\x1b" not in archive.fails(1, "file", "show", "pilot/\x1b[2J")


def test_files_of_an_acquisition_with_slashes(archive: Archive) -> None:
    archive.file("b/c", acq="a")
    archive.file("c", acq="a/b/x")
    archive.file("d", acq="a/b")
    assert archive("file", "show", "a/b/c", "--json").json["acq"] == "a"
    assert archive("file", "show", "a/b/x/c", "--json").json["acq"] == "a/b/x"
    assert archive("file", "show", "a/b/d", "--json").json["acq"] == "a/b"


def test_a_reader_that_goes_away_early_is_no_trouble(archive: Archive) -> None:
    archive.file("first")
    acq_id = archive.id("archiveacq", "pilot")
    archive.index.executemany(
        "INSERT INTO archivefile (acq_id, name, registered) VALUES (?, ?, ?)",
        [(acq_id, f"{number:0200}", "2026-07-22 10:00:00") for number in range(3000)],
    )
    environ = {**os.environ, **{key: value for key, value in archive.environ.items() if value}}
    command = [sys.executable, "-m", "alpenhorn", "file", "list"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"pilot/000")
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
