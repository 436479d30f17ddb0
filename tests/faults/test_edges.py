"""A copy and its rule actions are recorded together: runs with rules, killed anywhere."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.fixtures.archive import ended_within

ALPENHORN = ["-m", "alpenhorn"]
LATE = [os.path.join(os.path.dirname(__file__), "late_edges.py")]

# Good wanted copies on the edge's node that neither the group has nor anybody requested there; and wanted
# copies on the edge's node although the group keeps one.
UNREQUESTED = """
    SELECT n.name, c.file_id FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id
    JOIN storagetransferaction t ON t.node_from_id = n.id AND t.autosync = 1
    WHERE c.has_file = 'Y' AND c.wants_file <> 'N' AND c.file_id NOT IN (
        SELECT d.file_id FROM archivefilecopy d JOIN storagenode m ON m.id = d.node_id
        WHERE m.group_id = t.group_to_id AND d.has_file = 'Y')
    AND c.file_id NOT IN (SELECT r.file_id FROM archivefilecopyrequest r
        WHERE r.group_to_id = t.group_to_id AND r.completed = 0 AND r.cancelled = 0)
"""
UNRELEASED = """
    SELECT n.name, c.file_id FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id
    JOIN storagetransferaction t ON t.node_from_id = n.id AND t.autoclean = 1
    WHERE c.wants_file <> 'N' AND c.file_id IN (
        SELECT d.file_id FROM archivefilecopy d JOIN storagenode m ON m.id = d.node_id
        WHERE m.group_id = t.group_to_id AND d.has_file = 'Y' AND d.wants_file <> 'N')
"""


def chained(archive):
    """Files on field are requested into near and from there into far, which releases them on field."""
    archive.node("field")
    archive.node("near", archive=1)
    archive.node("far", archive=1)
    for node, group, action in (
        ("field", "near", "autosync"),
        ("near", "far", "autosync"),
        ("field", "far", "autoclean"),
    ):
        archive.insert(
            "storagetransferaction",
            node_from_id=archive.id("storagenode", node),
            group_to_id=archive.id("storagegroup", group),
            autosync=int(action == "autosync"),
            autoclean=int(action == "autoclean"),
        )


def start_over(archive, number):
    """Put `number` new files on field, and remove everything of an earlier round."""
    for table in (
        "archivefilecopyrequest",
        "archivefileimportrequest",
        "archivefilecopy",
        "archivefile",
        "archiveacq",
        "sync_claim",
        "sync_attempt",
    ):
        archive.do(f"DELETE FROM {table}")
    for node in ("field", "near", "far"):
        shutil.rmtree(archive.root(node) / "acq", ignore_errors=True)
    for i in range(number):
        archive.put("field", f"acq/{i // 50}/{i}", f"bytes of {i} ".encode() * 50)
    result = archive.run("node", "scan", "field", "--register-new")
    assert result.status == 0, result


def broken(archive):
    """Return violations of what must hold whenever a run has ended."""
    return archive.all(UNREQUESTED) + archive.all(UNRELEASED)


def finished(archive, number):
    """Run once more, and check that everything is done."""
    archive.forget_attempts()
    result = archive.sync()
    assert result.status == 0, result
    assert len(archive.tree("near")) == len(archive.tree("far")) == number and archive.tree("field") == {}
    assert archive.pending() == 0 and archive.claims() == 0 and archive.violations() == []
    assert broken(archive) == []
    assert archive.run("rules", "check").status == 0


@pytest.mark.kill
@pytest.mark.timeout(600)
def test_runs_killed_anywhere_leave_no_copy_without_its_rule_actions(archive, kills):
    chained(archive)
    rng = random.Random(7)
    start_over(archive, 400)
    started = time.monotonic()
    archive.synced()
    longest = time.monotonic() - started
    start_over(archive, 400)
    killed = 0
    while killed < kills:
        run = archive.start("sync")
        if not ended_within(run.process, rng.uniform(0, longest)):
            run.kill()
            killed += 1
        run.wait_until_nothing_is_left()
        assert broken(archive) == [] and archive.violations() == []
        left = archive.one("SELECT COUNT(*) FROM archivefileimportrequest WHERE completed = 0")
        if not left and not archive.pending():
            finished(archive, 400)
            start_over(archive, 400)
        archive.forget_attempts()
    finished(archive, 400)


def flushes(archive, program, *inject):
    """Run the program; how often it flushed its index, and its status."""
    trace = archive.base / "trace"
    argv = ["strace", "-qq", "-o", str(trace), "-e", "trace=fdatasync,fsync", *inject]
    argv += [sys.executable, *program, "-c", str(archive.configure()), "sync"]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in ended.stderr, ended
    return trace.read_text().count("sync("), ended.returncode


def sweep(archive, program, every):
    """Kill runs of the program as they are about to flush their index, each a number of times later than the one
    before; yields what was broken after each."""
    chained(archive)
    archive.synced()  # keeps what only the first of some runs keeps, such as sums of copies
    start_over(archive, 10)
    times, status = flushes(archive, program)
    assert status == 0 and times > 5
    for number in range(every, times + 1, every):
        start_over(archive, 10)
        _, status = flushes(archive, program, "-e", f"inject=fdatasync,fsync:signal=KILL:when={number}")
        if number > times - 3 and status == 0:  # what is recorded together is not the same in each run
            return
        assert status == -signal.SIGKILL
        found = broken(archive)
        yield found
        assert archive.violations() == []
        if found:
            archive.sync()  # so that each run of the program follows a complete one
        else:
            finished(archive, 10)


@pytest.mark.kill
@pytest.mark.timeout(600)
def test_no_commit_of_a_run_leaves_a_copy_without_its_rule_actions(sqlite_archive, long):
    found = list(sweep(sqlite_archive, ALPENHORN, every=1 if long else 3))
    assert len(found) >= 4 and not any(found)


@pytest.mark.kill
@pytest.mark.timeout(600)
def test_the_test_catches_a_program_that_records_them_separately(sqlite_archive):
    nodes = set()
    for found in sweep(sqlite_archive, LATE, every=1):
        nodes |= {node for node, _ in found}
        if nodes == {"field", "near"}:
            return
    pytest.fail(f"caught on {nodes}")
