"""Whole runs with a Dask cluster, whose workers see the same storage, or do not."""

from __future__ import annotations

import random
import re
import shutil
import signal
import socket
import time
from contextlib import suppress

import psutil
import pytest

from alpenhorn.coordinator.machines import AGAIN
from alpenhorn.fs.run_lock import RUN_LOCK
from alpenhorn.fs.tree_lock import LOCK_NAME
from alpenhorn.model.cluster import SILENCE
from alpenhorn.reasons import Code
from alpenhorn.workers.cluster_link import CONNECT_SECONDS, IDLE_SECONDS
from tests.fixtures.archive import clock, wait_for
from tests.fixtures.dask import DaskCluster, dask_cluster
from tests.fixtures.namespaces import FAR, NEAR, link

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]

IN_NAMESPACE = ("unshare", "--mount", "sh", "-ec")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    with dask_cluster(tmp_path_factory.mktemp("cluster") / "dask") as started:
        yield started


@pytest.fixture
def cluster(scheduler):
    """A cluster without workers, which are ended after the test."""
    yield scheduler
    scheduler.end_workers()


@pytest.fixture
def two(archive, cluster, tmp_path):
    """Two archive nodes, and a host that uses the cluster."""
    for name in ("from", "disk"):
        archive.node(name, archive=1)
    configure(archive, cluster.address)
    return archive


def configure(archive, address, transfer=None, **sync):
    sync = {"jobs": 1, "scheduler": address, "import_settle": 0, "archive_copy_count": 2} | sync
    archive.configure(
        sync=sync, transfer=transfer or {}, log={"level": "debug", "file": str(archive.base / "log")}
    )


def on_machines(archive):
    """Return (kind, node, address) of the jobs that were given to machines."""
    log = (archive.base / "log").read_text() if (archive.base / "log").exists() else ""
    return re.findall(r"a (\w+) job on node (\w+) goes to machine (\S+)", log)


def writes(process):
    """Return whether a process has a file in the directory of a pull open."""
    with suppress(psutil.Error):
        return any("/.alpenhorn/run-" in file.path for file in process.open_files())
    return False


def test_all_kinds_of_work_are_done_on_a_machine(archive, cluster):
    for name in ("from", "disk", "safe", "spare"):
        archive.node(name, archive=1)
    configure(archive, cluster.address)
    machine = cluster.add()
    archive.do("UPDATE storagenode SET auto_import = 1 WHERE name = 'from'")
    for number in range(30):
        archive.put("from", f"new/{number}", b"content of %d" % number)
    archive.requests(archive.files(300, "from", 1000), "from", "disk")
    suspect = archive.file("acq/suspect", None, "disk")
    archive.set_copy(suspect, "disk", "MY")
    released = archive.file("acq/released", None, "disk", "from", "safe")
    archive.set_copy(released, "disk", "YN")
    archive.synced()
    done = on_machines(archive)
    assert {kind for kind, _, _ in done} == {"import", "pull", "check"}
    assert {address for _, _, address in done} == {machine.address}
    assert archive.pending() == 0 and archive.copy(suspect, "disk") == "YY"
    assert archive.copy(released, "disk") == "NN" and not (archive.root("disk") / "acq/released").exists()
    assert archive.one("SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y'") == 300 * 2 + 30 + 1 + 2
    assert archive.violations() == [] and archive.claims() == 0
    assert archive.stray("disk") == [] and machine.jobs() == []
    archive.synced()


def test_machines_fetch_files_of_other_hosts(archive, cluster, sshd):
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("safe", archive=1)
    configure(archive, cluster.address, transfer={"ssh": sshd.ssh})
    machine = cluster.add()
    ids = [*archive.files(200, "far", 3000), archive.file("acq/big", b"%7d" % 1 * 2**21, "far")]
    archive.requests(ids, "far", "safe")
    archive.synced()
    assert {("pull", "safe", machine.address)} == set(on_machines(archive))
    assert archive.tree("safe") == archive.tree("far")
    assert archive.pending() == 0 and archive.violations() == [] and archive.stray("safe") == []


def test_machines_that_prove_too_little_are_left_out_with_the_reason(two, cluster, tmp_path):
    disk = two.root("disk")
    for name in (LOCK_NAME, RUN_LOCK):
        (disk / name).parent.mkdir(exist_ok=True)
        (disk / name).touch()
    shutil.copytree(disk, tmp_path / "copy")
    (tmp_path / "other.lock").touch()
    cases = {
        "and version 0.0.1 of alpenhorn": {"preload": "import alpenhorn\nalpenhorn.__version__ = '0.0.1'\n"},
        "not the same storage": {
            "prefix": (*IN_NAMESPACE, f'mount --bind {tmp_path}/copy {disk}; exec "$@"', "sh")
        },
        "is not the same storage there": {
            "prefix": (*IN_NAMESPACE, f'mount -t tmpfs none {disk}; exec "$@"', "sh")
        },
        "its clock differs from that of this host by 3": {"environ": clock("+1h")},
        "does not exclude it": {
            "prefix": (
                *IN_NAMESPACE,
                f'mount --bind {tmp_path}/other.lock {disk}/{LOCK_NAME}; exec "$@"',
                "sh",
            )
        },
        "a lock on": {
            "prefix": (
                *IN_NAMESPACE,
                f'mount --bind {tmp_path}/other.lock {disk}/{RUN_LOCK}; exec "$@"',
                "sh",
            )
        },
    }
    machines = {text: cluster.add(**how) for text, how in cases.items()}
    good = cluster.add()
    two.requests(two.files(20, "from", 1000), "from", "disk")
    result = two.sync("--only", "pull")
    assert result.status == 0, result
    lines = result.err.splitlines()
    for text, machine in machines.items():
        (line,) = [one for one in lines if machine.address in one and "node disk" in one]
        assert text in line, (text, line)
    assert not any(good.address in one for one in lines)
    assert {address for _, _, address in on_machines(two)} == {good.address}
    assert two.pending() == 0 and two.violations() == []


def test_without_a_scheduler_this_host_does_all_and_says_so_once(two, tmp_path):
    unused = DaskCluster(tmp_path)
    configure(two, unused.address)
    two.requests(two.files(20, "from", 1000), "from", "disk")
    result = two.sync()
    assert result.status == 0 and two.pending() == 0, result
    (line,) = result.err.splitlines()
    assert (
        unused.address in line and "this host does all work itself" in line and "Connect call failed" in line
    )
    assert two.sync().silent, "an idle run asked the scheduler"


def test_a_scheduler_that_hangs_delays_neither_the_work_nor_the_end_for_long(two):
    """It accepts the connection and never answers, like a stopped process."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        configure(two, address, jobs=2)
        two.requests(two.files(20, "from", 1000), "from", "disk")
        result = two.sync()
    assert result.status == 0 and two.pending() == 0, result
    (line,) = result.err.splitlines()
    waited = re.search(rf"{address} cannot be used: TimeoutError: no answer within (\d+) s", line)
    # A run that still had work would have waited longer: its own work had ended before.
    assert waited and IDLE_SECONDS <= int(waited[1]) < CONNECT_SECONDS


def test_the_work_begins_before_a_scheduler_has_answered(two, cluster):
    """A scheduler that is stopped until all work is done."""
    configure(two, cluster.address, jobs=2)
    two.requests(two.files(20, "from", 1000), "from", "disk")
    cluster.scheduler.process.send_signal(signal.SIGSTOP)
    try:
        running = two.start("sync")
        wait_for(lambda: two.pending() == 0, "the work")
    finally:
        cluster.scheduler.process.send_signal(signal.SIGCONT)
    assert running.result().status == 0 and on_machines(two) == []


@pytest.mark.slow
def test_a_machine_that_joins_during_a_run_is_used_by_it(archive, cluster, sshd, tmp_path):
    """The first session with the other host begins only when the cluster is due to be looked at again."""
    script = tmp_path / "waits"
    script.write_text(
        f'#!/bin/sh\ntouch {tmp_path}/began\nuntil [ -e {tmp_path}/go ]; do sleep 0.1; done\nexec ssh "$@"\n'
    )
    script.chmod(0o755)
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("from", archive=1)
    archive.node("safe", archive=1)
    configure(archive, cluster.address, transfer={"ssh": [str(script), *sshd.ssh[1:]]})
    archive.requests([archive.file("acq/first", b"first", "far")], "far", "safe")
    archive.requests(archive.files(3000, "from", 10), "from", "safe")
    running = archive.start("sync")
    wait_for((tmp_path / "began").exists, "a session, after the scheduler was asked")
    machine = cluster.add()
    time.sleep(AGAIN)
    (tmp_path / "go").touch()
    result = running.result()
    assert result.status == 0 and result.err == "", result
    assert {address for _, _, address in on_machines(archive)} == {machine.address}
    assert archive.pending() == 0 and archive.violations() == []


def test_a_scheduler_that_is_started_again_costs_a_run_its_machines_only(two, cluster):
    cluster.add()
    ids = [two.file(f"big/{number}", b"%d" % number * 2**26, "from") for number in range(4)]
    two.requests(ids, "from", "disk")
    running = two.start("sync")
    wait_for(lambda: on_machines(two), "a job on the machine")
    cluster.scheduler.end()
    cluster.start_scheduler()
    result = running.result()
    assert result.status in (0, 1), result
    assert two.violations() == [] and two.claims() == 0
    two.forget_attempts()
    cluster.add()
    wait_for(lambda: two.sync().status == 0, "a run after the last job has ended", 2 * SILENCE)
    assert two.pending() == 0 and two.violations() == []


@pytest.mark.slow
def test_a_machine_that_is_cut_off_is_lost_and_its_job_has_ended_before_the_run(archive, tmp_path):
    """The Dask worker is behind a link that is cut; no packet tells either side."""
    for name in ("from", "disk"):
        archive.node(name, archive=1)
    with link() as cable, dask_cluster(tmp_path / "dask", NEAR, cable.near) as cluster:
        machine = cluster.add(prefix=cable.far)
        assert FAR in machine.address
        configure(archive, cluster.address)
        ids = [archive.file(f"big/{number}", b"%d" % number * 2**24, "from") for number in range(8)]
        archive.requests(ids, "from", "disk")
        running = archive.start("sync", prefix=cable.near)
        wait_for(lambda: on_machines(archive), "a job on the machine")
        wait_for(lambda: any(writes(one) for one in machine.jobs()), "the first file")
        cable.cut()
        result = running.result()
        assert machine.jobs() == [] and machine.process.poll() is None
    assert result.status == 1 and "no answer within" in result.err, result
    assert archive.violations() == [] and archive.claims() == 0
    archive.forget_attempts()
    archive.configure()
    assert archive.sync().status == 0
    assert archive.pending() == 0 and archive.violations() == [] and archive.stray("disk") == []


def test_nothing_wrong_is_recorded_when_machines_and_runs_are_killed_at_random(two, cluster):
    two.node("far", archive=1)
    chance = random.Random(7)
    machines = [cluster.add() for _ in range(2)]
    configure(two, cluster.address, jobs=3)
    ids = two.files(600, "from", 20_000)
    ids += [two.file(f"big/{number}", b"%d" % number * 2**23, "from") for number in range(8)]
    for group in ("disk", "far"):
        two.requests(ids, "from", group)
    for number in range(4):
        before = len(on_machines(two))
        running = two.start("sync")
        wait_for(
            lambda: len(on_machines(two)) > before or running.process.poll() is not None,  # noqa: B023
            "a job on a machine",
        )
        time.sleep(chance.uniform(0, 0.3))  # a random point is what this is about
        if number % 2:
            running.kill()
            running.wait_until_nothing_is_left()
        else:
            victim = machines.pop(chance.randrange(len(machines)))
            victim.end()
            machines.append(cluster.add())
            running.result()
        assert two.violations() == []
        two.forget_attempts()
        # A job of a killed run keeps the next one away until it has ended.
        wait_for(lambda: Code.NODE_LOCKED_BY_RUN.value not in two.run("plan").err, "the locks", 1)
    end = time.monotonic() + 3 * SILENCE
    while two.pending() and time.monotonic() < end:
        two.forget_attempts()
        two.sync("--wait")
    assert two.pending() == 0 and two.violations() == [] and two.claims() == 0
    assert two.stray("disk") == [] and two.stray("far") == []
