"""Real runs, killed at random moments; the invariants are checked after every kill."""

import os
import random
import signal
import time

import psutil
import pytest

from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from tests.fixtures.archive import ended_within, wait_for

NODES = ("safe1", "safe2")


def fill(archive, long, *, source="field"):
    """Request many small files, and big ones of which a killed run leaves partial files."""
    ids = archive.files(400 if long else 150, source, 3000)
    big = range(2 if long else 1)
    ids += [archive.file(f"big/{i}", random.Random(i).randbytes(70 * 2**20), source) for i in big]
    for name in NODES:
        archive.requests(ids, source, name)
    return ids


def check(archive, run):
    """Check what must hold whenever a run has been killed."""
    run.wait_until_nothing_is_left()
    assert archive.violations() == []
    for name in NODES:
        lock = RunLock(archive.root(name) / RUN_LOCK)
        assert lock.acquire(), f"{name} is still locked"
        lock.release()
    done = archive.one("SELECT COUNT(*) FROM archivefilecopyrequest WHERE completed = 1")
    good = archive.one(
        "SELECT COUNT(*) FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
        " WHERE c.has_file = 'Y' AND n.name <> 'field' AND n.name <> 'far'"
    )
    assert done <= good


def finish(archive, ids, source="field"):
    """Run once more, and check that everything is there."""
    archive.forget_attempts()
    result = archive.sync()
    assert result.status == 0, result
    assert archive.pending() == 0 and archive.claims() == 0
    for name in NODES:
        assert archive.tree(name) == archive.tree(source)
        assert archive.stray(name) == []
    assert archive.violations() == []
    assert archive.one(
        "SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y' AND wants_file = 'Y'"
    ) == 3 * len(ids)


def undo(archive):
    """Request all copies on the archive nodes again, as if they had never been pulled."""
    for name in NODES:
        archive.index.execute(
            "DELETE FROM archivefilecopy WHERE node_id = ?", (archive.id("storagenode", name),)
        )
        for path in archive.tree(name):
            (archive.root(name) / path).unlink()
    archive.index.execute("UPDATE archivefilecopyrequest SET completed = 0, cancelled = 0")


def victim(run, rng):
    """Return the parent, a worker, or a program that a worker runs."""
    kind = rng.choice(["parent", "worker", "program"])
    if kind == "parent":
        return run.process.pid
    workers = run.workers()
    if kind == "program":
        programs = [p for p in run.processes() if p.name() in ("rsync", "ssh")]
        if programs:
            return rng.choice(programs).pid
    return rng.choice(workers).pid if workers else run.process.pid


def kill_one(run, rng):
    try:
        os.kill(victim(run, rng), signal.SIGKILL)
    except (ProcessLookupError, psutil.Error):
        return False
    return True


def loop(archive, ids, kills, seed, source="field"):
    """Kill runs, as often as that or more; the moments spread over the time that a run takes on this machine."""
    rng = random.Random(seed)
    started = time.monotonic()
    archive.synced()
    longest = time.monotonic() - started
    undo(archive)
    killed = 0
    while killed < kills:
        run = archive.start("sync", "--jobs", str(rng.choice([2, 3])))
        # Several kills a run: one of a worker or a program does not end it.
        while not ended_within(run.process, rng.uniform(0, longest)):
            killed += kill_one(run, rng)
            if rng.random() < 0.5 and not ended_within(run.process, 0):
                run.kill()
                killed += 1
        said = run.said()
        assert "Traceback" not in said[0] + said[1], said
        check(archive, run)
        if not archive.pending():
            undo(archive)
        elif rng.random() < 0.7:
            archive.forget_attempts()
    finish(archive, ids, source)


@pytest.mark.kill
@pytest.mark.timeout(600)
def test_runs_that_are_killed_anywhere_are_finished_by_the_next_one(archive, kills, long):
    archive.node("field")
    for name in NODES:
        archive.node(name, archive=1)
    loop(archive, fill(archive, long), kills, seed=1)


@pytest.mark.kill
@pytest.mark.timeout(600)
def test_runs_over_the_network_that_are_killed_anywhere_are_finished_by_the_next_one(
    archive, kills, long, sshd
):
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    for name in NODES:
        archive.node(name, archive=1)
    archive.configure(transfer={"ssh": sshd.ssh})
    loop(archive, fill(archive, long, source="far"), kills, seed=2, source="far")


def test_the_check_of_the_invariants_catches_a_copy_that_is_not_whole(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    whole = archive.file("acq/f", b"bytes", "field")
    assert archive.violations() == []
    at = archive.root("field") / "acq" / "f"
    for damage in (b"byte", b"bites", b""):
        at.write_bytes(damage)
        assert len(archive.violations()) == 1
    at.unlink()
    assert len(archive.violations()) == 1
    archive.set_copy(whole, "field", "NY")
    assert archive.violations() == []


# --- single kill points --------------------------------------------------------------------------------


@pytest.fixture
def pair(archive):
    archive.node("field")
    archive.node("safe", archive=1)
    return archive


def test_a_kill_between_rename_and_record_is_settled_by_the_next_run(pair):
    ids = pair.files(20, "field", 100)
    requests = pair.requests(ids, "field", "safe")
    # As a run leaves it that died after its files got their names.
    for path, content in pair.tree("field").items():
        pair.put("safe", path, content)
    inodes = {path: (pair.root("safe") / path).stat().st_ino for path in pair.tree("safe")}
    pair.synced()
    assert pair.pending() == 0
    assert {pair.copy(file_id, "safe") for file_id in ids} == {"YY"}
    assert {pair.state(request) for request in requests} == {"cancelled"}
    assert inodes == {path: (pair.root("safe") / path).stat().st_ino for path in pair.tree("safe")}


def killed_with_a_part(pair):
    """Kill a run when it has copied a tenth of acq/f, which would take it five seconds; returns the part."""
    pair.do("UPDATE storagenode SET io_config = ? WHERE name = 'safe'", '{"bwlimit": "16 MB"}')
    run = pair.start("sync")
    private = pair.root("safe") / ".alpenhorn"
    part = wait_for(
        lambda: next((p for p in private.glob("part-*/acq/f") if p.stat().st_size > 2**23), None), "a part"
    )
    run.kill()
    run.wait_until_nothing_is_left()
    pair.do("UPDATE storagenode SET io_config = NULL WHERE name = 'safe'")
    return part


def test_leftovers_of_killed_runs_are_removed_and_partial_files_are_resumed(pair):
    content = random.Random(3).randbytes(80 * 2**20)
    file_id = pair.file("acq/f", content, "field")
    request = pair.request(file_id, "field", "safe")
    part = killed_with_a_part(pair)
    private = pair.root("safe") / ".alpenhorn"
    assert 2**23 < part.stat().st_size <= len(content)
    inode = part.stat().st_ino
    (private / "run-77-0" / "deep").mkdir(parents=True)
    (private / "run-77-0" / "deep" / "left").write_bytes(b"half")
    pair.synced()
    assert pair.state(request) == "done"
    assert (pair.root("safe") / "acq" / "f").stat().st_ino == inode
    assert pair.stray("safe") == [] and pair.violations() == []


def test_a_damaged_partial_file_is_not_trusted(pair):
    content = random.Random(4).randbytes(80 * 2**20)
    file_id = pair.file("acq/f", content, "field")
    pair.request(file_id, "field", "safe")
    part = killed_with_a_part(pair)
    with part.open("r+b") as file:
        file.write(b"spoilt by a power cut")
    pair.synced()
    assert pair.violations() == [] and pair.copy(file_id, "safe") == "YY"
    assert pair.copy(file_id, "field") == "YY"


def test_a_file_that_kills_its_worker_again_and_again_waits_and_takes_no_other_with_it(pair):
    """Whoever opens anything in the directory of the file is killed."""
    ids = pair.files(10, "field", 100)
    deadly = pair.file("deadly/f", None, "field")
    request = pair.request(deadly, "field", "safe")
    pair.requests(ids, "field", "safe")
    said = pair.base / "strace.said"
    prefix = ["strace", "-f", "-qq", "-o", str(said), f"--trace-path={pair.root('field') / 'deadly'}"]
    prefix += ["-e", "inject=openat:signal=KILL"]
    result = pair.start("sync", "--jobs", "1", prefix=prefix).result()
    assert result.status == 1 and "deadly" in result.err
    assert said.read_text().count("killed by SIGKILL") > 1
    assert pair.attempt(request)[0] == "worker"
    assert pair.copy(deadly, "field") == "YY"
    assert {pair.copy(file_id, "safe") for file_id in ids} == {"YY"}
