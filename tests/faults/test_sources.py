"""Sources that disappear or change during a pull."""

import os
import random
from pathlib import Path

import psutil
import pytest

from tests.fixtures.archive import stand_in, wait_for
from tests.fixtures.sshd import Sshd, require_ssh

BIG = 150 * 2**20


@pytest.fixture
def hosts(sqlite_archive, tmp_path_factory):
    """Node `far` on a host with a server of its own, and node `safe` here."""
    require_ssh()
    archive = sqlite_archive
    archive.sshd = Sshd(tmp_path_factory.mktemp("sshd"))
    archive.host("there", address=archive.sshd.address, username=archive.sshd.username)
    archive.node("far", host="there")
    archive.node("safe", archive=1)
    archive.configure(transfer={"ssh": archive.sshd.ssh})
    yield archive
    archive.sshd.stop()


def arriving(archive, pattern):
    """Wait for the partial file on `safe`, and return it."""
    private = archive.root("safe") / ".alpenhorn"
    return wait_for(
        lambda: next((p for p in private.glob(pattern) if p.is_file() and p.stat().st_size > 2**20), None),
        "the first bytes of a file",
    )


def stop_server(sshd):
    """Stop the server with all its sessions, as when the machine goes down."""
    server = psutil.Process(sshd._process.pid)
    sessions = server.children(recursive=True)
    sshd.stop()
    for session in sessions:
        if session.is_running():
            session.kill()


def test_a_server_that_stops_half_way_is_network_trouble_and_the_source_is_not_touched(hosts):
    small = hosts.files(50, "far", 3000)
    big = hosts.file("acq/big", random.Random(1).randbytes(BIG), "far")
    pull = hosts.request(big, "far", "safe")
    hosts.requests(small, "far", "safe")
    run = hosts.start("sync", "--jobs", "1")
    part = arriving(hosts, "part-*/**/*")
    stop_server(hosts.sshd)
    result = run.result()
    assert result.status == 1
    assert part.stat().st_size < BIG
    assert hosts.attempt(pull) is None
    ((kind, count, _),) = hosts.held_back()
    assert (kind, count) == ("host", 1)
    shown = hosts.run("request", "show", str(pull), "--json").json
    assert shown["in_a_run_now_code"] == "host-waits"
    assert {hosts.copy(file_id, "far") for file_id in [big, *small]} == {"YY"}
    assert hosts.state(pull) == "pending" and hosts.claims() == 0 and hosts.violations() == []
    # It waits, unless somebody says that the server is back.
    hosts.sshd.start()
    hosts.sync("--only", "pull")
    assert hosts.state(pull) == "pending"
    hosts.forget_attempts()
    hosts.synced()
    assert hosts.pending() == 0 and hosts.tree("safe") == hosts.tree("far") and hosts.stray("safe") == []


@pytest.mark.parametrize("change", ["truncated", "grown", "replaced", "gone"])
def test_a_source_that_changes_on_the_way_is_suspect_and_nothing_wrong_is_recorded(hosts, change):
    content = random.Random(2).randbytes(BIG)
    file_id = hosts.file("acq/big", content, "far")
    pull = hosts.request(file_id, "far", "safe")
    source = hosts.root("far") / "acq" / "big"
    run = hosts.start("sync")
    arriving(hosts, "part-*/**/*")
    if change == "truncated":
        os.truncate(source, BIG // 2)
    elif change == "grown":
        with source.open("ab") as file:
            file.write(b"more")
    elif change == "replaced":
        other = source.with_name(".other")
        other.write_bytes(content[::-1])
        other.rename(source)
    else:
        source.unlink()
    run.result()
    # What was open is still read to its end, so the pull may have got the file as it was; half of it, or a
    # mixture, it never calls good.
    assert [line for line in hosts.violations() if "on safe" in line] == []
    if hosts.state(pull) == "done":
        assert hosts.tree("safe") == {"acq/big": content}
    else:
        assert hosts.copy(file_id, "safe") is None and hosts.tree("safe") == {}
        blame = (hosts.attempt(pull) or ("source",))[0]
        assert blame in ("source", "unknown")
        assert hosts.copy(file_id, "far") == ("MY" if blame == "source" else "YY")


MUTANTS = str(Path(__file__).with_name("mutants.py"))


@pytest.fixture
def replaced(archive, sshd):
    """A request from node `lost`, whose copy on `far`, on host `there`, takes the place of that source.

    The copy is released, and safe to delete.  A pull from `there` waits for the file `go` before it reads anything.
    """
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("lost", active=0)
    archive.node("far", host="there")
    for node in ("v1", "v2"):  # no sources, since host `vault` has no address
        archive.node(node, host="vault", archive=1)
    archive.node("safe")
    archive.begun, archive.go = archive.base / "begun", archive.base / "go"
    ssh = stand_in(
        archive.base / "bin",
        "ssh",
        # It ends with the test's directory, so that it does not outlive a test that is aborted.
        f"touch {archive.begun}\n"
        f"while [ -d {archive.base} ] && [ ! -e {archive.go} ]; do sleep 0.02; done\n"
        'exec /usr/bin/ssh "$@"',
    )
    archive.configure(transfer={"ssh": [str(ssh), *sshd.ssh[1:]]})
    archive.released = archive.file("acq/f", b"bytes", "far", "v1", "v2")
    archive.set_copy(archive.released, "far", "YN")
    archive.pull = archive.request(archive.released, "lost", "safe")
    return archive


@pytest.mark.parametrize("mutant", ["", "unread"])
def test_a_copy_that_is_read_in_place_of_the_requested_source_is_not_deleted(replaced, mutant):
    run = replaced.start("sync")
    wait_for(replaced.begun.exists, "the pull to begin")
    if mutant:
        replaced.program = (MUTANTS, mutant)
    deletion = replaced.sync(host="there")
    kept = replaced.copy(replaced.released, "far") == "YN" and bool(replaced.tree("far"))
    assert kept is not bool(mutant), deletion
    replaced.go.touch()
    run.result()
    if not mutant:
        assert replaced.state(replaced.pull) == "done"
        replaced.sync(host="there")  # now it may go
        assert replaced.copy(replaced.released, "far") == "NN" and replaced.tree("far") == {}
    assert replaced.violations() == []


def test_a_run_that_is_killed_while_it_reads_another_source_is_continued(replaced):
    run = replaced.start("sync")
    wait_for(replaced.begun.exists, "the pull to begin")
    run.end()
    replaced.sync(host="there")  # the lease has not expired
    assert replaced.copy(replaced.released, "far") == "YN" and replaced.claims() == 1
    replaced.go.touch()
    replaced.sync()
    assert replaced.state(replaced.pull) == "done" and replaced.claims() == 0
    replaced.sync(host="there")
    assert replaced.copy(replaced.released, "far") == "NN" and replaced.violations() == []


def test_a_lease_that_expired_protects_the_copy_no_longer_and_nothing_wrong_is_recorded(replaced):
    run = replaced.start("sync")
    wait_for(replaced.begun.exists, "the pull to begin")
    replaced.do("UPDATE sync_claim SET expires = '2026-01-01 00:00:00'")
    replaced.sync(host="there")
    assert replaced.copy(replaced.released, "far") == "NN" and replaced.tree("far") == {}
    replaced.go.touch()
    run.result()
    assert replaced.state(replaced.pull) == "pending" and replaced.tree("safe") == {}
    assert replaced.copy(replaced.released, "safe") is None and replaced.violations() == []
    assert replaced.copy(replaced.released, "far") == "NN"
