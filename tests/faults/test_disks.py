"""Disks that are full, read-only, unreadable, or gone."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import Result, stand_in

READS = "read,pread64,readv,preadv,preadv2"

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture(scope="module")
def root():
    if os.geteuid():
        pytest.fail(
            "these tests mount small file systems: run them as root, or without tests/faults/test_disks.py"
        )


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


@contextmanager
def mounted(archive, node, options):
    """Mount a file system at the node's root, and write the marker."""
    at = archive.root(node)
    at.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", options, "none", at)
    try:
        (at / MARKER).write_text(f"{node}\n")
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


@pytest.fixture
def pair(sqlite_archive):
    sqlite_archive.node("field")
    sqlite_archive.node("other", archive=1)
    sqlite_archive.node("safe", made=False, archive=1, io_config='{"reserve_factor": 1}')
    return sqlite_archive


def assert_destination_trouble(archive, result, ids, requests):
    """Check that files that fit are done, and that the others wait without blaming their sources."""
    assert result.status == 1 and "safe" in result.err, result
    assert {archive.copy(file_id, "field") for file_id in ids} == {"YY"}
    states = [archive.state(request) for request in requests]
    assert set(states) <= {"done", "pending"} and "pending" in states
    blames = {row[0] for row in archive.all("SELECT blame FROM sync_attempt WHERE kind = 'pull'")}
    assert blames == {"destination"}
    assert archive.claims() == 0
    assert archive.violations() == []
    assert {archive.copy(file_id, "other") for file_id in ids} == {"YY"}


def use(archive, method):
    settings = json.dumps({"reserve_factor": 1, "method": method})
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = 'safe'", settings)


def assert_finished_by_the_next_run(archive):
    archive.configure()
    archive.forget_attempts()
    archive.synced()
    assert archive.pending() == 0 and archive.violations() == []
    assert archive.tree("safe") == archive.tree("field")
    assert archive.stray("safe") == []


@pytest.mark.parametrize("method", ["auto", "rsync"])
def test_a_disk_without_inodes_takes_what_fits_and_the_rest_later(pair, method):
    use(pair, method)
    ids = pair.files(300, "field", 1000)
    with mounted(pair, "safe", "size=40m,nr_inodes=100"):
        requests = pair.requests(ids, "field", "safe")
        pair.requests(ids, "field", "other")
        result = pair.sync("--jobs", "1")
        # What would take the last of them is not tried, and nobody is blamed.
        assert "no room on safe" in result.err and "free inodes" in result.err, result
        assert {pair.state(request) for request in requests} == {"done", "pending"}
        assert not pair.all("SELECT * FROM sync_attempt") and pair.claims() == 0
        assert pair.violations() == []
        mount("-o", "remount,size=400m,nr_inodes=10000", pair.root("safe"))
        assert_finished_by_the_next_run(pair)


def test_a_disk_that_something_else_fills_meanwhile_takes_what_fits_and_the_rest_later(pair):
    use(pair, "rsync")
    ids = [pair.file(f"acq/{i}", os.urandom(5 * 2**20), "field") for i in range(6)]
    with mounted(pair, "safe", "size=40m"):
        requests = pair.requests(ids, "field", "safe")
        pair.requests(ids, "field", "other")
        hog = stand_in(
            pair.base / "bin",
            "rsync-hog",
            f'head -c 25M /dev/zero > {pair.root("safe")}/.hog; exec rsync "$@"',
        )
        pair.configure(transfer={"rsync": str(hog)})
        assert_destination_trouble(pair, pair.sync("--jobs", "1"), ids, requests)
        (pair.root("safe") / ".hog").unlink()
        assert_finished_by_the_next_run(pair)


def test_files_that_cannot_fit_are_not_tried_and_smaller_ones_are_pulled(pair):
    big = pair.file("acq/big", os.urandom(30 * 2**20), "field")
    small = pair.file("acq/small", os.urandom(5 * 2**20), "field")
    with mounted(pair, "safe", "size=20m"):
        requests = pair.requests([big, small], "field", "safe")
        result = pair.sync()
        assert result.status == 0 and "no room on safe" in result.err and "acq/big" in result.err
        assert [pair.state(request) for request in requests] == ["pending", "done"]
        assert pair.attempt(requests[0]) is None
        mount("-o", "remount,size=100m", pair.root("safe"))
        assert_finished_by_the_next_run(pair)


def test_a_read_only_disk_is_destination_trouble_or_left_out(pair):
    with mounted(pair, "safe", "size=40m"):
        mount("-o", "remount,ro", pair.root("safe"))
        ids = pair.files(5, "field", 100)
        requests = pair.requests(ids, "field", "safe")
        pair.requests(ids, "field", "other")
        result = pair.sync()
        assert "safe" in result.err and "Read-only file system; mount its file system writable" in result.err
        assert {pair.copy(file_id, "field") for file_id in ids} == {"YY"}
        assert {pair.state(request) for request in requests} == {"pending"}
        assert len(pair.tree("other")) == 5
        mount("-o", "remount,rw", pair.root("safe"))
        pair.forget_attempts()
        pair.synced()
        assert pair.pending() == 0


@pytest.mark.parametrize(("calls", "error"), [("syncfs", "EIO"), ("renameat,renameat2", "EROFS")])
def test_files_that_cannot_be_flushed_or_placed_are_not_called_good(pair, calls, error):
    use(pair, "auto")
    pair.root("safe").mkdir()
    (pair.root("safe") / MARKER).write_text("safe\n")
    adopted(pair)
    ids = pair.files(20, "field", 100)
    requests = pair.requests(ids, "field", "safe")
    pair.requests(ids, "field", "other")
    stages = [pair.root("safe") / ".alpenhorn" / f"run-2-{number}" for number in range(6)]
    result = injected(pair, stages, calls, error)
    assert_destination_trouble(pair, result, ids, requests)
    assert "done" not in [pair.state(request) for request in requests]
    assert pair.tree("safe") == {}
    assert_finished_by_the_next_run(pair)


@pytest.fixture(params=[3, 40])
def number(request):
    """Few files are flushed one by one, many with a single call."""
    return request.param


def everything_below(root):
    return [root, *root.rglob("*")]


def adopted(archive):
    """Give the media their identities first, because these are flushed as well."""
    archive.sync()


def test_copies_that_cannot_be_flushed_stay_suspect(pair, number):
    adopted(pair)
    ids = pair.files(number, "field", 100)
    for file_id in ids:
        pair.set_copy(file_id, "field", "MY")
    pair.do("UPDATE storagenode SET active = 0 WHERE name = 'safe'")
    result = injected(pair, everything_below(pair.root("field")), "fsync,syncfs")
    assert result.status == 1 and "cannot be flushed" in result.err, result
    assert {pair.copy(file_id, "field") for file_id in ids} == {"MY"}
    pair.forget_attempts()
    pair.synced()
    assert {pair.copy(file_id, "field") for file_id in ids} == {"YY"}


def test_files_that_cannot_be_flushed_are_not_imported(pair, number):
    adopted(pair)
    for i in range(number):
        pair.put("field", f"acq/{i}", b"new")
    pair.do("UPDATE storagenode SET active = 0 WHERE name = 'safe'")
    pair.do("UPDATE storagenode SET auto_import = 1 WHERE name = 'field'")
    conf = pair.configure(sync={"import_settle": 0})
    result = injected(pair, everything_below(pair.root("field")), "fsync,syncfs", conf=conf)
    assert result.status == 1 and "cannot be flushed" in result.err, result
    assert pair.one("SELECT COUNT(*) FROM archivefile") == 0
    pair.forget_attempts()
    pair.synced()
    assert pair.one("SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y'") == number


def test_copies_whose_removal_cannot_be_flushed_are_looked_at_again(pair, number):
    """This includes copies whose file was removed by an earlier, interrupted run."""
    adopted(pair)
    pair.node("third", archive=1)
    pair.do("UPDATE storagenode SET active = 0 WHERE name = 'safe'")
    ids = [pair.file(f"acq/{i}/f", None, "field", "other", "third") for i in range(number)]
    for file_id in ids:
        pair.set_copy(file_id, "field", "YN")
    pair.set_copy(ids[0], "field", "MN")
    (pair.root("field") / "acq/0/f").unlink()
    result = injected(pair, everything_below(pair.root("field")), "fsync,syncfs")
    assert result.status == 1 and "cannot be flushed" in result.err, result
    assert {pair.copy(file_id, "field") for file_id in ids} == {"MN"}
    assert pair.tree("field") == {} and pair.claims() == 0
    pair.forget_attempts()
    pair.synced()
    assert {pair.copy(file_id, "field") for file_id in ids} == {"NN"}


def test_a_directory_that_cannot_be_written_is_destination_trouble(pair):
    """chattr +i also prevents root from writing."""
    pair.root("safe").mkdir()
    (pair.root("safe") / MARKER).write_text("safe\n")
    ids = [pair.file(f"acq/{i}", None, "field") for i in range(3)]
    requests = pair.requests(ids, "field", "safe")
    pair.requests(ids, "field", "other")
    (pair.root("safe") / "acq").mkdir()
    subprocess.run(["chattr", "+i", pair.root("safe") / "acq"], check=True)
    try:
        result = pair.sync()
    finally:
        subprocess.run(["chattr", "-i", pair.root("safe") / "acq"], check=True)
    assert_destination_trouble(pair, result, ids, requests)
    pair.forget_attempts()
    pair.synced()
    assert pair.pending() == 0


def test_a_file_that_cannot_be_read_stays_suspect_and_the_others_are_checked(pair):
    """strace makes reads of one file fail with EIO."""
    ids = {name: pair.file(f"acq/{name}", name.encode() * 1000, "field") for name in ("a", "bad", "c")}
    for file_id in ids.values():
        pair.set_copy(file_id, "field", "MY")
    pair.do("UPDATE storagenode SET active = 0 WHERE name = 'safe'")
    result = injected(pair, [pair.root("field") / "acq" / "bad"], READS)
    assert result.status == 1 and "acq/bad" in result.err, result
    assert {name: pair.copy(file_id, "field") for name, file_id in ids.items()} == {
        "a": "YY",
        "bad": "MY",
        "c": "YY",
    }
    assert pair.one("SELECT subject_id > 0 FROM sync_attempt WHERE kind = 'check'") == 1
    pair.forget_attempts()
    pair.synced()
    assert pair.copy(ids["bad"], "field") == "YY"


def test_a_source_that_cannot_be_read_is_not_called_bad(pair):
    ids = [pair.file(f"acq/{name}", name.encode() * 1000, "field") for name in ("a", "bad", "c")]
    pair.do("UPDATE storagenode SET active = 0 WHERE name = 'safe'")
    requests = pair.requests(ids, "field", "other")
    result = injected(pair, [pair.root("field") / "acq" / "bad"], f"{READS},sendfile")
    assert result.status == 1 and "acq/bad" in result.err, result
    assert {pair.copy(file_id, "field") for file_id in ids} == {"YY"}
    assert [pair.state(request) for request in requests] == ["done", "pending", "done"]
    pair.forget_attempts()
    pair.synced()
    assert pair.pending() == 0


def injected(archive, paths, calls, error="EIO", conf=None, command=("sync",)):
    """Run a command during which these calls fail on these paths."""
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", *(f"--trace-path={path}" for path in paths)]
    argv += ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(conf or archive.configure()), *command]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in ended.stderr
    return Result(ended.returncode, ended.stdout, ended.stderr)


def test_a_mount_that_hangs_is_left_out_and_the_run_ends(pair):
    """Opening a fifo in place of the marker would block."""
    pair.root("safe").mkdir()
    os.mkfifo(pair.root("safe") / MARKER)
    ids = pair.files(3, "field", 100)
    pair.requests(ids, "field", "safe")
    pair.requests(ids, "field", "other")
    result = pair.sync()
    assert result.status == 0 and "safe" in result.err
    assert len(pair.tree("other")) == 3
