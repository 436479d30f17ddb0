"""The index and the disks compared in both directions, by real runs."""

import datetime
import json
import os
import shutil
import subprocess
import sys

import pytest

from alpenhorn.model.nodes import MARKER

OLD = (1_500_000_000, 1_500_000_000)
KINDS = ("missing", "differing", "back", "dark", "unread", "other")


def aged(archive, *nodes):
    """Make every file look as if it was written before it was recorded in the index."""
    for node in nodes:
        for path in archive.root(node).rglob("*"):
            if path.is_file():
                os.utime(path, OLD, follow_symlinks=False)


def reconciled(archive, *arguments, status=0, host="here"):
    """Run a reconciliation with `--min-age 0`, and return its document."""
    result = archive.run("reconcile", "--min-age", "0", "--json", *arguments, host=host)
    assert result.status == status and not result.err, result
    return result.json


def found(document, node=0):
    """Return the findings on a node by kind, without empty ones."""
    one = document["nodes"][node]
    return {kind: sorted(item["path"] for item in one[kind]) for kind in KINDS if one[kind]}


def gone(archive, file_id, node, wants):
    """Record a copy as gone now, so that the file is older than the record."""
    archive.set_copy(file_id, node, f"N{wants}")
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)
    archive.do(
        "UPDATE archivefilecopy SET last_update = ? WHERE file_id = ? AND has_file = 'N'", now, file_id
    )


def distrust(archive, *nodes, why="reconcile"):
    for node in nodes:
        archive.do(
            "UPDATE sync_medium SET distrust = ?, looked = 9, lost = 4 WHERE node_id = ?",
            why,
            archive.id("storagenode", node),
        )


def trust(archive, node):
    """Return (distrust, looked, lost) of a node."""
    return archive.one(
        "SELECT m.distrust, m.looked, m.lost FROM sync_medium m JOIN storagenode n ON n.id = m.node_id"
        " WHERE n.name = ?",
        node,
    )


def restored(archive):
    return archive.one("SELECT COUNT(*) FROM sync_index WHERE name = 'restored'")


@pytest.fixture
def disk(archive):
    archive.node("disk", archive=1)
    return archive


def test_agreement_is_reported_and_nothing_is_changed(disk):
    ids = disk.files(250, "disk")
    aged(disk, "disk")
    kept = (
        "sync_run",
        "storagenode",
        "sync_node",
        "sync_medium",
        "sync_index",
        "sync_tally",
        "sync_tally_part",
    )
    before, rows = disk.everything("disk"), disk.dump(*kept)
    document = reconciled(disk)
    (node,) = document["nodes"]
    assert (node["copies"], node["looked"], node["complete"], node["why"]) == (250, 250, True, None)
    assert found(document) == {} and document["left_out"] == document["waiting"] == []
    after = disk.everything("disk")
    new = {path for path in set(after) - set(before) if ".alpenhorn" not in path}
    assert not new and all(after[path] == entry for path, entry in before.items() if path.endswith(".dat"))
    assert disk.dump(*kept) == rows and len(ids) == 250
    assert disk.one("SELECT exit_status FROM sync_run") == 0


def test_a_copy_that_differs_is_suspect_until_a_run_has_read_it(disk):
    ids = {
        name: disk.file(f"acq/{name}", b"four", "disk")
        for name in ("same", "gone", "short", "changed", "back", "removed", "other")
    }
    aged(disk, "disk")
    root = disk.root("disk")
    (root / "acq/gone").unlink()
    (root / "acq/short").write_bytes(b"cut")
    (root / "acq/changed").write_bytes(b"FOUR")
    gone(disk, ids["back"], "disk", "Y")
    gone(disk, ids["removed"], "disk", "N")
    gone(disk, ids["other"], "disk", "N")
    disk.put("disk", "acq/other", b"another one")
    disk.put("disk", "acq/unknown", b"dark")
    document = reconciled(disk, status=1)
    assert found(document) == {
        "missing": ["acq/gone"],
        "differing": ["acq/changed", "acq/short"],
        "back": ["acq/back", "acq/removed"],
        "dark": ["acq/other", "acq/unknown"],
    }
    assert {name: disk.copy(file_id, "disk") for name, file_id in ids.items()} == {
        "same": "YY",
        "gone": "MY",
        "short": "MY",
        "changed": "MY",
        "back": "MY",
        "removed": "MN",
        "other": "NN",
    }
    (node,) = document["nodes"]
    assert (node["complete"], node["suspect"]) == (True, 5)
    assert sorted(file_id for file_id, _ in disk.events("suspect")) == sorted(
        ids[name] for name in ("gone", "short", "changed", "back", "removed")
    )
    why = disk.all("SELECT why FROM sync_event WHERE file_id = ? AND run_id IS NOT NULL", ids["gone"])
    assert why == [("compared with the disk: no such file",)]
    disk.sync()
    assert {name: disk.copy(file_id, "disk") for name, file_id in ids.items()} == {
        "same": "YY",
        "gone": "NY",
        "short": "XY",
        "changed": "XY",
        "back": "YY",
        "removed": "YN",  # there are no other copies of it
        "other": "NN",
    }
    assert (root / "acq/other").read_bytes() == b"another one" and (root / "acq/unknown").exists()
    # What the first one said is settled by now.
    assert found(reconciled(disk, status=1)) == {"dark": ["acq/other", "acq/unknown"]}


def test_a_removed_copy_that_is_back_is_deleted_again_if_safe(disk):
    for name in ("one", "two"):
        disk.node(name, archive=1)
    file_id = disk.file("acq/f", b"four", "disk", "one", "two")
    aged(disk, "disk", "one", "two")
    gone(disk, file_id, "disk", "N")
    assert found(reconciled(disk, "--node", "disk", status=1)) == {"back": ["acq/f"]}
    assert disk.copy(file_id, "disk") == "MN"


def test_a_file_that_was_put_where_a_copy_was_removed_is_left_alone(disk):
    """The file has the same length and times; only its time of creation shows that it is another one."""
    file_id = disk.file("acq/f", b"four", "disk")
    disk.set_copy(file_id, "disk", "NN")  # long ago
    disk.put("disk", "acq/f", b"mine")
    aged(disk, "disk")
    assert found(reconciled(disk, status=1)) == {"dark": ["acq/f"]}
    assert disk.copy(file_id, "disk") == "NN" and disk.events("suspect") == []


def test_nested_acquisitions_and_two_names_for_one_path(disk):
    def file(acq, name, content=b"four"):
        rows = disk.all("SELECT id FROM archiveacq WHERE name = ?", acq)
        acq_id = rows[0][0] if rows else disk.insert("archiveacq", name=acq)
        file_id = disk.file(f"{acq}/{name}", content, acq_id=acq_id, name=name)
        disk.put("disk", f"{acq}/{name}", content)
        disk.set_copy(file_id, "disk", "YY")
        return file_id

    for acq, name in [
        ("2026", "f"),
        ("2026", "log/f"),
        ("2026", "log/deep/f"),
        ("2026/log", "day.txt"),
        ("2026", "log/day.txt"),
        ("2026/log/deep", "x"),
        ("2026-x", "f"),
        ("a/b", "c/f"),
    ]:
        file(acq, name)
    gone = file("2026", "log/gone")
    deep = file("2026/log", "deep/gone")
    # `Archive.file` makes an acquisition of the first element.
    disk.do(
        "DELETE FROM archiveacq WHERE NOT EXISTS (SELECT 1 FROM archivefile f WHERE f.acq_id = archiveacq.id)"
    )
    disk.put("disk", "a/dark", b"d")
    disk.put("disk", "2026/log/deep/dark", b"d")
    aged(disk, "disk")
    for path in ("2026/log/gone", "2026/log/deep/gone"):
        (disk.root("disk") / path).unlink()
    document = reconciled(disk, status=1)
    assert document["nodes"][0]["looked"] == document["nodes"][0]["copies"] == 10
    assert found(document) == {
        "missing": ["2026/log/deep/gone", "2026/log/gone"],
        "dark": ["2026/log/deep/dark", "a/dark"],
    }
    assert disk.copy(gone, "disk") == disk.copy(deep, "disk") == "MY"
    assert document["nodes"][0]["complete"]


MANY = 20_500  # more than are read at a time


@pytest.mark.slow
def test_an_acquisition_with_more_files_than_are_read_at_a_time(disk):
    disk.files(MANY, "disk")
    aged(disk, "disk")
    root = disk.root("disk")
    for name in ("000/00000", "100/10007", "204/20499"):
        (root / f"many/{name}.dat").unlink()
    for name in ("000/0", "100/x", "199/19999.dat.bak", "999", "zzz/z"):
        disk.put("disk", f"many/{name}", b"dark")
    document = reconciled(disk, status=1)
    assert document["nodes"][0]["looked"] == MANY and document["nodes"][0]["complete"]
    assert found(document) == {
        "missing": [f"many/{name}.dat" for name in ("000/00000", "100/10007", "204/20499")],
        "dark": [f"many/{name}" for name in ("000/0", "100/x", "199/19999.dat.bak", "999", "zzz/z")],
    }


def test_a_large_missing_part_is_recorded_only_with_the_option(disk):
    ids = disk.files(150, "disk")
    aged(disk, "disk")
    distrust(disk, "disk")
    root = disk.root("disk")
    shutil.rmtree(root / "many/000")
    document = reconciled(disk, status=1)
    (node,) = document["nodes"]
    assert len(node["missing"]) == 100 and (node["complete"], node["suspect"]) == (False, 0)
    for part in ("100 of 150 copies", "alpenhorn reconcile --node disk --accept-loss", "mount or repair"):
        assert part in node["why"] and part in document["failed"][0]
    assert {disk.copy(file_id, "disk") for file_id in ids} == {"YY"} and disk.events("suspect") == []
    assert trust(disk, "disk") == ("reconcile", 9, 4)
    document = reconciled(disk, "--accept-loss", status=1)
    assert document["nodes"][0]["complete"] and len(disk.events("suspect")) == 100
    assert trust(disk, "disk") == (None, 0, 0)


def test_a_copy_that_comes_back_to_an_archive_node_is_not_released_by_a_rule(disk):
    """Nobody has agreed to that: another program, or an earlier version, has set the rule."""
    disk.node("other", archive=1)
    away, released = (disk.file(f"acq/{name}", b"bytes", "disk", "other") for name in ("away", "released"))
    aged(disk, "disk")
    disk.do("UPDATE storagenode SET archive = 1 WHERE name = 'disk'")
    ends = {"node_from_id": disk.id("storagenode", "disk"), "group_to_id": disk.id("storagegroup", "other")}
    disk.insert("storagetransferaction", **ends, autosync=0, autoclean=1)
    gone(disk, away, "disk", "Y")  # recorded as missing
    gone(
        disk, released, "disk", "N"
    )  # released by the rule meanwhile, or deleted just before a power failure
    document = reconciled(disk, "--node", "disk", status=1)
    assert found(document) == {"back": ["acq/away", "acq/released"]}
    assert disk.run("sync").status in (0, 1)
    assert disk.copy(away, "disk") == "YY"
    assert disk.run("rules", "check", "--apply", "--force").status == 1
    assert disk.copy(away, "disk") == "YY"
    # With one other good archive copy, the released one stays on the disk as well.
    assert disk.copy(released, "disk")[1] == "N"
    assert disk.run("sync").status in (0, 1)
    assert (disk.root("disk") / "acq/released").exists() and (disk.root("disk") / "acq/away").exists()


def test_a_dry_run_changes_nothing(disk):
    disk.files(3, "disk")
    aged(disk, "disk")
    distrust(disk, "disk")
    (disk.root("disk") / "many/000/00001.dat").unlink()
    history = ("sync_run", "sync_event")  # of the run itself
    rows = disk.dump("storagenode", *history)
    assert found(reconciled(disk, "--dry-run", status=1)) == {"missing": ["many/000/00001.dat"]}
    assert disk.dump("storagenode", *history) == rows
    assert {what for (what,) in disk.all("SELECT what FROM sync_event")} == {"failed"}


def test_a_dry_run_is_not_the_last_run_of_its_host(disk):
    """Whatever it found, and although it did not mend what the last run failed at."""
    disk.files(3, "disk")
    aged(disk, "disk")
    disk.synced()
    at = disk.root("disk") / "many/000/00001.dat"
    at.rename(disk.base / "kept")
    for _ in range(12):  # more than the runs of a host that are looked at
        disk.insert(
            "sync_run", host="here", nodes="disk", started="2026-01-02 03:04:05", ended="2026-01-02 03:04:05",
            exit_status=1, done=0, failed=0, bytes=0, ending="dry run; nothing was recorded",
        )  # fmt: skip
    reconciled(disk, "--dry-run", status=1)
    shown = disk.run("history", "--run", "last").out
    assert "Status: 1" in shown and "Ending: dry run; nothing was recorded" in shown
    status = disk.run("status", "--json").json
    assert "last-run-failed" not in {one["code"] for one in status["attention"]}
    assert status["nodes"][0]["last_run"]["exit_status"] == 0
    doctor = {one["code"] for one in disk.run("doctor", "--json").json}
    assert not doctor & {"last-run-ended-with-failures", "last-run-long-ago", "last-run-killed"}
    # One that recorded what it found is a run like others, and a dry run after it does not hide it.
    reconciled(disk, status=1)
    status = disk.run("status", "--json").json
    assert "last-run-failed" in {one["code"] for one in status["attention"]}
    reconciled(disk, "--dry-run")
    status = disk.run("status", "--json").json
    assert "last-run-failed" in {one["code"] for one in status["attention"]}, "still the last run"


def test_a_dry_run_of_a_node_that_agrees_ends_with_success(disk):
    disk.files(3, "disk")
    aged(disk, "disk")
    assert reconciled(disk, "--dry-run")["nodes"][0]["missing"] == []
    reconciled(disk)
    assert not reconciled(disk, "--dry-run")["nodes"][0]["complete"]  # nothing was recorded


# --- the end of distrust -------------------------------------------------------------------------------


@pytest.fixture
def two_hosts(archive):
    """A restored index, with nodes one and two on this host and far on another one."""
    archive.node("one", archive=1)
    archive.node("two", archive=1)
    archive.node("far", host="there", archive=1)
    for name in ("one", "two", "far"):
        archive.file(f"acq/{name}", b"four", name)
    aged(archive, "one", "two", "far")
    distrust(archive, "one", "two", "far")
    archive.insert("sync_index", name="restored", value="the index is older than node one")
    return archive


def test_the_last_node_to_be_compared_ends_the_distrust_of_the_index(two_hosts):
    archive = two_hosts
    document = reconciled(archive, "--node", "one")
    assert (trust(archive, "one"), trust(archive, "two")) == ((None, 0, 0), ("reconcile", 9, 4))
    assert document["waiting"] == [
        {"node": "far", "host": "there", "active": True},
        {"node": "two", "host": "here", "active": True},
    ]
    assert document["restored"] == "the index is older than node one" and restored(archive) == 1
    said = archive.run("reconcile", "--node", "two")
    assert said.status == 0 and "not reconciled yet: node far, on host there" in said.out
    assert "deletions are suspended on this index: the index is older than node one" in said.out
    assert restored(archive) == 1
    document = reconciled(archive, host="there")
    assert document["waiting"] == [] and document["restored"] is None and restored(archive) == 0


def test_a_node_that_waits_for_a_comparison_counts_again(disk):
    disk.file("acq/f", b"four", "disk")
    aged(disk, "disk")
    distrust(disk, "disk", why="compare")
    reconciled(disk)
    assert trust(disk, "disk")[0] is None


def test_a_node_that_is_not_there_stays_distrusted(two_hosts):
    archive = two_hosts
    (archive.root("two") / MARKER).unlink()
    document = reconciled(archive, status=1)
    assert [one["node"] for one in document["left_out"]] == ["two"]
    assert [one["node"] for one in document["nodes"]] == ["one"]
    assert trust(archive, "one")[0] is None and trust(archive, "two")[0] == "reconcile"
    assert archive.events("suspect") == []


def test_a_node_that_cannot_be_fully_looked_at_stays_distrusted(disk):
    """The command is run without root's privilege to read everything."""
    ids = [disk.file(path, b"four", "disk") for path in ("acq/f", "acq/closed/f", "acq/gone")]
    aged(disk, "disk")
    (disk.root("disk") / "acq/gone").unlink()
    distrust(disk, "disk")
    closed = disk.root("disk") / "acq/closed"
    closed.chmod(0)
    powerless = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    argv = [*powerless, sys.executable, "-m", "alpenhorn", "-c", str(disk.configure()), "reconcile", "--json"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    finally:
        closed.chmod(0o755)
    assert done.returncode == 1, done
    document = json.loads(done.stdout)
    (node,) = document["nodes"]
    assert found(document) == {"unread": ["acq/closed"], "missing": ["acq/gone"]}
    assert "1 of 3 copies could not be compared" in node["why"] and not node["complete"]
    assert [disk.copy(file_id, "disk") for file_id in ids] == ["YY", "YY", "MY"]
    assert trust(disk, "disk")[0] == "reconcile"
    assert reconciled(disk)["nodes"][0]["complete"] and trust(disk, "disk")[0] is None


def test_unknown_files_do_not_keep_a_node_distrusted(disk):
    disk.file("acq/f", b"four", "disk")
    aged(disk, "disk")
    distrust(disk, "disk")
    disk.put("disk", "acq/dark", b"dark")
    assert reconciled(disk, status=1)["nodes"][0]["complete"] and trust(disk, "disk")[0] is None


# --- reading -------------------------------------------------------------------------------------------


def test_the_option_read_finds_changed_bytes(disk):
    ids = disk.files(5, "disk")
    at = disk.root("disk") / "many/000/00002.dat"
    disk.put("disk", "many/000/00002.dat", at.read_bytes().upper())
    aged(disk, "disk")
    disk.set_copy(ids[3], "disk", "MY")
    assert found(reconciled(disk)) == {}
    assert disk.copy(ids[2], "disk") == "YY"
    document = reconciled(disk, "--read", status=1)
    assert any("corrupt on disk" in line for line in document["failed"])
    assert [disk.copy(file_id, "disk") for file_id in ids] == ["YY", "YY", "XY", "YY", "YY"]
    # The corrupt one has what says that it was good once, and was never read.
    assert disk.one("SELECT COUNT(*) FROM sync_verification WHERE verified > '2000-01-01'") == 4
    assert disk.one("SELECT done FROM sync_run ORDER BY id DESC LIMIT 1") == 5


# --- who else is at work -------------------------------------------------------------------------------


def test_names_that_are_not_text_are_listed_escaped(disk):
    root = os.fsencode(disk.root("disk"))
    for name in (b"bad\xff", b"new\nline", b"esc\x1b[31m"):
        with open(root + b"/" + name, "wb"):
            pass
    document = reconciled(disk, status=1)
    assert {os.fsencode(path) for path in found(document)["dark"]} == {
        b"bad\xff",
        b"new\nline",
        b"esc\x1b[31m",
    }
    said = disk.run("reconcile", "--min-age", "0s").out
    assert "\\udcff" in said and "new\\nline" in said and "\x1b" not in said


def test_the_table_gives_counts_and_a_few_of_each(disk):
    disk.files(12, "disk")
    aged(disk, "disk")
    for number in range(8):
        (disk.root("disk") / f"many/000/{number:05}.dat").unlink()
    disk.put("disk", "young", b"dark")
    result = disk.run("reconcile")
    assert result.status == 1
    lines = result.out.splitlines()
    assert lines[0].split()[:3] == ["Node", "Copies", "Missing"]
    assert lines[2].split() == ["disk", "12", "8", "0", "0", "0", "0", "yes"]
    assert sum(line.startswith("missing: disk: many/000/") for line in lines) == 5
    assert "missing: disk: … and 3 more (--json lists all)" in lines
    assert any("1 unknown file not listed" in line for line in lines)


def test_no_other_run_works_on_the_node_meanwhile(disk):
    from alpenhorn.fs.run_lock import RUN_LOCK, RunLock

    (disk.root("disk") / ".alpenhorn").mkdir(exist_ok=True)
    lock = RunLock(str(disk.root("disk") / RUN_LOCK))
    assert lock.acquire()
    result = disk.run("reconcile")
    lock.release()
    assert result.status == 75 and "another run" in result.err
