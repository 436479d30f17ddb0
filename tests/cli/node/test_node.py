from __future__ import annotations

import json
import multiprocessing
import os
import pty
import sys
from pathlib import Path

import pytest

from alpenhorn.cli.main import main
from tests.cli.conftest import Archive

IMPORTS = "SELECT path, recurse, register FROM archivefileimportrequest WHERE completed = 0 ORDER BY id"


def test_create_with_everything(archive: Archive) -> None:
    archive.ok(
        *("node", "create", "arc1", "--create-group", "--host", "alp1", "--root", "/srv//arc1/", "--archive"),
        *("--activate", "--auto-import", "--auto-verify", "5", "-i", "LustreQuota", "--init"),
        *(
            "--io-config",
            '{"quota_id": 7, "quota_type": "group"}',
            "--io-var",
            "jobs=2",
            "--max-total",
            "100.5",
            "--min-avail",
            "10.5 MB",
        ),
        *("--notes", "the big one", "--absent-ok", "30", "--top-acq", "loose", "--site", "barn"),
    )
    document = archive("node", "show", "arc1", "--imports", "--json").json
    (request,) = document.pop("imports")
    assert request["path"] == "ALPENHORN_NODE" and request["timestamp"].endswith("Z")
    assert document == {
        "name": "arc1",
        "group": "arc1",
        "host": "alp1",
        "username": None,
        "address": None,
        "root": "/srv/arc1",
        "active": True,
        "archive": True,
        "auto_import": True,
        "auto_verify": 5,
        "absent_ok": 30,
        "top_acq": "loose",
        "site": "barn",
        "retired": False,
        "io_class": "LustreQuota",
        "io_config": {"quota_id": 7, "quota_type": "group", "jobs": 2},
        "max_total_b": int(100.5 * 2**30),
        "min_avail_b": pytest.approx(10_500_000, rel=1e-6),  # a FLOAT of GiB
        "avail_b": None,
        "avail_checked": None,
        "notes": "the big one",
        "free_inodes": None,
        "trash": None,
    }


def test_create_into_a_group_with_defaults(archive: Archive) -> None:
    assert archive.ok("node", "create", "disk7", "--group", "spare") == "Created node disk7.\n"
    row = archive.one(
        "SELECT active, archive, auto_import, auto_verify, max_total_gb, min_avail_gb, io_config, root"
        " FROM storagenode WHERE name = 'disk7'"
    )
    assert row == (0, 0, 0, 0, None, 0.0, None, None)


def test_create_is_all_or_nothing(archive: Archive) -> None:
    assert "node 'off1': exists already" in archive.fails(1, "node", "create", "off1", "--group", "spare")
    # The group's name is taken, so the node is not made either.
    assert "group 'spare': exists already" in archive.fails(1, "node", "create", "spare", "--create-group")
    assert "no host called 'alp9'" in archive.fails(
        1, "node", "create", "n", "--create-group", "--host", "alp9", "--init"
    )
    assert "no group called 'spar'" in archive.fails(1, "node", "create", "n", "--group", "spar")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--group", "spare", "--create-group"),
        ("--create-group", "--root", "srv"),
        ("--create-group", "--root", "/srv/../etc"),
        ("--create-group", "--root", "/srv\n"),
        ("--create-group", "--root", "/" + "x" * 255),
        ("--create-group", "--max-total", "0"),
        ("--create-group", "--max-total", "-1"),
        ("--create-group", "--max-total", "nan"),
        ("--create-group", "--max-total", "inf"),
        ("--create-group", "--min-avail", "-0.1"),
        ("--create-group", "--min-avail", "1e39"),
        ("--create-group", "--min-avail", "much"),
        ("--create-group", "--auto-verify", "-1"),
        ("--create-group", "--auto-verify", "99999999999"),
        ("--create-group", "--io-config", "[]"),
        ("--create-group", "--class", "x" * 256),
        ("--create-group", "--notes", "a\x1b"),
    ],
)
def test_bad_values_are_wrong_usage(archive: Archive, options: tuple[str, ...]) -> None:
    archive.fails(2, "node", "create", "n", *options)
    if options[:1] == ("--create-group",):
        archive.fails(2, "node", "modify", "field1", *options[1:])


def test_modify_changes_only_what_is_given(archive: Archive) -> None:
    before = archive.one("SELECT * FROM storagenode WHERE name = 'field1'")
    archive.ok("node", "modify", "field1", "--min-avail", "10")
    after = archive.one("SELECT * FROM storagenode WHERE name = 'field1'")
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [10.0]


def test_modify_each_property(archive: Archive) -> None:
    archive.ok(
        *("node", "modify", "field1", "--group", "spare", "--host", "alp2", "--root", "/mnt", "--archive"),
        *(
            "--auto-import",
            "--auto-verify",
            "3",
            "--max-total",
            "5",
            "--io-var",
            "jobs=1",
            "--class",
            "Default",
        ),
    )
    document = archive("node", "show", "field1", "--json").json
    assert (document["group"], document["host"], document["root"], document["archive"]) == (
        "spare",
        "alp2",
        "/mnt",
        True,
    )
    assert (document["max_total_b"], document["auto_import"]) == (5 * 2**30, True)
    archive.ok(
        *("node", "modify", "field1", "--no-archive", "--no-auto-import", "--no-max-total", "--host", ""),
        *("--root", "", "--io-config", ""),
    )
    document = archive("node", "show", "field1", "--json").json
    assert (document["archive"], document["auto_import"], document["max_total_b"]) == (False, False, None)
    assert (document["host"], document["root"], document["io_config"]) == (None, None, None)
    assert archive.ok("node", "modify", "field1", "--no-archive", "--no-max-total") == "No change.\n"
    archive.fails(2, "node", "modify", "field1", "--max-total", "1", "--no-max-total")


def test_the_days_for_which_a_node_may_be_absent(archive: Archive) -> None:
    """They are in a table of this program, beside what runs keep there."""
    off1 = archive.id("storagenode", "off1")
    archive.insert("sync_node", node_id=off1, compared=7, manifest="token", event_id=8, files=9)
    for node in ("off1", "off2"):
        assert archive.ok("node", "modify", node, "--absent-ok", "30") == f"Changed node {node}.\n"
        assert archive.ok("node", "modify", node, "--absent-ok", "30") == "No change.\n"
        assert archive("node", "show", node, "--json").json["absent_ok"] == 30
        assert "May be absent: 30 days" in archive.ok("node", "show", node)
    assert archive.one(
        "SELECT compared, manifest, event_id, files FROM sync_node WHERE node_id = ?", off1
    ) == (
        7,
        "token",
        8,
        9,
    )
    archive.ok("node", "modify", "off1", "--notes", "kept")
    assert archive("node", "show", "off1", "--json").json["absent_ok"] == 30
    archive.ok("node", "modify", "off1", "--absent-ok", "0")
    assert archive("node", "show", "off1", "--json").json["absent_ok"] is None
    assert archive.ok("node", "modify", "off1", "--absent-ok", "0") == "No change.\n"
    archive.fails(2, "node", "modify", "off1", "--absent-ok", "-1")
    assert archive.ok("node", "modify", "off1", "--top-acq", "2026/loose") == "Changed node off1.\n"
    assert archive.ok("node", "modify", "off1", "--absent-ok", "3") == "Changed node off1.\n"
    assert archive("node", "show", "off1", "--json").json["top_acq"] == "2026/loose"
    assert archive.ok("node", "modify", "off1", "--top-acq", "") == "Changed node off1.\n"
    document = archive("node", "show", "off1", "--json").json
    assert (document["top_acq"], document["absent_ok"]) == (None, 3)
    for wrong in ("..", ".hidden", "/abs", "a//b", "x" * 65, "ALPENHORN_NODE", "a\nb"):
        archive.fails(2, "node", "modify", "off1", "--top-acq", wrong)


def test_modify_activates_initialises_and_makes_a_group(archive: Archive) -> None:
    before = archive.one("SELECT * FROM storagenode WHERE name = 'off2'")
    result = archive("node", "modify", "off2", "--activate", "--create-group", "--init")
    assert (result.status, result.err) == (0, "")
    assert "new group off2" in result.out and "Requested: initialisation of node off2." in result.out
    after = archive.one("SELECT * FROM storagenode WHERE name = 'off2'")
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [archive.id("storagegroup", "off2"), 1]
    assert archive.all(IMPORTS) == [("ALPENHORN_NODE", 0, 0)]
    again = archive.ok("node", "modify", "off2", "--activate", "--init")
    assert again == "Already requested: initialisation of node off2.\n"
    assert archive.ok("node", "modify", "off2", "--activate") == "No change.\n"
    assert len(archive.all(IMPORTS)) == 1


def test_modify_that_activates_warns_of_a_node_that_no_run_would_work_on(archive: Archive) -> None:
    result = archive("node", "modify", "off2", "--activate", "--host", "", "--root", "")
    assert result.status == 0 and "node modify off2 --host HOST --root DIR" in result.err


def test_modify_makes_no_group_that_is_there_already(archive: Archive) -> None:
    archive.ok("group", "create", "field1")
    message = archive.fails(1, "node", "modify", "field1", "--create-group", "--activate", "--init")
    assert "group 'field1': exists already" in message and "--group" in message
    archive.fails(2, "node", "modify", "off1", "--create-group", "--group", "spare")


def test_modify_is_all_or_nothing(archive: Archive) -> None:
    archive.index.execute("UPDATE storagenode SET io_config = '[]' WHERE name = 'off2'")
    archive.fails(1, "node", "modify", "off2", "--create-group", "--activate", "--init", "--io-var", "jobs=2")


def test_an_unknown_node_is_answered_with_the_nearest(archive: Archive) -> None:
    for command in ("show", "modify", "activate", "deactivate", "init", "scan"):
        message = archive.fails(1, "node", command, "feild1")
        assert message == "Error: no node called 'feild1'; did you mean 'field1'? see: alpenhorn node list\n"


def test_activate_sets_host_and_root_and_deactivate(archive: Archive) -> None:
    archive.ok("node", "activate", "off2", "--host", "alp1", "--root", "/mnt/off2")
    where = "SELECT active, root, host_id FROM storagenode WHERE name = 'off2'"
    assert archive.one(where) == (1, "/mnt/off2", archive.id("storagehost", "alp1"))
    # On an active node, too.
    archive.ok("node", "activate", "off2", "--host", "alp2")
    assert archive.one(where) == (1, "/mnt/off2", archive.id("storagehost", "alp2"))
    assert "already active" in archive.ok("node", "activate", "off2")
    archive.ok("node", "deactivate", "off2")
    assert archive.one(where)[0] == 0
    assert "already inactive" in archive.ok("node", "deactivate", "off2")
    assert "no host called" in archive.fails(1, "node", "activate", "off2", "--host", "nowhere")
    assert archive.fails(2, "node", "activate", "off2", "--root", "mnt")


def test_activate_warns_of_a_node_that_no_run_would_work_on(archive: Archive) -> None:
    archive.ok("node", "modify", "off2", "--host", "")
    result = archive("node", "activate", "off2")
    assert result.status == 0 and "node modify off2 --host HOST" in result.err


def test_init_files_one_request(archive: Archive) -> None:
    archive.ok("node", "init", "off1")
    assert archive.all(IMPORTS) == [("ALPENHORN_NODE", 0, 0)]
    assert "Already requested" in archive.ok("node", "init", "off1")
    assert len(archive.all(IMPORTS)) == 1
    archive.index.execute("UPDATE archivefileimportrequest SET completed = 1")
    archive.ok("node", "init", "off1")
    assert len(archive.all(IMPORTS)) == 1


def test_scan_files_requests_for_directories(archive: Archive) -> None:
    archive.ok("node", "scan", "field1")
    archive.ok("node", "scan", "field1", "a//b/./c/", "--register-new")
    archive.ok("node", "scan", "field1", "/srv/field1/d", "--register-new")
    archive.ok("node", "scan", "field1", "/srv/field1")
    archive.ok("node", "scan", "field1", "--register-new")
    assert archive.all(IMPORTS) == [(".", 1, 0), ("a/b/c", 1, 1), ("d", 1, 1), (".", 1, 1)]


@pytest.mark.parametrize(
    "path",
    ["..", "a/../..", "/srv/field1/../x", "/srv/field12", "/etc", "a\0", "x" * 1025, "./ALPENHORN_NODE"],
)
def test_a_path_that_leaves_the_root_is_refused(archive: Archive, path: str) -> None:
    archive.fails(2, "node", "scan", "field1", path)
    archive.fails(2, "file", "import", path, "field1")


def test_list_with_filters(archive: Archive) -> None:
    def listed(*options: str) -> list[str]:
        return [node["name"] for node in archive("node", "list", "--json", *options).json]

    assert listed() == ["field1", "off1", "off2"]
    assert listed("--inactive") == ["off2"]
    assert listed("--active", "--group", "offsite") == ["off1"]
    assert listed("--host", "alp1") == ["field1"]
    assert "off2" in archive.ok("node", "list")
    archive.fails(1, "node", "list", "--group", "nope")


def test_stats(archive: Archive) -> None:
    archive.index.execute("UPDATE storagenode SET max_total_gb = 1 WHERE name = 'field1'")
    archive.file("a", size=2**29, field1="YY", off1="MY")
    archive.file("b", size=None, field1="YM", off1="XY")
    archive.file("c", size=5, field1="NY", off1="NN")
    stats = {node["name"]: node for node in archive("node", "stats", "--json").json}
    assert stats["field1"] == {
        "name": "field1",
        "files": 2,
        "size_b": 2**29,
        "full": 0.5,
        "no_room": False,
        "states": {
            "Healthy": {"files": 1, "size_b": 2**29},
            "Removable": {"files": 1, "size_b": 0},
            "Missing": {"files": 1, "size_b": 5},
        },
    }
    assert set(stats["off1"]["states"]) == {"Suspect", "Corrupt", "Removed"}
    table = archive.ok("node", "stats", "--extra-stats").splitlines()
    assert table[0].split() == ["Name", "Files", "Size", "Full", "Corrupt", "Suspect", "Missing", "Released"]
    assert table[2].split() == ["field1", "2", "512.00", "MiB", "50.0", "%", "0", "0", "1", "0"]


def test_show_in_words(archive: Archive) -> None:
    archive.request(archive.file("a", field1="YY"))
    archive.ok("node", "scan", "field1", "x")
    text = archive.ok("node", "show", "field1", "--all")
    assert "Root: /srv/field1" in text and "offsite" in text and "Pending import requests" in text


# --- sync ----------------------------------------------------------------------------------------------


def test_sync_requests_what_is_good_here_and_neither_there_nor_requested(archive: Archive) -> None:
    wanted = [archive.file("y", field1="YY"), archive.file("m", field1="YM", off2="XY")]
    archive.file("there", field1="YY", off2="YY")
    archive.file("suspect", field1="MY")
    archive.file("gone", field1="NY")
    archive.file("nowhere")
    archive.request(archive.file("asked", field1="YY", off1="NN"))
    done = archive.request(archive.file("cancelled", field1="YY"), cancelled=1)
    before = archive.requests()
    result = archive("node", "sync", "field1", "offsite", "--force")
    assert result.status == 0 and "Requested 3 files." in result.out
    again = archive.one("SELECT file_id FROM archivefilecopyrequest WHERE id = ?", done)
    assert archive.requests() == before + [(id_, "field1", "offsite") for id_ in (*wanted, again)]
    assert "Nothing to request" in archive.ok("node", "sync", "field1", "offsite", "--force")
    stamps = archive.all("SELECT timestamp FROM archivefilecopyrequest WHERE cancelled = 0")
    assert all(stamp[0] is not None for stamp in stamps)


def test_sync_requests_again_what_is_requested_from_another_node(archive: Archive) -> None:
    archive.ok("node", "create", "field2", "--group", "field")
    file_id = archive.file("a", field1="YY", field2="YY")
    archive.ok("node", "sync", "field1", "offsite", "--force")
    archive.ok("group", "sync", "offsite", "field2", "--force")
    assert archive.requests() == [(file_id, "field1", "offsite"), (file_id, "field2", "offsite")]
    for node in ("field1", "field2"):
        assert "see: alpenhorn request list" in archive.ok("node", "sync", node, "offsite", "--force")
    assert len(archive.requests()) == 2


def test_sync_by_acquisition_and_target(archive: Archive) -> None:
    archive.ok("node", "create", "spare1", "--group", "spare")
    one = archive.file("a", acq="one", field1="YY")
    archive.file("b", acq="one", field1="YY", spare1="YY")
    archive.file("c", acq="two", field1="YY")
    archive.ok("node", "sync", "field1", "offsite", "--acq", "one", "--target", "spare", "--force")
    assert archive.requests() == [(one, "field1", "offsite")]
    archive.fails(1, "node", "sync", "field1", "offsite", "--acq", "three", "--force")
    archive.fails(1, "node", "sync", "field1", "offsite", "--target", "three", "--force")


def test_sync_by_list(archive: Archive, tmp_path: Path) -> None:
    ids = [archive.file(name, acq="a", field1="YY") for name in ("x", "dir/y", "z")]
    listing = tmp_path / "list"
    listing.write_text("# wanted\n\na/x\n  /srv/field1/a/dir/y  \na/x\n")
    archive.ok("node", "sync", "field1", "offsite", "-F", str(listing), "--force")
    assert [row[0] for row in archive.requests()] == ids[:2]
    archive.ok("node", "sync", "field1", "offsite", "-F", "-", "--force", stdin="a/z\n")
    assert len(archive.requests()) == 3


def test_a_list_that_names_an_unknown_file_changes_nothing(archive: Archive, tmp_path: Path) -> None:
    archive.file("x", acq="a", field1="YY")
    listing = tmp_path / "list"
    listing.write_bytes(b"a/x\na/\xff\n/etc/passwd\nnothing\na/X\n")
    message = archive.fails(1, "node", "sync", "field1", "offsite", "-F", str(listing), "--force")
    assert "line 2: 'a/\\udcff', line 3: '/etc/passwd', line 4: 'nothing' and 1 more" in message
    archive.fails(2, "node", "sync", "field1", "offsite", "-F", str(tmp_path / "nolist"), "--force")


def test_an_empty_list_selects_nothing(archive: Archive) -> None:
    archive.file("x", acq="a", field1="YY")
    assert "Nothing to request" in archive.ok(
        "node", "sync", "field1", "offsite", "-F", "-", "--force", stdin="#\n"
    )
    assert archive.requests() == []


def test_sync_without_a_terminal_does_nothing_without_force(archive: Archive) -> None:
    archive.file("x", field1="YY")
    message = archive.fails(1, "node", "sync", "field1", "offsite")
    assert 'cannot ask "Request 1 file (1000 B) from field1 into offsite?"' in message
    assert "--force" in archive.fails(1, "node", "sync", "field1", "offsite", "-F", "-", stdin="pilot/x\n")


def test_check_only_counts_and_lists(archive: Archive) -> None:
    archive.file("x", field1="YY")
    archive.file("y", acq="b", size=None, field1="YY")
    before = archive.rows()
    text = archive.ok("node", "sync", "field1", "offsite", "--check", "--show-acqs", "--show-files")
    assert "Would request 2 files (1000 B, 1 of unknown size) from field1 into offsite." in text
    assert text.endswith("b/y\npilot/x\n") and ["pilot", "1"] in [line.split() for line in text.splitlines()]
    assert archive.rows() == before
    archive.fails(2, "node", "sync", "field1", "offsite", "--check", "--force")


def test_cancel(archive: Archive) -> None:
    a, b, c = (archive.file(name, acq=name, field1="YY") for name in "abc")
    archive.request(a)
    archive.request(b, group="spare")
    archive.request(c, node="off1", group="spare")
    done = archive.request(a, completed=1)
    archive.ok("node", "sync", "field1", "offsite", "--cancel", "--acq", "b", "--force")
    assert len(archive.requests()) == 3
    archive.ok("node", "sync", "field1", "offsite", "--cancel", "--force")
    assert [row[0] for row in archive.requests()] == [b, c]
    assert "Would cancel 1 pending request" in archive.ok("node", "sync", "field1", "-x", "-a", "--check")
    archive.ok("node", "sync", "field1", "--cancel", "--all", "--force")
    assert [row[0] for row in archive.requests()] == [c]
    assert archive.one("SELECT completed, cancelled FROM archivefilecopyrequest WHERE id = ?", done) == (1, 0)
    assert "No pending requests" in archive.ok("node", "sync", "field1", "--cancel", "--all", "--force")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--all",),
        ("offsite", "--all"),
        ("--cancel",),
        ("--check",),
        ("offsite", "--cancel", "--target", "spare"),
    ],
)
def test_wrong_usage_of_sync(archive: Archive, options: tuple[str, ...]) -> None:
    archive.fails(2, "node", "sync", "field1", *options)


@pytest.mark.parametrize(("answer", "status", "requests"), [(b"y\n", 0, 1), (b"n\n", 1, 0), (b"\x04", 1, 0)])
def test_sync_asks_on_a_terminal(archive: Archive, answer: bytes, status: int, requests: int) -> None:
    archive.file("x", field1="YY")
    child, terminal = pty.fork()
    if child == 0:
        for key, value in archive.environ.items():
            if value:
                os.environ[key] = value
        os.execv(sys.executable, [sys.executable, "-m", "alpenhorn", "node", "sync", "field1", "offsite"])
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, answer)
    try:
        while os.read(terminal, 1000):
            pass
    except OSError:
        pass  # the child has ended
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
    assert b"Request 1 file (1000 B) from field1 into offsite?" in seen
    assert len(archive.requests()) == requests


def _set_keys(environ: dict[str, str], worker: int) -> None:
    os.environ.update({key: value for key, value in environ.items() if value})
    for number in range(5):
        assert main(["node", "modify", "field1", "--io-var", f"key{worker}_{number}=1"]) == 0


def test_edits_at_the_same_time_are_not_lost(archive: Archive) -> None:
    archive.index.disconnect()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_set_keys, args=(archive.environ, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(json.loads(archive.one("SELECT io_config FROM storagenode WHERE name = 'field1'"))) == 20
