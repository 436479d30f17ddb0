"""Runs with machines that are jobs of Slurm, started by the program in the documentation."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from alpenhorn.reasons import Code
from alpenhorn.workers.cluster_child import NAME
from tests.fixtures import manual
from tests.fixtures.archive import Archive, wait_for
from tests.fixtures.dask import QUIET
from tests.fixtures.slurm import PARTITION, Slurm, slurm
from tests.fixtures.sshd import Sshd

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]

# What differs in the tests: the address, the number of jobs, and how often it looks for ended jobs and for runs.
CHANGES = {
    '"head.example.org"': '"127.0.0.1"',
    "jobs=4": "jobs=1",
    "sleep(60)": "sleep(0.5)",
    '"10s"': '"1s"',
}
SOON = {"DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "1s"}


def programs() -> tuple[str, str]:
    """Return the programs of the manual: with a fixed number of jobs, and with jobs while a run is connected."""
    section = manual.section(manual.page("operating"), "With Slurm")
    fixed, in_place = ("\n".join(block.lines) for block in manual.blocks(section) if block.kind == "python")
    begin, loop, _ = fixed.partition("while True:")
    assert loop
    return fixed, begin + in_place


class Workers:
    """The program in the documentation, which submits jobs to Slurm."""

    def __init__(self, batch: Slurm, directory: Path, text: str) -> None:
        directory.mkdir()
        self._directory = directory
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        for before, after in (*CHANGES.items(), ("8786", str(self.port))):
            text = text.replace(before, after)
        (directory / "program.py").write_text(text)
        with (directory / "program.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "program.py"],
                env={**os.environ, **batch.environ, **QUIET, **SOON, "HOME": str(directory)},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def addresses(self) -> dict[str, str]:
        """Return the addresses of the workers that were registered, by the id of their job."""
        found = {}
        for log in self._directory.glob("slurm-*.out"):
            text = log.read_text()
            if "Registered to" in text:
                job = re.findall(r"\d+", log.name)[0]
                found[job] = re.findall(r"Start worker at: *(\S+)", text)[-1]
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait(60)


@pytest.fixture
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    # Not below tmp_path, whose name is too long for a socket.
    with slurm(tmp_path_factory.mktemp("s") / "slurm") as started:
        yield started


@pytest.fixture
def start(batch: Slurm, tmp_path: Path) -> Iterator[Callable[[str], Workers]]:
    """Return a function that starts one of the programs."""
    started: list[Workers] = []

    def program(text: str) -> Workers:
        started.append(Workers(batch, tmp_path / "workers", text))
        return started[-1]

    yield program
    for one in started:
        one.end()


def on_machines(archive: Archive) -> list[str]:
    """Return the addresses of the machines to which jobs were given."""
    log = archive.base / "here.log"
    return re.findall(r"goes to machine (\S+)", log.read_text()) if log.exists() else []


def put(archive: Archive, path: str) -> int:
    return archive.file(path, path.encode() * 2**20, "from")


def job_processes(batch: Slurm, job: str) -> list[psutil.Process]:
    return [one for one in batch.processes(job) if one.name() == NAME]


def test_jobs_of_slurm_do_the_work_wait_in_the_queue_and_are_cancelled(
    archive: Archive, batch: Slurm, start: Callable[[str], Workers]
) -> None:
    # While its jobs wait in the queue, this host does all.
    batch.said("scontrol", "update", f"PartitionName={PARTITION}", "State=DOWN")
    workers = start(programs()[0])
    for name in ("from", "disk"):
        archive.node(name, archive=1)
    archive.configure(sync={"jobs": 1, "scheduler": workers.address, "archive_copy_count": 2})
    (job,) = wait_for(lambda: batch.jobs("PENDING"), "a job in the queue")
    small, big = archive.files(320, "from", 20_000), [put(archive, f"big/{number}") for number in range(24)]
    archive.requests(small[:20], "from", "disk")
    result = archive.sync()
    assert result.status == 0 and archive.pending() == 0, result
    (line,) = result.err.splitlines()
    assert line.endswith(Code.SCHEDULER_WITHOUT_WORKERS(scheduler=workers.address))
    assert on_machines(archive) == []

    # A job that is cancelled at a random moment is a machine that is lost.
    batch.said("scontrol", "update", f"PartitionName={PARTITION}", "State=UP")
    wait_for(lambda: job in workers.addresses(), "the worker")
    archive.requests([*small[20:], *big[:12]], "from", "disk")
    running = archive.start("sync")
    wait_for(lambda: on_machines(archive), "a job of alpenhorn on the machine")
    wait_for(lambda: job_processes(batch, job) or running.process.poll() is not None, "its process")
    time.sleep(random.uniform(0, 0.3))  # a random point is what this is about
    batch.cancel(job)
    result = running.result()
    assert result.status in (0, 1), result
    assert not job_processes(batch, job)
    assert archive.violations() == [] and archive.claims() == 0

    # Another job replaces it, and the next run completes the work.
    archive.forget_attempts()
    (new,) = wait_for(lambda: workers.addresses().keys() - {job}, "a job in place of it")
    before = len(on_machines(archive))
    archive.requests(big[12:], "from", "disk")
    assert archive.sync().status == 0
    assert archive.pending() == 0 and archive.violations() == [] and archive.claims() == 0
    assert archive.stray("disk") == []
    assert set(on_machines(archive)[before:]) == {workers.addresses()[new]}


def test_jobs_are_started_for_a_run_and_end_after_it(
    archive: Archive, batch: Slurm, start: Callable[[str], Workers], sshd: Sshd, tmp_path: Path
) -> None:
    """The run lasts until the test lets its only session with another host begin."""
    workers = start(programs()[1])
    wait_for(workers.listens, "the scheduler")
    script = tmp_path / "waits"
    script.write_text(f'#!/bin/sh\nuntil [ -e {tmp_path}/go ]; do sleep 0.1; done\nexec ssh "$@"\n')
    script.chmod(0o755)
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("disk", archive=1)
    archive.configure(
        sync={"jobs": 2, "scheduler": workers.address}, transfer={"ssh": [str(script), *sshd.ssh[1:]]}
    )
    archive.requests(archive.files(3, "far", 1000), "far", "disk")
    assert batch.jobs("all") == []
    running = archive.start("sync")
    wait_for(workers.addresses, "a worker")
    assert batch.jobs("RUNNING")
    (tmp_path / "go").touch()
    result = running.result()
    assert result.status == 0 and archive.pending() == 0, result.err
    wait_for(lambda: not batch.jobs("RUNNING"), "the end of the job")
