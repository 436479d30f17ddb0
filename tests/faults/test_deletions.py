"""Deletions that are killed, raced, cancelled or refused leave the minimum number of copies."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import MARKER
from alpenhorn.workers import lock_holder
from tests.fixtures.archive import WHEN, WRITTEN, Running, ended_within, stand_in, wait_for

pytestmark = pytest.mark.cluster

MINIMUM = 2
SAFE = ("safe1", "safe2", "safe3")


def filled(archive):
    """A field node and three archive nodes."""
    archive.node("field")
    for node in SAFE:
        archive.node(node, archive=1)
    return archive


@pytest.fixture
def three(archive):
    return filled(archive)


@pytest.fixture
def sqlite_three(sqlite_archive):
    return filled(sqlite_archive)


def release(archive, *nodes, where=""):
    for node in nodes:
        archive.do(
            f"UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = ? {where}",
            archive.id("storagenode", node),
        )


def whole(archive, node, path, size_b, md5sum):
    try:
        content = (archive.root(node) / path).read_bytes()
    except OSError:
        return False
    return len(content) == size_b and hashlib.md5(content).hexdigest() == md5sum


def too_few(archive, minimum=MINIMUM):
    """Return the files with fewer than the minimum of good and intact archive copies."""
    good = {}
    for file_id, node, acq, name, size_b, md5sum, has in archive.all(
        "SELECT f.id, n.name, a.name, f.name, f.size_b, f.md5sum, c.has_file FROM archivefilecopy c"
        " JOIN storagenode n ON n.id = c.node_id JOIN archivefile f ON f.id = c.file_id"
        " JOIN archiveacq a ON a.id = f.acq_id WHERE n.archive = 1"
    ):
        good.setdefault(file_id, 0)
        good[file_id] += has == "Y" and whole(archive, node, f"{acq}/{name}", size_b, md5sum)
    return sorted(file_id for file_id, count in good.items() if count < minimum)


def assert_nothing_lost(archive):
    assert too_few(archive) == []
    assert archive.violations() == []


def directories(archive, node):
    return {
        str(path.relative_to(archive.root(node)))
        for path in archive.root(node).rglob("*")
        if path.is_dir() and ".alpenhorn" not in path.parts
    }


def states(archive, ids, node="field"):
    return [archive.copy(file_id, node) for file_id in ids]


def paused(archive, path, calls, *arguments, effect="delay_enter", seconds=1, first=1):
    """A run of one worker that pauses at each of those calls on that path, in each process from the `first` on."""
    out = archive.base / "strace.said"
    out.unlink(missing_ok=True)
    argv = ["strace", "-f", "-qq", "-o", str(out), f"--trace-path={path}"]
    argv += ["-e", f"trace={calls}", "-e", f"inject={calls}:{effect}={seconds * 1_000_000}:when={first}+"]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(archive.configure(sync={"jobs": 1})), "sync"]
    environ = {"HOME": str(archive.base), "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    running = Running([*argv, *arguments], environ, archive.base / "said")
    archive._started.append(running)
    return running


def said(archive):
    """Return the output of strace."""
    at = archive.base / "strace.said"
    return at.read_text() if at.exists() else ""


def claims(archive):
    return archive.one("SELECT COUNT(*) FROM sync_claim WHERE kind = 'delete'")


def the_run(running):
    """Return the process of the program, whose parent is strace."""
    (found,) = [process for process in running.processes() if process.ppid() == running.process.pid]
    return found


def the_worker(running):
    run = the_run(running).pid
    (found,) = [p for p in running.processes() if p.ppid() == run and p.name() != lock_holder.NAME]
    return found


# --- killed at one point -------------------------------------------------------------------------------


def files(archive, number=3):
    ids = [archive.file(f"acq/dir/{i}", None, "field", *SAFE) for i in range(number)]
    release(archive, "field")
    return ids


def assert_settled(archive, ids):
    """Run once more, and check that exactly the released copies and their directories are gone."""
    assert_nothing_lost(archive)
    archive.synced()
    assert states(archive, ids) == ["NN"] * len(ids)
    assert claims(archive) == 0 and archive.tree("field") == {} and directories(archive, "field") == set()
    assert (archive.root("field") / MARKER).exists()
    assert_nothing_lost(archive)


@pytest.mark.parametrize("victim", ["run", "worker"])
def test_a_kill_between_claim_and_unlink_is_settled_by_the_next_run(three, victim):
    ids = files(three)
    running = paused(three, three.root("field") / "acq" / "dir", "unlinkat", "--only", "delete")
    wait_for(lambda: claims(three) == 3, "the claims")
    assert states(three, ids) == ["MN"] * 3 and len(three.tree("field")) == 3
    if victim == "run":
        the_run(running).kill()
        running.end()
        assert states(three, ids) == ["MN"] * 3
    else:
        the_worker(running).kill()
        running.result()
    assert_settled(three, ids)


@pytest.mark.parametrize("victim", ["run", "worker"])
def test_a_kill_between_unlink_and_record_is_settled_by_the_next_run(three, victim):
    ids = files(three)
    # A killed run, unlike the replacement of a killed worker, does not wait until the pause is over.
    pause = {"effect": "delay_exit", "seconds": 60 if victim == "run" else 1}
    running = paused(three, three.root("field") / "acq" / "dir", "unlinkat", "--only", "delete", **pause)
    wait_for(lambda: len(three.tree("field")) < 3, "the first unlink")
    if victim == "run":
        the_run(running).kill()
        running.end()
        assert states(three, ids) == ["MN"] * 3 and len(three.tree("field")) < 3
    else:
        the_worker(running).kill()
        running.result()
    assert_settled(three, ids)


def test_a_copy_claimed_by_a_run_that_was_killed_does_not_count_for_others(three):
    """Three copies are required: while the state of one of four is unknown, no other may be deleted."""
    three.node("safe4", archive=1)
    file_id = three.file("acq/f", None, *SAFE, "safe4")
    release(three, "safe1")
    running = paused(three, three.root("safe1") / "acq", "unlinkat", "--node", "safe1", "--only", "delete")
    wait_for(lambda: claims(three) == 1, "the claim")
    the_run(running).kill()
    running.end()
    assert three.copy(file_id, "safe1") == "MN" and claims(three) == 1
    release(three, "safe2")
    three.configure(sync={"archive_copy_count": 3})
    result = three.run("-v", "sync", "--node", "safe2", "--only", "delete")
    assert result.status == 0 and "has 2" in result.out
    assert three.copy(file_id, "safe2") == "YN"


def test_stopped_runs_give_back_copies_that_they_have_not_deleted(three):
    ids = files(three, 20)
    running = paused(three, three.root("field") / "acq" / "dir", "unlinkat", "--only", "delete")
    wait_for(lambda: len(three.tree("field")) < 20, "the first unlink")
    the_run(running).send_signal(signal.SIGTERM)
    result = running.result()
    assert result.status == 1 and "stopped; finished work is recorded" in result.err
    left = len(three.tree("field"))
    assert 0 < left < 20
    assert sorted(states(three, ids)) == ["NN"] * (20 - left) + ["YN"] * left
    assert claims(three) == 0 and three.one("SELECT COUNT(*) FROM sync_attempt") == 0
    assert_settled(three, ids)


def test_a_worker_that_hangs_is_given_up_and_the_next_run_goes_on(sqlite_three):
    """Whether it can be killed or not, its work is unknown, so the copies stay suspect."""
    three = sqlite_three
    ids = files(three)
    three.configure(transfer={"pull_timeout_base": 1, "pull_bytes_per_second": 1_000_000_000})
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", f"--trace-path={three.root('field') / 'acq' / 'dir'}"]
    argv += ["-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_enter=6000000"]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(three.base / "here.toml")]
    argv += ["sync", "--only", "delete"]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "could not be deleted" in ended.stderr, ended
    assert "timed out" in ended.stderr or "abandoned" in ended.stderr, ended
    assert states(three, ids) == ["MN"] * 3 and claims(three) == 0
    assert three.one("SELECT DISTINCT blame FROM sync_attempt WHERE kind = 'delete'") == "worker"
    three.forget_attempts()
    assert_settled(three, ids)


# --- cancelled -----------------------------------------------------------------------------------------


def test_a_cancellation_after_the_claim_ends_as_missing(three):
    ids = files(three)
    running = paused(three, three.root("field") / "acq" / "dir", "unlinkat", "--only", "delete")
    wait_for(lambda: claims(three) == 3, "the claims")
    three.do(
        "UPDATE archivefilecopy SET wants_file = 'Y' WHERE node_id = ?", three.id("storagenode", "field")
    )
    assert running.result().status == 0
    assert states(three, ids) == ["NY"] * 3
    assert claims(three) == 0
    assert_nothing_lost(three)


# --- the storage is not there --------------------------------------------------------------------------


def test_on_a_disk_that_is_not_mounted_nothing_is_deleted(three):
    ids = files(three)
    aside = three.base / "aside"
    three.root("field").rename(aside)
    three.root("field").mkdir()
    assert three.sync().status == 0
    assert states(three, ids) == ["YN"] * 3 and list(three.root("field").iterdir()) == []
    (three.root("field") / MARKER).write_text("another\n")
    assert three.sync().status == 0
    assert states(three, ids) == ["YN"] * 3
    (three.root("field") / MARKER).unlink()
    three.root("field").rmdir()
    aside.rename(three.root("field"))
    assert_settled(three, ids)


@pytest.mark.parametrize("instead", ["an empty directory", "another node's", "nothing"])
def test_a_disk_unmounted_between_claim_and_unlink_keeps_its_copies(three, instead):
    """Opening the root takes a second, in which it is gone; not the first times, which come before the claim."""
    ids = files(three)
    root, aside = three.root("field"), three.base / "aside"
    running = paused(three, root, "openat", "--only", "delete", "--node", "field", first=12)
    wait_for(lambda: claims(three) == 3, "the claims")
    root.rename(aside)
    if instead != "nothing":
        root.mkdir()
    if instead == "another node's":
        (root / MARKER).write_text("another\n")
    result = running.result()
    assert result.status == 1 and "field" in result.err, result
    assert states(three, ids) == ["YN"] * 3 and claims(three) == 0
    assert not root.exists() or [path.name for path in root.iterdir()] in ([], [MARKER])
    if root.exists():
        (root / MARKER).unlink(missing_ok=True)
        root.rmdir()
    aside.rename(root)
    three.forget_attempts()
    assert_settled(three, ids)


def test_a_disk_unmounted_while_files_are_removed_is_worked_on_and_what_is_there_instead_is_not(three):
    ids = files(three)
    root, aside = three.root("field"), three.base / "aside"
    running = paused(three, root / "acq" / "dir", "unlinkat", "--only", "delete", "--node", "field")
    # As soon as strace sees the call, the root is open.
    wait_for(lambda: "unlinkat(" in said(three), "the first unlink")
    root.rename(aside)
    for i in range(3):
        three.put("field", f"acq/dir/{i}", b"of another disk")
    running.result()
    assert len(three.tree("field")) == 3
    assert not (aside / "acq").exists()
    assert states(three, ids) == ["NN"] * 3


# --- what stands there instead -------------------------------------------------------------------------


def test_irregular_objects_and_links_are_left_and_the_others_are_deleted(three):
    ids = {name: three.file(f"acq/{name}/f", None, "field", *SAFE) for name in ("a", "dir", "link", "fifo")}
    ids["parent"] = three.file("acq/parent/f", None, "field", *SAFE)
    release(three, "field")
    outside = three.base / "outside"
    outside.mkdir()
    for path in (outside / "f", outside / "g"):
        path.write_bytes(b"acq/parent/f")
    base = three.root("field") / "acq"
    for name in ("dir", "link", "fifo"):
        (base / name / "f").unlink()
    (base / "dir" / "f").mkdir()
    (base / "link" / "f").symlink_to(outside / "g")
    os.mkfifo(base / "fifo" / "f")
    (base / "parent" / "f").unlink()
    (base / "parent").rmdir()
    (base / "parent").symlink_to(outside)
    result = three.sync("--only", "delete")
    assert result.status == 1 and "symbolic link" in result.err and "not a regular file" in result.err
    assert {name: three.copy(file_id, "field") for name, file_id in ids.items()} == {
        "a": "NN",
        "dir": "XM",
        "link": "XM",
        "fifo": "XM",
        "parent": "YN",
    }
    assert {path.name for path in outside.iterdir()} == {"f", "g"}
    assert (base / "link" / "f").is_symlink() and (base / "parent").is_symlink()
    assert claims(three) == 0
    assert too_few(three) == []


PATHS = [
    ("..", "outside"),
    ("acq", "../../outside"),
    ("acq", "/etc/hostname"),
    ("/etc", "hostname"),
    ("", "f"),
    ("acq", ""),
    ("acq", "a//b"),
    (MARKER, "f"),
    (".alpenhorn", "run.lock"),
    (".alpenhorn.lock", ""),
    ("acq", "-rf"),
    ("acq", "with\nnewline"),
    ("acq", "ünï"),
    ("acq", "x" * 255),
]
FINE = ("-rf", "with\nnewline", "ünï", "x" * 255)


def test_paths_that_leave_the_root_are_refused_and_strange_names_are_not(three):
    outside = three.base / "outside"
    outside.write_bytes(b"bytes")
    before = (three.root("field") / MARKER).read_bytes()
    ids = {}
    for acq, name in PATHS:
        rows = three.all("SELECT id FROM archiveacq WHERE name = ?", acq)
        acq_id = rows[0][0] if rows else three.insert("archiveacq", name=acq)
        file_id = three.insert(
            "archivefile", acq_id=acq_id, name=name, size_b=5, md5sum="0" * 32, registered=WHEN
        )
        for node in ("field", *SAFE):
            three.set_copy(file_id, node, "YN" if node == "field" else "YY")
        ids[acq, name] = file_id
        if name in FINE:
            for node in ("field", *SAFE):
                os.utime(three.put(node, f"{acq}/{name}", b"bytes"), (WRITTEN, WRITTEN))
    result = three.sync("--only", "delete")
    assert result.status == 0 and "not a path below a root" in result.err and "correct the row" in result.err
    for (_, name), file_id in ids.items():
        assert three.copy(file_id, "field") == ("NN" if name in FINE else "YN"), name
    assert outside.exists() and (three.root("field") / MARKER).read_bytes() == before
    assert three.tree("field") == {}


def test_a_directory_that_cannot_be_written_fails_and_the_others_go_on(three):
    """chattr +i also prevents root from writing."""
    fixed = three.file("fixed/f", None, "field", *SAFE)
    ids = files(three)
    at = three.root("field") / "fixed"
    subprocess.run(["chattr", "+i", at], check=True)
    try:
        result = three.sync()
    finally:
        subprocess.run(["chattr", "-i", at], check=True)
    assert result.status == 1 and "fixed/f" in result.err and "could not be deleted" in result.err
    assert states(three, ids) == ["NN"] * 3 and three.copy(fixed, "field") == "YN"
    copy_id = three.one(
        "SELECT id FROM archivefilecopy WHERE file_id = ? AND node_id = ?",
        fixed,
        three.id("storagenode", "field"),
    )
    assert three.attempt(copy_id, "delete")[2] == 1 and claims(three) == 0
    assert three.sync().status == 0 and three.copy(fixed, "field") == "YN"
    three.forget_attempts()
    assert_settled(three, [*ids, fixed])


# --- room, on a disk of its own ------------------------------------------------------------------------


@contextmanager
def mounted(archive, node, options):
    if os.geteuid():
        pytest.fail("this test mounts a small file system: run it as root")
    at = archive.root(node)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(at)], check=True)
    try:
        (at / MARKER).write_text(f"{node}\n")
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def test_removable_copies_go_until_there_is_room_enough_and_no_further(sqlite_three):
    archive = sqlite_three
    with mounted(archive, "field", "size=40m"):
        content = os.urandom(2**20)
        ids = [archive.file(f"acq/{i}", content, "field", *SAFE) for i in range(20)]
        archive.do(
            "UPDATE archivefilecopy SET wants_file = 'M', size_b = ? WHERE node_id = ?",
            2**20,
            archive.id("storagenode", "field"),
        )
        archive.do("UPDATE storagenode SET min_avail_gb = ? WHERE name = 'field'", 24.5 / 1024)
        archive.synced("--only", "delete")
        # A little is taken by directories and the locks.
        left = states(archive, ids).count("YM")
        assert left in (14, 15)
        assert states(archive, ids) == ["NN"] * (20 - left) + ["YM"] * left
        archive.synced("--only", "delete")
        assert states(archive, ids).count("YM") == left
    assert too_few(archive) == []


# --- a copy that others pull from ----------------------------------------------------------------------


def test_a_copy_that_is_still_a_source_stays_until_the_pull_ends(three):
    """The pull waits in a substitute for rsync until the deletion could have happened."""
    three.node("dest", io_config='{"method": "rsync"}')
    file_id = three.file("acq/f", b"bytes" * 100, "field", *SAFE)
    request = three.request(file_id, "field", "dest")
    release(three, "field")
    gate, reached = three.base / "gate", three.base / "reached"
    os.mkfifo(gate)
    rsync = stand_in(three.base / "bin", "slow-rsync", f'touch {reached}; read < {gate}; exec rsync "$@"')
    three.configure(transfer={"rsync": str(rsync)})
    planned = three.run("-v", "sync", "--only", "delete", "--node", "field")
    assert planned.status == 0 and "a pending request will pull from it" in planned.out
    pulling = three.start("sync", "--only", "pull", "--node", "dest")
    wait_for(reached.exists, "the pull")
    during = three.run("-v", "sync", "--only", "delete", "--node", "field")
    assert during.status == 0 and "a pending request will pull from it" in during.out
    assert three.copy(file_id, "field") == "YN" and "acq/f" in three.tree("field")
    with gate.open("w") as opened:
        opened.write("go\n")
    assert pulling.result().status == 0
    assert three.state(request) == "done"
    three.synced("--only", "delete", "--node", "field")
    assert three.copy(file_id, "field") == "NN"
    assert_nothing_lost(three)


def test_a_run_that_pulls_from_a_released_copy_deletes_it_afterwards(three):
    three.node("dest")
    ids = three.files(50, "field", 100)
    three.requests(ids, "field", "dest")
    for node in SAFE:
        shutil.copytree(three.root("field") / "many", three.root(node) / "many")
        for file_id in ids:
            three.set_copy(file_id, node, "YY")
    release(three, "field")
    three.sync("--jobs", "2", "--only", "pull", "--only", "delete")
    assert three.pending() == 0 and len(three.tree("dest")) == 50
    assert states(three, ids) == ["NN"] * 50 and three.tree("field") == {}


def test_a_file_that_is_asked_for_in_the_nodes_own_group_stays(three):
    file_id = three.file("acq/f", None, "field", *SAFE)
    release(three, "field")
    three.do("UPDATE storagenode SET active = 0 WHERE name = 'safe3'")
    request = three.request(file_id, "safe3", "field")
    result = three.run("-v", "sync", "--only", "delete")
    assert result.status == 0 and "wants the file in this node's group" in result.out
    assert three.copy(file_id, "field") == "YN" and three.state(request) == "pending"


# --- nodes that are taken off meanwhile -----------------------------------------------------------------


def test_copies_on_a_node_deactivated_during_the_run_no_longer_count(three):
    """The pull waits in a stand-in for rsync, and the released copy for the pull; then a round begins that deletes."""
    three.node("dest", io_config='{"method": "rsync"}')
    file_id = three.file("acq/f", b"bytes" * 100, "field", "safe1", "safe2")
    request = three.request(file_id, "field", "dest")
    release(three, "field")
    gate, reached = three.base / "gate", three.base / "reached"
    os.mkfifo(gate)
    rsync = stand_in(three.base / "bin", "slow-rsync", f'touch {reached}; read < {gate}; exec rsync "$@"')
    three.configure(transfer={"rsync": str(rsync)})
    running = three.start("-v", "sync")
    wait_for(reached.exists, "the pull")
    assert three.run("node", "deactivate", "safe2").status == 0
    with gate.open("w") as opened:
        opened.write("go\n")
    result = running.result()
    assert result.status == 0 and three.state(request) == "done"
    assert "has 1" in result.out
    assert three.copy(file_id, "field") == "YN" and "acq/f" in three.tree("field")
    assert three.run("node", "activate", "safe2").status == 0
    assert three.sync().status == 0
    assert three.copy(file_id, "field") == "NN"
    assert_nothing_lost(three)


@pytest.mark.parametrize("change", ["active = 0", "archive = 0"])
def test_copies_on_a_node_deactivated_while_a_claim_waits_for_a_lock_do_not_count(
    mariadb_archive, mariadb, change
):
    """The run waits to lock the released copy; nodes that were read before the lock would be outdated."""
    three = filled(mariadb_archive)
    file_id = three.file("acq/f", None, "field", "safe1", "safe2")
    release(three, "field")
    watch = mariadb.connect()

    def waits():
        cursor = watch.cursor()
        cursor.execute("SHOW FULL PROCESSLIST")
        return [
            row for row in cursor.fetchall() if "archivefilecopy" in (row[7] or "") and "FOR UPDATE" in row[7]
        ]

    with closing(watch), closing(Index.open(three.url)) as other:
        with other.transaction():
            other.execute(
                "SELECT id FROM archivefilecopy WHERE file_id = ? FOR UPDATE", (file_id,)
            ).fetchall()
            running = three.start("-v", "sync", "--only", "delete")
            wait_for(waits, "the claim")
            three.do(f"UPDATE storagenode SET {change} WHERE name = 'safe2'")
        result = running.result()
    assert result.status == 0 and "has 1" in result.out
    assert three.copy(file_id, "field") == "YN" and "acq/f" in three.tree("field") and claims(three) == 0


# --- many at once --------------------------------------------------------------------------------------


def test_three_hosts_that_release_and_delete_at_once_leave_the_minimum(archive, long):
    """The mutants are in tests/record/test_deletions.py, where the hosts meet at the claim."""
    for number, node in enumerate(SAFE):
        archive.node(node, host=f"host{number}", archive=1)
        archive.configure(f"host{number}")
    for turn in range(6 if long else 3):
        ids = [archive.file(f"turn{turn}/{i}", None, *SAFE) for i in range(30)]
        release(archive, *SAFE)
        started = [archive.start("sync", host=f"host{number}") for number in range(3)]
        for running in started:
            result = running.result()
            assert result.status == 0, result
        for file_id in ids:
            left = sorted(archive.copy(file_id, node) for node in SAFE)
            assert left == ["NN", "YN", "YN"]
        assert_nothing_lost(archive)
        assert claims(archive) == 0
        archive.do("UPDATE archivefilecopy SET wants_file = 'Y' WHERE has_file = 'Y'")


def test_pulls_and_deletions_in_the_same_directories_do_not_disturb_each_other(three, long):
    """Directories appear and vanish under the workers all the time; the lock's own mutant is in tests/fs."""
    goes, comes = [], []
    for i in range(60):
        goes.append(three.file(f"acq/{i % 6}/goes{i}", None, "field", *SAFE))
        comes.append(three.file(f"acq/{i % 6}/comes{i}", None, *SAFE))
    for turn in range(6 if long else 4):
        release(three, "field")
        three.do("UPDATE archivefilecopyrequest SET completed = 1")
        three.requests(comes, "safe1", "field")
        result = three.sync("--jobs", "4", "--only", "pull", "--only", "delete")
        assert result.status == 0 and result.silent, result
        assert three.pending() == 0, turn
        assert states(three, comes) == ["YY"] * 60 and states(three, goes) == ["NN"] * 60
        assert_nothing_lost(three)
        goes, comes = comes, goes


# --- killed anywhere -----------------------------------------------------------------------------------


def kill_one(run, rng):
    """Kill the run or one of its workers; return whether one still existed."""
    try:
        workers = run.workers()
        victim = rng.choice([run.process.pid, *(worker.pid for worker in workers)])
        os.kill(victim, signal.SIGKILL)
    except (ProcessLookupError, psutil.Error):
        return False
    return True


@pytest.mark.kill
@pytest.mark.timeout(600)
def test_runs_that_are_killed_anywhere_leave_the_minimum_and_are_finished_by_the_next_one(three, kills):
    rng = random.Random(7)
    nodes = ("field", *SAFE)
    killed, turn = 0, 0
    while killed < kills:
        turn += 1
        ids = [three.file(f"turn{turn}/{i % 7}/{i}", os.urandom(500), *nodes) for i in range(200)]
        # Of every second file the copies on all archive nodes, of the others that on one and on the field node.
        release(three, *SAFE, where="AND has_file = 'Y' AND file_id % 2 = 0")
        release(three, "field", "safe1", where="AND has_file = 'Y' AND file_id % 2 = 1")
        for _ in range(6):
            run = three.start("sync", "--jobs", str(rng.choice([2, 3])))
            before = claims(three)
            while claims(three) == before and not ended_within(run.process, 0):
                pass
            while not ended_within(run.process, rng.uniform(0, 0.04)):
                killed += kill_one(run, rng)
                if rng.random() < 0.5 and not ended_within(run.process, 0):
                    run.kill()
                    killed += 1
            assert "Traceback" not in "".join(run.said()), run.said()
            run.wait_until_nothing_is_left()
            assert_nothing_lost(three)
            # A copy that waits is read meanwhile, and found missing, which leaves its directory.
            three.forget_attempts()
        result = three.sync()
        assert result.status == 0, result
        assert claims(three) == 0
        for file_id in ids:
            found = [three.copy(file_id, node) for node in nodes]
            if file_id % 2:
                assert found == ["NN", "NN", "YY", "YY"]
            else:
                assert found[0] == "YY" and sorted(found[1:]) == ["NN", "YN", "YN"]
        for node in nodes:
            good = three.one(
                "SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y' AND node_id = ?",
                three.id("storagenode", node),
            )
            assert len(three.tree(node)) == good and (three.root(node) / MARKER).exists()
            assert directories(three, node) == {
                str(parent)
                for path in three.tree(node)
                for parent in Path(path).parents
                if str(parent) != "."
            }
        assert_nothing_lost(three)
        three.do("UPDATE archivefilecopy SET wants_file = 'Y' WHERE has_file = 'Y'")


def test_the_check_of_the_invariant_catches_a_loss(sqlite_archive):
    archive = sqlite_archive
    for node in SAFE[:2]:
        archive.node(node, archive=1)
    file_id = archive.file("acq/f", b"bytes", *SAFE[:2])
    assert too_few(archive) == []
    at = archive.root("safe1") / "acq" / "f"
    at.write_bytes(b"bites")
    assert too_few(archive) == [file_id]
    at.unlink()
    assert too_few(archive) == [file_id]
    at.write_bytes(b"bytes")
    assert too_few(archive) == []
    archive.set_copy(file_id, "safe2", "MN")
    assert too_few(archive) == [file_id]
