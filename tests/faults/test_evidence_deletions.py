"""Deletions need evidence: faults by which the index alone once caused the loss of the last copies."""

from __future__ import annotations

import datetime
import os
import pickle
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.config import load
from alpenhorn.coordinator.report import Asked, Report, Unwatched
from alpenhorn.coordinator.sync import sync
from alpenhorn.index.connection import Index
from alpenhorn.model.deletions import DeleteJob, DeleteOutcome, DeleteResult, Evidence
from alpenhorn.model.tasks import Reporter, Task, TaskKind, Verdict
from alpenhorn.record.claims import LEASE, held_claims, renew
from alpenhorn.record.run import begin
from alpenhorn.scan import topology
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.worker import Worker
from tests.fixtures.archive import WHEN, Archive, stand_in, wait_for
from tests.fixtures.claims import claim, wanted_onto
from tests.fixtures.seen import mark_seen

pytestmark = pytest.mark.cluster

SAFE = ("safe1", "safe2")
LONG_AGO = datetime.datetime(2026, 1, 2, 3, 4, 5)


@pytest.fixture
def three(archive: Archive) -> Archive:
    """A field node, and two archive nodes on another host, which has seen them."""
    archive.node("field")
    for name in SAFE:
        archive.node(name, host="there", archive=1)
    return archive


def released(archive: Archive, path: str = "acq/f", *others: str) -> int:
    file_id = archive.file(path, None, "field", *(others or SAFE))
    archive.set_copy(file_id, "field", "YN")
    return file_id


def told_later(archive: Archive, *arguments: str) -> str:
    """Return the report of a run that deletes nothing, with `-v`."""
    result = archive.run("-v", "sync", "--only", "delete", *arguments)
    assert result.status == 0, result
    return result.out


# --- fault 1: both archive disks are unplugged ---------------------------------------------------------


def test_fault_1_copies_on_disks_left_out_on_their_host_allow_no_deletion(three: Archive) -> None:
    file_id = released(three)
    mark_seen(three.index, three.id("storagenode", "safe2"), wrong=LONG_AGO, why="no marker")
    told = told_later(three)
    assert "needs 2 other good archive copies; has 1; does not count: safe2: left out since" in told
    assert "2026-01-02 03:04 UTC: no marker" in told
    assert three.copy(file_id, "field") == "YN" and "acq/f" in three.tree("field")
    plan = three.run("plan", "--only", "delete").out
    assert "does not count: safe2: left out since" in plan
    mark_seen(three.index, three.id("storagenode", "safe2"))
    three.sync("--only", "delete")
    assert three.copy(file_id, "field") == "NN" and three.tree("field") == {}


def test_fault_1_copies_on_disks_not_seen_for_long_allow_no_deletion(three: Archive) -> None:
    file_id = released(three)
    mark_seen(three.index, three.id("storagenode", "safe1"), seen=LONG_AGO)
    told = told_later(three)
    assert "safe1: not seen since 2026-01-02 03:04 UTC (run `alpenhorn sync` on host there)" in told
    assert three.copy(file_id, "field") == "YN"
    three.configure(sync={"keeper_seen_within": "9999d"})
    three.sync("--only", "delete")
    assert three.copy(file_id, "field") == "NN"


def test_fault_1_copies_on_nodes_that_no_run_has_ever_seen_count_only_when_that_is_configured(
    three: Archive,
) -> None:
    file_id = released(three)
    three.do("DELETE FROM sync_medium")
    assert "safe1: never seen by a run" in told_later(three)
    assert three.copy(file_id, "field") == "YN"
    three.configure(sync={"trust_unseen": True})
    three.sync("--only", "delete")
    assert three.copy(file_id, "field") == "NN"


@pytest.mark.parametrize("autoclean", [False, True])
def test_fault_1_unplugged_archive_disks_of_this_host_allow_no_deletion(
    archive: Archive, autoclean: bool
) -> None:
    """The mount points are empty and the nodes active; copies are released by hand or by autoclean."""
    archive.node("field")
    for name in SAFE:
        archive.node(name, archive=1)
    file_id = archive.file("acq/f", None, "field", *SAFE)
    archive.set_copy(file_id, "field", "YN")
    if autoclean:
        archive.insert(
            "storagetransferaction",
            node_from_id=archive.id("storagenode", "field"),
            group_to_id=archive.id("storagegroup", "safe1"),
            autosync=0,
            autoclean=1,
        )
    for name in SAFE:
        archive.root(name).rename(archive.base / f"unplugged-{name}")
        archive.root(name).mkdir()
    archive.sync()
    assert archive.copy(file_id, "field") == "YN" and "acq/f" in archive.tree("field")
    assert all(list(archive.root(name).iterdir()) == [] for name in SAFE)


def test_an_index_older_than_the_disks_allows_no_deletion(three: Archive) -> None:
    file_id = released(three)
    three.insert("sync_index", name="restored", value="safe1 is ahead of the index")
    told = told_later(three)
    assert "safe1 is ahead of the index" in told and "run: alpenhorn reconcile" in told
    assert three.copy(file_id, "field") == "YN"


# --- fault 7: decided early, done late -----------------------------------------------------------------


def test_fault_7_what_changes_while_deletions_queue_behind_a_long_pull_is_honoured(three: Archive) -> None:
    """A single worker deletes the first half, waits in a pull, and then comes to the second half."""
    three.node("source")
    three.node("dest", io_config='{"method": "rsync"}')
    three.request(three.file("pull/f", b"bytes" * 100, "source"), "source", "dest")
    ids = three.files(1200, "field")
    with three.index.transaction():
        three.index.executemany(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
            f" VALUES (?, ?, 'Y', 'Y', 1, 4096, '{WHEN}')",
            [(file_id, three.id("storagenode", node)) for file_id in ids for node in SAFE],
        )
        field = three.id("storagenode", "field")
        three.index.execute("UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = ?", (field,))
    gate, reached = three.base / "gate", three.base / "reached"
    os.mkfifo(gate)
    rsync = stand_in(three.base / "bin", "slow-rsync", f'touch {reached}; read < {gate}; exec rsync "$@"')
    three.configure(sync={"jobs": 1}, transfer={"rsync": str(rsync)})
    running = three.start("-v", "sync", "--allow-mass-delete", "--only", "delete", "--only", "pull")
    wait_for(reached.exists, "the pull")
    wait_for(
        lambda: three.one("SELECT COUNT(*) FROM sync_claim WHERE kind = 'delete'") == 0,
        "the record of the first half",
    )
    waiting = [
        row[0]
        for row in three.all(
            "SELECT file_id FROM archivefilecopy WHERE node_id = ? AND has_file = 'Y' ORDER BY id", field
        )
    ]
    assert len(waiting) >= 500
    pinned, cancelled, corrupt = waiting[:3]
    three.insert("sync_pin", file_id=pinned, node_id=0, pinned=WHEN)
    three.set_copy(cancelled, "field", "YY")
    three.set_copy(corrupt, "safe1", "XY")
    with gate.open("w") as opened:
        opened.write("go\n")
    result = running.result()
    assert "has 1" in result.out, result
    assert three.copy(cancelled, "field") == "YY"
    assert [three.copy(file_id, "field") for file_id in (pinned, corrupt)] == ["YN"] * 2
    assert three.one("SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file = 'N'", field) == (
        len(ids) - 3
    )
    assert len(three.tree("field")) == 3


class Seeing(Worker):
    """Records the deletions that it gets, and returns given answers instead of carrying them out."""

    def __init__(self, at: Path, answer: Any) -> None:
        super().__init__(load(None, {"HOME": "/"}).transfer)
        self.at = at
        self.answer = answer

    def __call__(self, task: Task, report: Reporter) -> object:
        if task.kind is not TaskKind.DELETE:
            return super().__call__(task, report)
        assert isinstance(task.job, DeleteJob)
        with self.at.open("ab") as file:
            pickle.dump(task.job, file)
        return self.answer(task.job)


def run(
    archive: Archive, answer: Any, workers: int = 2, **sync_settings: Any
) -> tuple[Report, list[DeleteJob]]:
    """Run in this process, and return the deletions that its workers got."""
    config = load(archive.configure(sync=sync_settings), {"HOME": str(archive.base)})
    at = archive.base / "jobs"
    at.unlink(missing_ok=True)
    worker = Seeing(at, answer)

    def clock() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

    with Pool(workers, worker, before_fork=archive.index.disconnect) as pool:
        report = sync(archive.index, pool, config, Asked(only=("delete",)), Unwatched(), clock, lambda: False)
    jobs = []
    if at.exists():
        with at.open("rb") as file:
            while file.peek(1):
                jobs.append(pickle.load(file))
    return report, jobs


def test_fault_7_a_job_says_when_its_claims_are_too_old_and_which_keepers_of_this_host_were_counted(
    three: Archive,
) -> None:
    three.node("vault", archive=1)
    three.node("dusty", host="there", archive=1)
    released(three, "acq/f", *SAFE, "vault", "dusty")
    mark_seen(three.index, three.id("storagenode", "dusty"), seen=LONG_AGO)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    _, (job,) = run(three, lambda job: DeleteOutcome())
    (file,) = job.files
    vault = three.id("storagenode", "vault")
    assert [node.id for node in job.keepers] == [vault] == list(file.keepers)
    assert (file.spare, file.size_b, file.length) == (1, 5, 5)
    assert job.expires is not None
    assert (
        before
        < job.expires - time.clock_gettime(time.CLOCK_BOOTTIME) + before
        < before + (LEASE.total_seconds() * 0.7)
    )


def test_fault_7_deletions_with_too_old_claims_are_decided_again(three: Archive) -> None:
    ids = [released(three, f"acq/{name}") for name in "ab"]
    at = three.base / "once"

    def answer(job: DeleteJob) -> DeleteOutcome:
        if at.exists():
            return DeleteOutcome(tuple(DeleteResult(file, Verdict.DELETED) for file in job.files))
        at.touch()
        return DeleteOutcome(expired=True)

    report, jobs = run(three, answer)
    assert report.exit_status == 0
    assert [[file.file_id for file in job.files] for job in jobs] == [ids, ids]
    assert [three.copy(file_id, "field") for file_id in ids] == ["NN", "NN"]
    assert three.claims() == 0


def test_no_more_are_deleted_than_the_brake_counted_although_more_became_safe(three: Archive) -> None:
    """Of 100 released copies, 60 are safe to delete when the run begins, and all at the second half."""
    ids = [released(three, f"acq/{number}", "safe1") for number in range(100)]
    field, second = three.id("storagenode", "field"), three.id("storagenode", "safe2")

    def good(*file_ids: int) -> None:
        with closing(Index.open(three.url)) as index:
            index.executemany(
                "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
                f" VALUES (?, ?, 'Y', 'Y', 1, 0, '{WHEN}')",
                [(file_id, second) for file_id in file_ids],
            )

    good(*ids[:60])

    def answer(job: DeleteJob) -> DeleteOutcome:
        if job.files[0].file_id == ids[0]:
            good(*ids[60:])
        return DeleteOutcome(tuple(DeleteResult(file, Verdict.DELETED) for file in job.files))

    report, jobs = run(three, answer, workers=1, delete_limit=60)
    assert [len(job.files) for job in jobs] == [50, 10]
    gone = three.one("SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file = 'N'", field)
    assert gone == 60
    assert "nothing is deleted on field" in "".join(report.failures.lines())


def test_a_copy_kept_because_of_wrong_keepers_is_reported_and_the_keepers_become_suspect(
    three: Archive,
) -> None:
    three.node("vault", archive=1)
    file_id = released(three, "acq/f", "safe1", "vault")
    vault = three.id("storagenode", "vault")

    def answer(job: DeleteJob) -> DeleteOutcome:
        (file,) = job.files
        result = DeleteResult(
            file, Verdict.KEPT, error="vault: it is not there", wrong=((vault, "not there"),)
        )
        return DeleteOutcome((result,))

    report, jobs = run(three, answer)
    assert len(jobs) == 1 and jobs[0].files[0].spare == 0
    assert report.exit_status == 1
    (line,) = report.failures.lines()
    assert "were kept" in line and "acq/f: vault: it is not there" in line
    assert (three.copy(file_id, "field"), three.copy(file_id, "vault")) == ("YN", "MY")
    assert three.events("suspect") == [(file_id, "vault")]
    assert three.one("SELECT COUNT(*) FROM sync_attempt WHERE kind = 'delete'") == 1
    assert three.claims() == 0


# --- fault 9: one thing counted twice ------------------------------------------------------------------


def test_fault_9_two_nodes_on_one_medium_are_one_copy(three: Archive) -> None:
    file_id = released(three)
    for name in SAFE:
        mark_seen(three.index, three.id("storagenode", name), medium="m" * 32)
    assert "has 1; does not count: safe2: on the same medium as safe1" in told_later(three)
    assert three.copy(file_id, "field") == "YN"


def test_fault_9_a_node_renamed_and_another_created_on_its_root_are_one_copy(archive: Archive) -> None:
    """A deletion on one node also removes the file from the other."""
    archive.node("old", archive=1)
    archive.node("new", host="there", archive=1)
    archive.node("safe1", host="there", archive=1)
    file_id = archive.file("acq/f", None, "old", "new", "safe1")
    for name in ("old", "new"):
        root = archive.root(name) if name == "old" else None
        mark_seen(archive.index, archive.id("storagenode", name), root, medium="c" * 32)
    archive.set_copy(file_id, "old", "YN")
    archive.sync("--only", "delete")
    assert archive.copy(file_id, "old") == "YN" and "acq/f" in archive.tree("old")


def test_fault_9_copies_that_may_share_their_bytes_do_not_count(three: Archive) -> None:
    file_id = released(three)
    mark_seen(three.index, three.id("storagenode", "safe1"), separate=0)
    assert "safe1: its copies may share their bytes" in told_later(three)
    assert three.copy(file_id, "field") == "YN"


@pytest.mark.parametrize("node", ["safe1", "field"])
def test_fault_9_a_duplicate_copy_row_counts_once(three: Archive, node: str) -> None:
    """Without the unique index, the second row of the deleted copy would stay and count."""
    file_id = released(three, "acq/f", "safe1", *(["safe2"] if node == "field" else []))
    if three.index.dialect.in_a_file:
        three.do("DROP INDEX archivefilecopy_file_id_node_id")
    else:
        three.do("CREATE INDEX by_file ON archivefilecopy (file_id)")
        three.do("DROP INDEX archivefilecopy_file_id_node_id ON archivefilecopy")
    three.insert(
        "archivefilecopy",
        file_id=file_id,
        node_id=three.id("storagenode", node),
        has_file="Y",
        wants_file="Y",
        ready=1,
        size_b=4096,
        last_update=WHEN,
    )
    result = three.run("-v", "sync", "--only", "delete")
    assert "acq/f" in three.tree("field")
    assert ("more than one row" if node == "field" else "has 1 (") in result.out + result.err


# --- fault 17: a lease that ran out --------------------------------------------------------------------


def test_fault_17_a_suspended_run_loses_claims_that_another_took_over(archive: Archive) -> None:
    """It continues, renews its leases and records its work, but must not complete the pull a second time."""
    archive.node("field")
    archive.node("dest")
    file_id = archive.file("acq/f", None, "field")
    request = archive.request(file_id, "field", "dest")
    node, source = topology.load(archive.index).named(["dest", "field"])
    group = node.group_id
    wanted = [wanted_onto(node, source, request, file_id)]

    def clock() -> datetime.datetime:
        return LONG_AGO

    stood, other = (begin(archive.index, host, ["dest"], clock) for host in ("here", "there"))
    fences = {file_id: claim(archive.index, stood, wanted)[request]}
    with archive.index.transaction():
        assert held_claims(archive.index, stood, "pull", group, fences) == {file_id}
    archive.do("UPDATE sync_claim SET expires = ?", archive.index.now() - datetime.timedelta(seconds=1))
    taken = claim(archive.index, other, wanted)
    assert taken[request] > fences[file_id]
    renew(archive.index, stood)
    with archive.index.transaction():
        assert held_claims(archive.index, stood, "pull", group, fences) == set()
        assert held_claims(archive.index, other, "pull", group, {file_id: taken[request]}) == {file_id}


def test_fault_17_deletions_of_a_suspended_run_are_recorded_only_with_a_valid_claim(
    three: Archive,
) -> None:
    """Another run has the claims by the time it continues; removed files are recorded nevertheless."""
    ids = [released(three, f"acq/{name}") for name in "abc"]

    def answer(job: DeleteJob) -> DeleteOutcome:
        with closing(Index.open(three.url)) as index:
            index.execute("UPDATE sync_claim SET run_id = 4711, fence = fence + 1")
        deleted, failed, _ = job.files
        return DeleteOutcome(
            (DeleteResult(deleted, Verdict.DELETED), DeleteResult(failed, Verdict.FAILED, error="e"))
        )

    run(three, answer)
    assert [three.copy(file_id, "field") for file_id in ids] == ["NN", "MN", "MN"]
    assert three.one("SELECT COUNT(*) FROM sync_claim WHERE run_id = 4711") == 3
    assert three.one("SELECT COUNT(*) FROM sync_attempt") == 0


def test_the_evidence_of_a_run_is_what_is_configured() -> None:
    from alpenhorn.coordinator.deletable import evidence

    sync = load(None, {"HOME": "/"}).sync
    assert evidence(sync, {}) == Evidence(2, 7 * 86_400.0, False, {})
    changed = sync._replace(archive_copy_count=3, keeper_seen_within=5.0, trust_unseen=True)
    assert evidence(changed, {1: "gone"}) == Evidence(3, 5.0, True, {1: "gone"})
