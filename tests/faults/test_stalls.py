"""Situation 15: stalled connections, through an ssh that drops everything after some bytes."""

from __future__ import annotations

import os
import sys
import time

import pytest

from alpenhorn.transfer.session_timer import LOOKS, SessionTimer
from tests.fixtures.archive import Archive, Result, stand_in, wait_for
from tests.fixtures.sshd import Sshd

STALL = 2  # seconds, from the first bytes on


@pytest.fixture
def hosts(sqlite_archive: Archive, sshd: Sshd) -> Archive:
    archive = sqlite_archive
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("safe")
    archive.configure(transfer={"ssh": sshd.ssh})
    return archive


# No filter of the shell can write to the socket of rsync and its ssh, since rsync makes it non-blocking.
RELAY = """
import os, select, subprocess, sys, time
left = int(sys.argv[1])
ssh = subprocess.Popen(["ssh", *sys.argv[2:]], stdout=subprocess.PIPE)
while data := os.read(ssh.stdout.fileno(), min(left, 65536)):
    left -= len(data)
    while data:
        select.select([], [1], [])
        data = data[os.write(1, data) :]
    if not left:
        time.sleep(1000)
sys.exit(ssh.wait())
"""


def stalling(archive: Archive, sshd: Sshd, after: int, **transfer: object) -> Result:
    """Start a run to which the other host sends this many bytes and then nothing."""
    relay = archive.base / "relay.py"
    relay.write_text(RELAY)
    ssh = stand_in(archive.base / "bin", "stalling", f'exec {sys.executable} {relay} {after} "$@"')
    settings = {"ssh": [str(ssh), *sshd.ssh[1:]], "stall_timeout": STALL} | transfer
    running = archive.start("-v", "sync", conf=archive.configure(transfer=settings))
    result = running.result()
    running.wait_until_nothing_is_left()
    archive.configure(transfer={"ssh": sshd.ssh})
    return result


def test_situation_15_a_stalled_large_file_is_resumed_and_does_not_count_as_failed(
    hosts: Archive, sshd: Sshd
) -> None:
    content = os.urandom(70 * 2**20)
    request = hosts.request(hosts.file("acq/big", content, "far"), "far", "safe")
    began = time.monotonic()
    result = stalling(hosts, sshd, 40 * 2**20)
    assert time.monotonic() - began < 60
    assert result.status == 0 and "failed: " not in result.err, result
    assert f"later: not pulled yet: timed out: no data came from host there for {STALL} s" in result.out
    assert hosts.state(request) == "pending" and hosts.attempt(request) is None and hosts.claims() == 0
    # What is left is less than what came: without the part it would stall again.
    result = stalling(hosts, sshd, 40 * 2**20, stall_timeout=60)
    assert result.status == 0 and hosts.state(request) == "done", result
    assert hosts.tree("safe") == {"acq/big": content} and hosts.stray("safe") == []


def test_situation_15_files_that_arrived_before_the_stall_are_kept(hosts: Archive, sshd: Sshd) -> None:
    ids = [hosts.file(f"acq/{number}", os.urandom(2**20), "far") for number in range(20)]
    hosts.requests(ids, "far", "safe")
    result = stalling(hosts, sshd, 10 * 2**20)
    assert result.status == 0, result
    came = len(hosts.tree("safe"))
    assert 1 <= came < 20 and hosts.pending() == 20 - came and hosts.violations() == []
    assert hosts.all("SELECT * FROM sync_attempt") == []
    hosts.synced()
    assert hosts.pending() == 0 and hosts.stray("safe") == []


def test_situation_15_a_host_that_sends_hardly_anything_is_blamed_and_tried_again_later(
    hosts: Archive, sshd: Sshd
) -> None:
    request = hosts.request(hosts.file("acq/f", os.urandom(70 * 2**20), "far"), "far", "safe")
    result = stalling(hosts, sshd, 2**19)
    assert result.status == 1
    assert f"failed: timed out: no data came from host there for {STALL} s" in result.err
    ((kind, count, error),) = hosts.held_back()
    assert (kind, count) == ("host", 1) and error.startswith("timed out: ")
    assert hosts.attempt(request) is None
    assert hosts.copy(1, "far") == "YY"


def test_situation_15_a_pull_that_is_not_done_by_its_deadline_keeps_what_came(
    hosts: Archive, sshd: Sshd
) -> None:
    content = os.urandom(70 * 2**20)
    request = hosts.request(hosts.file("acq/big", content, "far"), "far", "safe")
    result = stalling(hosts, sshd, 40 * 2**20, stall_timeout=0, pull_timeout_base=8)
    assert result.status == 0, result
    assert "later: not pulled yet: timed out: the pull from host there did not end within" in result.out
    assert hosts.attempt(request) is None and hosts.stray("safe") != []


def test_a_growing_transfer_is_not_stalled() -> None:
    size = 0
    timer = SessionTimer("there", 0.8, lambda: size, None, 0)
    began = time.monotonic()
    while time.monotonic() - began < 1.6:
        size += 1
        assert not timer.over()
        time.sleep(0.8 / LOOKS / 2)
    wait_for(timer.over, "the end of the session")
    assert str(timer.why) == "timed out: no data came from host there for 0.8 s (stall_timeout)"


def test_without_a_limit_nothing_is_given_up() -> None:
    timer = SessionTimer("there", 0, lambda: 0, None, 0)
    assert not any(timer.over() for _ in range(1000))
