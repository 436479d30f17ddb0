"""Signals and time-outs in the middle of the work."""

import json
import os
import pty
import signal
import sys
import time
from typing import NoReturn

import pytest

from alpenhorn.reasons import Code
from tests.fixtures.archive import stand_in, wait_for

pytestmark = pytest.mark.one_engine


@pytest.fixture
def busy(archive):
    """A run in the middle of a large file, with other files done and more pending."""
    archive.node("field")
    archive.node("safe", archive=1)
    ids = archive.files(50, "field", 100)
    ids += [archive.file(f"big/{i}", os.urandom(2**20) * 250, "field") for i in range(2)]
    archive.requests(ids, "field", "safe")
    archive.running = archive.start("sync", "--jobs", "1")
    private = archive.root("safe") / ".alpenhorn"
    wait_for(lambda: [p for p in private.glob("part-*/big/*") if p.stat().st_size], "a large file on its way")
    return archive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_within_seconds_and_what_was_done_is_recorded(busy, number):
    started = time.monotonic()
    busy.running.process.send_signal(number)
    result = busy.running.result()
    assert time.monotonic() - started < 10
    assert result.status == 1 and "stopped; finished work is recorded" in result.err
    busy.running.wait_until_nothing_is_left()
    assert busy.violations() == [] and busy.claims() == 0
    assert len(busy.tree("safe")) == busy.one(
        "SELECT COUNT(*) FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id WHERE n.name = 'safe'"
    )
    assert busy.pending() > 0 and busy.one("SELECT COUNT(*) FROM sync_attempt") == 0
    assert busy.one("SELECT exit_status FROM sync_run WHERE ended IS NOT NULL") == 1
    busy.synced()
    assert busy.pending() == 0 and busy.stray("safe") == [] and busy.violations() == []


def test_ctrl_c_in_a_terminal_which_reaches_every_process_stops_as_cleanly(busy):
    os.killpg(busy.running.process.pid, signal.SIGINT)
    assert busy.running.result().status == 1
    assert busy.violations() == [] and busy.one("SELECT COUNT(*) FROM sync_attempt") == 0
    busy.synced()
    assert busy.pending() == 0


def on_a_terminal(*arguments: str) -> NoReturn:
    """Become the command.  Without TERM, as under tox, it would print a line each minute instead of its display."""
    argv = [sys.executable, "-m", "alpenhorn", *arguments]
    os.execve(sys.executable, argv, os.environ | {"TERM": "xterm"})


def test_a_terminal_that_is_closed_stops_a_run_as_cleanly_as_a_signal(sqlite_archive):
    """The kernel sends SIGHUP, and from then on every write to the terminal fails."""
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1, io_config='{"method": "rsync"}')
    reached = archive.base / "reached"
    asked = 'case "$*" in *--version*) exec rsync "$@" ;; esac'
    slow = stand_in(archive.base / "bin", "slow", f"{asked}\ntouch {reached}; exec sleep 1000")
    conf = archive.configure(transfer={"rsync": str(slow)})
    request = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    archive.index.disconnect()
    child, terminal = pty.fork()
    if child == 0:
        on_a_terminal("-c", str(conf), "sync")
    try:
        drawn = b""
        while b"acq/f" not in drawn:  # the row of the worker
            drawn += os.read(terminal, 10000)
        wait_for(reached.exists, "the copy")
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    ended, exit_status, ending = archive.one("SELECT ended, exit_status, ending FROM sync_run")
    assert ended is not None and exit_status == 1 and ending == Code.RUN_STOPPED()
    assert archive.state(request) == "pending" and archive.claims() == 0
    assert archive.one("SELECT COUNT(*) FROM sync_attempt") == 0


def test_a_run_that_ignores_sighup_continues_without_its_terminal(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1, io_config='{"method": "rsync"}')
    reached, go = archive.base / "reached", archive.base / "go"
    wait = f"touch {reached}; while [ ! -e {go} ]; do sleep 0.05; done"
    slow = stand_in(archive.base / "bin", "slow", f'{wait}\nexec rsync "$@"')
    conf = archive.configure(transfer={"rsync": str(slow)})
    request = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    archive.index.disconnect()
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        on_a_terminal("-c", str(conf), "sync")
    try:
        drawn = b""
        while b"acq/f" not in drawn:  # the row of the worker
            drawn += os.read(terminal, 10000)
        wait_for(reached.exists, "the copy")
    finally:
        os.close(terminal)
        go.touch()
        _, status = os.waitpid(child, 0)
    assert archive.state(request) == "done"
    # What it did could not be told.
    assert os.waitstatus_to_exitcode(status) == 1
    assert archive.one("SELECT ending FROM sync_run").startswith("its messages could not be printed")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_run_at_once(sqlite_archive, sshd, number, status):
    archive = sqlite_archive
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("safe", archive=1)
    # It does not stop when it is asked to, so that there is time for a second signal.
    reached = archive.base / "reached"
    deaf = stand_in(
        archive.base / "bin", "deaf", f"trap '' TERM INT; touch {reached}; sleep 1000; sleep 1000"
    )
    archive.configure(transfer={"ssh": [str(deaf)]})
    archive.request(archive.file("acq/f", b"bytes", "far"), "far", "safe")
    run = archive.start("sync")
    wait_for(reached.exists, "the session")
    run.process.send_signal(number)
    log = archive.base / "here.log"
    wait_for(lambda: "asked to stop" in log.read_text(), "word that the first signal was taken")
    run.process.send_signal(number)
    result = run.result()
    assert result.status == status, result
    run.wait_until_nothing_is_left()
    assert archive.copy(1, "far") == "YY"


def test_a_signal_before_the_work_begins_stops_too(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1)
    archive.requests(archive.files(300, "field", 100), "field", "safe")
    run = archive.start("sync")
    wait_for(lambda: archive.one("SELECT COUNT(*) FROM sync_run"), "the run's row")
    run.process.terminate()
    result = run.result(20)
    assert result.status == 1
    assert archive.violations() == [] and archive.claims() == 0


@pytest.mark.parametrize("when", ["first", "locked", "after the work"])
def test_a_signal_while_the_nodes_are_probed_stops_at_once(sqlite_archive, when):
    """A storage that does not answer within a second must not delay the end, and is not to blame for it."""
    archive = sqlite_archive
    archive.node("field")
    seen = archive.base / "seen"
    calls = {"first": 1, "locked": 2, "after the work": 3}[when]
    answer = 'echo " ${@: -1}"; echo "  0 0 1000000 - 12 0 0 -"'
    script = f'echo >> {seen}; [ "$(wc -l < {seen})" -ge {calls} ] && exec sleep 1000; {answer}'
    lfs = stand_in(archive.base / "bin", "lfs", script)
    settings = {"quota_id": "science", "quota_type": "group", "lfs": str(lfs)}
    archive.node("safe", archive=1, io_class="LustreQuota", io_config=json.dumps(settings))
    archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    run = archive.start("sync")
    wait_for(lambda: seen.exists() and len(seen.read_text()) >= calls, "the storage that does not answer")
    started = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    result = run.result()
    assert time.monotonic() - started < 10
    assert result.status == 1 and "stopped; finished work is recorded" in result.err
    assert "Error" not in result.err and "No active node" not in result.out
    assert archive.one("SELECT ending LIKE '%stop%' FROM sync_run WHERE ended IS NOT NULL") == 1
    run.wait_until_nothing_is_left()
    assert archive.one("SELECT COUNT(*) FROM sync_condition") == 0


def test_a_local_copy_past_its_time_limit_is_killed_and_the_run_ends(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1, io_config='{"method": "rsync"}')
    hanging = stand_in(archive.base / "bin", "hanging", "trap '' TERM; sleep 1000 & wait; sleep 1000")
    archive.configure(transfer={"rsync": str(hanging), "pull_timeout_base": 1})
    request = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    run = archive.start("sync")
    result = run.result()
    run.wait_until_nothing_is_left()
    assert result.status == 1 and "acq/f" in result.err
    assert archive.state(request) == "pending" and archive.copy(1, "field") == "YY"
    assert archive.attempt(request) is not None and archive.claims() == 0
