"""Pulls, checks and records when the index and the disks differ: stray files stay, work on another disk is not
recorded, and absent files are not lost.
"""

import hashlib
import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import WHEN, stand_in, wait_for

pytestmark = pytest.mark.cluster

MB = 10**6
SLOW = json.dumps({"bwlimit": "1 MB"})


@pytest.fixture
def pair(archive):
    """Node `field` with files, archive node `safe`, both on this host."""
    archive.node("field")
    archive.node("safe", archive=1)
    return archive


@pytest.fixture
def hosts(sqlite_archive, sshd):
    """Host `there` with nodes `far` and `other`; host `here` with archive node `safe`."""
    archive = sqlite_archive
    archive.sshd = sshd
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("other", host="there")
    archive.node("safe", archive=1)
    archive.configure(transfer={"ssh": sshd.ssh})
    return archive


def named(archive, acq, name, content, *on):
    """Register a file of an acquisition whose name may contain slashes."""
    rows = archive.all("SELECT id FROM archiveacq WHERE name = ?", acq)
    file_id = archive.insert(
        "archivefile",
        acq_id=rows[0][0] if rows else archive.insert("archiveacq", name=acq),
        name=name,
        size_b=len(content),
        md5sum=hashlib.md5(content).hexdigest(),
        registered=WHEN,
    )
    for node in on:
        archive.put(node, f"{acq}/{name}", content)
        archive.set_copy(file_id, node, "YY")
    return file_id


def arriving(archive, node="safe"):
    """Wait for the first bytes of a file on a node."""

    def first() -> Path | None:
        """Return the first file with bytes, other than alpenhorn's own files."""
        for path in (archive.root(node) / ".alpenhorn").glob("*/**/*"):
            with suppress(FileNotFoundError):
                if path.is_file() and path.name != "identity" and path.stat().st_size:
                    return path
        return None

    return wait_for(first, "the first bytes of a file")


# --- fault 5: two files at one path --------------------------------------------------------------------


@pytest.fixture
def shared(pair):
    """Files `log/day.txt` of acquisition `2026` on `field` and `day.txt` of `2026/log` on `other`."""
    pair.node("other")
    first = named(pair, "2026", "log/day.txt", b"the first", "field")
    second = named(pair, "2026/log", "day.txt", b"the second", "other")
    return pair, first, second


def assert_first_is_kept(archive, first, second, request):
    assert archive.tree("safe") == {"2026/log/day.txt": b"the first"}
    assert archive.copy(first, "safe") == "YY" and archive.violations() == []
    assert archive.copy(second, "safe") != "YY" and archive.state(request) == "pending"
    assert archive.claims() == 0


def test_fault_5_the_second_of_two_files_at_one_path_is_refused_in_the_same_run(shared):
    archive, first, second = shared
    archive.request(first, "field", "safe")
    request = archive.request(second, "other", "safe")
    for _ in range(3):
        result = archive.sync()
        assert result.status == 0 and "a file of acquisition 2026 is at the same path on safe" in result.err
        assert_first_is_kept(archive, first, second, request)
    assert archive.copy(second, "safe") is None
    assert "acquisition 2026 " in archive.run("request", "show", str(request)).out.replace("\n", " ")


def test_fault_5_a_file_at_the_path_of_another_good_copy_is_refused_whatever_was_recorded_of_it(shared):
    archive, first, second = shared
    archive.request(first, "field", "safe")
    archive.synced()
    # As another program may have left it: both rows are good, of one file on the disk.
    archive.set_copy(second, "safe", "YY")
    archive.set_copy(second, "safe", "XY")
    archive.once_good(second, "safe")
    request = archive.request(second, "other", "safe")
    for _ in range(2):
        assert "a file of acquisition 2026 is at the same path" in archive.sync().err
        assert_first_is_kept(archive, first, second, request)


def test_fault_5_a_file_that_another_acquisition_has_at_the_path_is_not_imported(shared):
    archive, first, _ = shared
    archive.request(first, "field", "safe")
    archive.synced()
    conf = archive.configure()
    conf.write_text(conf.read_text() + "[[import.pattern]]\npath = '(?P<acq>\\d+/\\w+)/.*'\n")
    archive.put("safe", "2026/log/new.txt", b"new")
    assert archive.run("node", "scan", "safe", "--register-new").status == 0
    result = archive.sync()
    assert "the index has a file of acquisition 2026 at the same path" in result.err, result
    rows = archive.all(
        "SELECT a.name, f.name FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " JOIN archiveacq a ON a.id = f.acq_id JOIN storagenode n ON n.id = c.node_id WHERE n.name = 'safe'"
    )
    assert sorted(rows) == [("2026", "log/day.txt"), ("2026/log", "new.txt")]


# --- fault 6: something nobody knows -------------------------------------------------------------------


@pytest.mark.parametrize("found", [b"precious and longer", b"other"], ids=["length", "bytes"])
@pytest.mark.parametrize("row", [None, "NN", "NY"])
def test_fault_6_a_file_nobody_knows_is_never_overwritten(pair, found, row):
    file_id = pair.file("acq/f", b"bytes", "field")
    if row:
        pair.set_copy(file_id, "safe", row)
        pair.once_good(file_id, "safe")  # of a copy that was there before, and says nothing about this
    pair.put("safe", "acq/f", found)
    request = pair.request(file_id, "field", "safe")
    first = pair.sync()
    assert first.status == 1 and pair.tree("safe") == {"acq/f": found}
    assert first.err.count("acq/f") == 1, "told once"
    assert "something else is at its path on safe" in first.err
    assert hashlib.md5(found).hexdigest() in first.err
    if len(found) != 5:
        assert f"its length is {len(found)} bytes" in first.err
    for _ in range(2):
        later = pair.sync()
        assert later.status == 0 and later.err.count("acq/f") == 1
        assert "something else is at its path" in later.err and hashlib.md5(found).hexdigest() in later.err
    assert pair.tree("safe") == {"acq/f": found} and pair.state(request) == "pending" and pair.claims() == 0
    shown = pair.run("request", "show", str(request), "--json").json["in_a_run_now"]
    assert "something else" in shown and hashlib.md5(found).hexdigest() in shown
    repair = pair.run("repair", "--check")
    assert repair.status == 1 and "something else is at its path" in " ".join(repair.out.split())
    # Out of the way it is pulled.
    shutil.move(pair.root("safe") / "acq/f", pair.base / "moved")
    assert pair.run("request", "retry", str(request)).status == 0
    pair.synced()
    assert pair.state(request) == "done" and pair.copy(file_id, "safe") == "YY"
    assert pair.tree("safe") == {"acq/f": b"bytes"} and pair.violations() == []


def test_fault_6_once_it_is_removed_a_check_records_that(pair):
    file_id = pair.file("acq/f", b"bytes", "field")
    pair.put("safe", "acq/f", b"found")
    request = pair.request(file_id, "field", "safe")
    assert pair.sync().status == 1
    (pair.root("safe") / "acq/f").unlink()
    assert pair.run("file", "verify", "acq/f", "safe").status == 0
    pair.sync("--only", "check")
    assert pair.copy(file_id, "safe") == "NY"
    pair.run("request", "retry", str(request))
    pair.synced()
    assert pair.tree("safe") == {"acq/f": b"bytes"}


def test_a_copy_that_the_daemon_called_good_and_that_has_rotted_is_replaced(pair):
    file_id = pair.file("acq/f", b"bytes", "field", "safe")
    pair.put("safe", "acq/f", b"rot!!")
    pair.do("UPDATE storagenode SET auto_verify = 10 WHERE name = 'safe'")
    assert pair.sync().status == 1
    assert pair.copy(file_id, "safe") == "XY"
    request = pair.request(file_id, "field", "safe")
    pair.synced()
    assert pair.state(request) == "done" and pair.tree("safe") == {"acq/f": b"bytes"}


# --- fault 8: recorded where it was not done -----------------------------------------------------------


@pytest.mark.parametrize("change", ["root", "host", "medium"])
def test_fault_8_a_pull_onto_a_node_that_is_moved_meanwhile_is_not_recorded(pair, change):
    file_id = pair.file("acq/f", os.urandom(3 * MB), "field")
    request = pair.request(file_id, "field", "safe")
    node_id = pair.id("storagenode", "safe")
    pair.do("UPDATE storagenode SET io_config = ? WHERE id = ?", SLOW, node_id)
    run = pair.start("sync", "--only", "pull")
    arriving(pair)
    if change == "root":
        moved = pair.base / "moved"
        moved.mkdir()
        (moved / MARKER).write_text("safe\n")
        pair.do("UPDATE storagenode SET root = ? WHERE id = ?", str(moved), node_id)
    elif change == "host":
        pair.do("UPDATE storagenode SET host_id = ? WHERE id = ?", pair.host("elsewhere"), node_id)
    else:
        pair.do("UPDATE sync_medium SET medium = ? WHERE node_id = ?", "b" * 32, node_id)
    result = run.result()
    assert result.err.count("is not recorded") == 1, result
    assert pair.copy(file_id, "safe") is None
    assert pair.state(request) == "pending" and pair.attempt(request) is None and pair.claims() == 0
    assert pair.events("pulled") == []


# --- fault 13: absence taken for loss ------------------------------------------------------------------


def unmount(archive, node):
    """Unmount a node, which leaves an empty mount point."""
    archive.root(node).rename(archive.base / f"{node}-disk")
    archive.root(node).mkdir()


def mount(archive, node):
    shutil.rmtree(archive.root(node))
    (archive.base / f"{node}-disk").rename(archive.root(node))


@pytest.mark.parametrize("there", ["nothing", "another node", "a marker only"])
@pytest.mark.parametrize("size", [5, 70 * 2**20], ids=["small", "big"])
def test_fault_13_files_of_a_disk_that_is_not_mounted_on_another_host_are_not_lost(hosts, there, size):
    count = 20 if size == 5 else 2
    ids = [hosts.file(f"acq/{i}", b"%05d" % i + bytes(size - 5), "far") for i in range(count)]
    requests = hosts.requests(ids, "far", "safe")
    sound = hosts.file("acq/sound", b"sound", "other")
    hosts.set_copy(
        sound, "safe", "MY"
    )  # is missing, which a check finds out, so that it is pulled late in the run
    later = hosts.request(sound, "other", "safe")
    unmount(hosts, "far")
    if there == "another node":
        (hosts.root("far") / MARKER).write_text("stranger\n")
        hosts.put("far", "acq/0", b"truncated")
    elif there == "a marker only":
        (hosts.root("far") / MARKER).symlink_to("elsewhere")
    result = hosts.sync()
    assert result.status == 1 and "node far is not mounted on host there" in result.err, result
    assert ("stranger" in result.err) is (there == "another node")
    assert {hosts.copy(file_id, "far") for file_id in ids} == {"YY"}
    assert hosts.state(later) == "done", "another node of that host serves"
    assert {hosts.state(request) for request in requests} == {"pending"} and hosts.claims() == 0
    assert hosts.attempt(requests[0]) is None
    assert [row[:2] for row in hosts.held_back()] == [("node", 1)]
    assert hosts.tree("safe") == {"acq/sound": b"sound"} and hosts.events("suspect") == []
    mount(hosts, "far")
    hosts.forget_attempts()
    hosts.synced()
    assert hosts.pending() == 0 and hosts.violations() == []
    assert set(hosts.tree("safe")) == {"acq/sound", *(f"acq/{i}" for i in range(count))}
    assert hosts.stray("safe") == []


@pytest.mark.parametrize(
    ("tar", "most"), [(False, 1), (True, 2)]
)  # tar leaves the file that is gone to rsync
def test_fault_13_the_marker_costs_no_session_of_its_own_and_leaves_nothing_behind(hosts, tar, most):
    sessions = hosts.base / "sessions"
    counting = stand_in(hosts.base / "bin", "counting-ssh", f'echo >> {sessions}; exec ssh "$@"')
    ssh = [str(counting), *hosts.sshd.ssh[1:]]
    hosts.configure(transfer={"ssh": ssh, "tar": tar}, sync={"jobs": 1})
    gone = hosts.file("acq/gone", b"bytes", "far")
    good = hosts.file("acq/good", b"bytes", "far")
    (hosts.root("far") / "acq/gone").unlink()
    hosts.requests([gone, good], "far", "safe")
    assert hosts.sync("--only", "pull").status == 1
    # The node is there, and the file is not: that is the source's fault, as ever.
    assert hosts.copy(gone, "far") == "MY" and hosts.copy(good, "safe") == "YY"
    assert len(sessions.read_text()) == most
    assert hosts.stray("safe") == [] and hosts.tree("safe") == {"acq/good": b"bytes"}


def test_fault_13_holds_with_bbcp(hosts):
    program = stand_in(
        hosts.base / "bin",
        "bbcp",
        """from="${@: -2:1}" to="${@: -1}"
           [ -e "${from#*:}" ] || { echo "bbcp: no such file or directory" >&2; exit 2; }
           exec cp -p -- "${from#*:}" "$to" """,
    )
    hosts.configure(transfer={"ssh": hosts.sshd.ssh, "bbcp": "bbcp"})
    lost = hosts.file("acq/lost", b"bytes", "other")
    (hosts.root("other") / "acq/lost").unlink()
    ids = [hosts.file(f"acq/{i}", b"bytes", "far") for i in range(3)]
    hosts.requests(ids, "far", "safe")
    hosts.request(lost, "other", "safe")
    unmount(hosts, "far")
    result = hosts.sync(path=str(program.parent))
    assert result.status == 1 and "node far is not mounted on host there" in result.err, result
    assert {hosts.copy(file_id, "far") for file_id in ids} == {"YY"}
    assert hosts.copy(lost, "other") == "MY"
    mount(hosts, "far")
    hosts.forget_attempts()
    hosts.sync(path=str(program.parent))
    assert {hosts.copy(file_id, "safe") for file_id in ids} == {"YY"} and hosts.stray("safe") == []


# --- fault 17: a pull that outlives its claim ----------------------------------------------------------


def test_fault_17_a_pull_whose_claim_was_taken_over_completes_nothing(pair):
    content = os.urandom(3 * MB)
    file_id = pair.file("acq/f", content, "field")
    request = pair.request(file_id, "field", "safe")
    pair.do("UPDATE storagenode SET io_config = ? WHERE name = 'safe'", SLOW)
    run = pair.start("sync", "--only", "pull")
    arriving(pair)
    os.kill(run.process.pid, signal.SIGSTOP)
    # As another host does when the lease has run out.
    pair.do("UPDATE sync_claim SET host = 'elsewhere', run_id = run_id + 1000, fence = fence + 1")
    os.kill(run.process.pid, signal.SIGCONT)
    run.result()
    assert pair.events("pulled") == [] and pair.events("suspect") == [(file_id, "safe")]
    assert pair.state(request) == "pending" and pair.attempt(request) is None
    assert pair.claims() == 1, "the claim is the other run's"
    # Neither lost nor counted, until it was read.
    assert pair.copy(file_id, "safe") == "MY" and pair.tree("safe") == {"acq/f": content}
    pair.synced("--only", "check")
    assert pair.copy(file_id, "safe") == "YY"
