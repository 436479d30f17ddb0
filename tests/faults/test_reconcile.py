"""Reconciliations that are interrupted, and disks that disappear while they are compared."""

import shutil
import signal
import subprocess

import pytest

from alpenhorn.model.nodes import MARKER
from tests.end_to_end.test_reconcile import aged, distrust, found, reconciled, restored, trust
from tests.faults.test_disks import mount, root  # noqa: F401
from tests.fixtures.archive import wait_for
from tests.fixtures.seen import mark_seen

MANY = 6_000  # so many that a run is still at it when a test comes to stop it
GONE = [0, 1500, 3999]


@pytest.fixture
def parted(archive):
    """A restored index, and a disk that lacks some of its files and has others."""
    archive.node("disk", archive=1)
    archive.ids = archive.files(MANY, "disk")
    aged(archive, "disk")
    for number in GONE:
        (archive.root("disk") / f"many/{number // 100:03}/{number:05}.dat").unlink()
    archive.put("disk", "many/dark", b"dark")
    distrust(archive, "disk")
    archive.insert("sync_index", name="restored", value="older than disk")
    return archive


def begun(archive):
    """Start a reconciliation, and wait until it compares."""
    run = archive.start("reconcile", "--json")
    comparing(archive)
    return run


def comparing(archive):
    log = archive.base / "here.log"
    wait_for(lambda: log.exists() and "disk is compared" in log.read_text(), "the comparison")


def suspended(archive):
    """Start a reconciliation and suspend its workers as soon as it compares; return both."""
    run = archive.start("reconcile", "--json")
    # Looked for before, since that takes longer than a comparison where many processes run.
    workers = wait_for(lambda: found if len(found := run.workers()) == 2 else None, "the workers")
    comparing(archive)
    for worker in workers:
        worker.suspend()
    return run, workers


def suspects(archive):
    return sorted(file_id for file_id, _ in archive.events("suspect"))


@pytest.mark.parametrize("pause", [0, 0.05, 0.15, 0.3])
def test_a_killed_reconciliation_has_recorded_all_or_nothing_and_the_next_completes_it(parted, pause):
    run = begun(parted)
    try:
        run.process.wait(pause)
    except subprocess.TimeoutExpired:
        run.kill()
    run.end()
    run.wait_until_nothing_is_left()
    gone = [parted.ids[number] for number in GONE]
    assert suspects(parted) in ([], gone)
    if trust(parted, "disk")[0] is None:
        assert suspects(parted) == gone and restored(parted) == 0
    else:
        assert restored(parted) == 1
    before = suspects(parted)
    document = reconciled(parted, status=1)
    (node,) = document["nodes"]
    assert node["complete"] and len(node["missing"]) == (0 if before else 3)
    assert suspects(parted) == gone and trust(parted, "disk") == (None, 0, 0) and restored(parted) == 0
    assert {parted.copy(file_id, "disk") for file_id in gone} == {"MY"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_reconciliation_says_so_and_the_distrust_stays(parted, number):
    run, workers = suspended(parted)
    run.process.send_signal(number)
    wait_for(lambda: "asked to stop" in (parted.base / "here.log").read_text(), "word of the signal")
    for worker in workers:
        worker.resume()
    result = run.result()
    run.wait_until_nothing_is_left()
    document = result.json
    assert result.status == 1 and document["stopped"] and not document["nodes"][0]["complete"]
    assert "the run was stopped" in document["nodes"][0]["why"]
    assert trust(parted, "disk")[0] == "reconcile" and restored(parted) == 1
    # What was found is recorded, and nothing else.
    missing = [int(item["path"][-9:-4]) for item in document["nodes"][0]["missing"]]
    assert set(missing) <= set(GONE)
    assert suspects(parted) == sorted(parted.ids[number] for number in missing)
    assert parted.one("SELECT exit_status FROM sync_run WHERE ended IS NOT NULL") == 1
    assert reconciled(parted, status=1)["nodes"][0]["complete"]


@pytest.mark.parametrize("victims", ["one", "all"])
def test_workers_that_are_killed_leave_the_node_uncompared(parted, victims):
    run, workers = suspended(parted)
    for worker in workers[: 1 if victims == "one" else None]:
        worker.kill()
    for worker in run.workers():
        worker.resume()
    result = run.result()
    run.wait_until_nothing_is_left()
    if not result.json["nodes"][0]["complete"]:
        assert result.status == 1 and suspects(parted) == [] and restored(parted) == 1
        assert trust(parted, "disk")[0] == "reconcile"
    assert reconciled(parted, status=1)["nodes"][0]["complete"] and len(suspects(parted)) == 3


@pytest.mark.usefixtures("root")
def test_a_disk_that_is_unmounted_meanwhile_has_lost_nothing(sqlite_archive):
    archive = sqlite_archive
    archive.node("disk", made=False, archive=1)
    at = archive.root("disk")
    at.mkdir()
    mount("-t", "tmpfs", "-o", "size=64m", "none", at)
    there = True
    try:
        (at / MARKER).write_text("disk\n")
        ids = archive.files(MANY, "disk")
        aged(archive, "disk")
        mark_seen(archive.index, archive.id("storagenode", "disk"), at)
        distrust(archive, "disk")
        run, workers = suspended(archive)
        subprocess.run(["umount", "-l", str(at)], check=True)
        there = False
        for worker in workers:
            worker.resume()
        result = run.result()
    finally:
        if there:
            subprocess.run(["umount", "-l", str(at)], check=True)
    (node,) = result.json["nodes"]
    assert result.status == 1 and not node["complete"] and "disk" in str(result.json["left_out"])
    assert suspects(archive) == [] and trust(archive, "disk")[0] == "reconcile"
    assert {archive.copy(file_id, "disk") for file_id in ids} == {"YY"}


def test_a_directory_that_vanishes_meanwhile_is_missing_and_nothing_worse(parted):
    run = begun(parted)
    for worker in run.workers():
        worker.suspend()
    shutil.rmtree(parted.root("disk") / "many/020")
    for worker in run.workers():
        worker.resume()
    result = run.result()
    assert result.status == 1
    again = reconciled(parted, status=1)
    assert again["nodes"][0]["complete"] and len(suspects(parted)) == 103
    assert set(found(again)) <= {"missing", "dark"}
