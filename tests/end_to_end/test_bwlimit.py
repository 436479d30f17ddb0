"""Bandwidth limits of hosts and nodes, measured on real runs."""

import json
import os
import signal
import time

import pytest

from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import stand_in, wait_for

MB = 10**6
TOLERANCE = 1.15


@pytest.fixture
def hosts(sqlite_archive, sshd):
    """Host `there` with nodes `far0` to `far4`; host `here`, which runs, with `near0` to `near4` and `safe`."""
    archive = sqlite_archive
    archive.ssh = sshd.ssh
    archive.host("there", address=sshd.address, username=sshd.username)
    for number in range(5):
        archive.node(f"far{number}", host="there")
        archive.node(f"near{number}")
    archive.node("safe", archive=1)
    archive.configure(transfer={"ssh": archive.ssh})
    return archive


def configure(archive, bwlimit, jobs=4, **transfer):
    """`bwlimit`: a value, or TOML for a table."""
    path = archive.configure(transfer={"ssh": archive.ssh, **transfer}, sync={"jobs": jobs})
    if bwlimit is not None:
        text = bwlimit if isinstance(bwlimit, str) and bwlimit.startswith("{") else json.dumps(bwlimit)
        path.write_text(path.read_text().replace("[transfer]\n", f"[transfer]\nbwlimit = {text}\n"))


def set_config(archive, node, **settings):
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = ?", json.dumps(settings), node)


def bring(archive, sources, size_b, group="safe"):
    """Request one file from each of the sources."""
    for source in sources:
        archive.request(archive.file(f"acq-{source}-{group}/f", os.urandom(size_b), source), source, group)


def rate_of(archive, size_b):
    """Run, and return the transferred bytes per second."""
    began = time.monotonic()
    archive.synced()
    seconds = time.monotonic() - began
    assert archive.pending() == 0 and archive.claims() == 0 and archive.violations() == []
    assert archive.stray("safe") == []
    return size_b / seconds


@pytest.mark.parametrize("jobs", [1, 4])
@pytest.mark.parametrize("method", ["ssh", "copy", "rsync"])
def test_all_workers_together_keep_below_the_limit(hosts, jobs, method):
    if method == "ssh":
        configure(hosts, "4 MB", jobs)
    else:
        configure(hosts, None, jobs)
        set_config(hosts, "safe", bwlimit="4 MB", method={"copy": "auto"}.get(method, method))
    # Each from a node of its own, so that each is a job of its own.
    bring(hosts, [f"{'far' if method == 'ssh' else 'near'}{number}" for number in range(5)], 2 * MB)
    found = rate_of(hosts, 10 * MB)
    assert 0.5 * MB < found < 4 * MB * TOLERANCE


def test_a_file_alone_has_the_whole_limit_whatever_the_number_of_workers(hosts):
    configure(hosts, "4 MB", jobs=8)
    bring(hosts, ["far0"], 8 * MB)
    # An eighth of it would take 16 s.
    assert rate_of(hosts, 8 * MB) > 1 * MB


@pytest.mark.parametrize("source", ["near", "far"])
def test_the_last_file_gets_the_whole_limit_when_the_others_have_ended(hosts, source):
    configure(hosts, None)
    set_config(hosts, "safe", bwlimit="2 MB", method="auto")
    bring(hosts, [f"{source}0"], MB)
    bring(hosts, [f"{source}1"], 32 * MB)
    found = rate_of(hosts, 33 * MB)
    # With half of the limit it would take 32 s, at 1.03 MB/s.
    assert 1.3 * MB < found < 2 * MB * TOLERANCE


def test_the_limit_of_a_host_applies_to_other_hosts_and_not_to_local_copies(hosts):
    configure(hosts, 100_000)
    bring(hosts, ["near0", "near1"], 5 * MB)
    assert rate_of(hosts, 10 * MB) > 1 * MB


@pytest.mark.parametrize("source", ["near0", "far0"])
def test_the_limit_of_a_node_also_applies_to_reads_by_any_host(hosts, source):
    set_config(hosts, source, bwlimit="2 MB")
    bring(hosts, [source], 5 * MB)
    assert rate_of(hosts, 5 * MB) < 2 * MB * TOLERANCE


def test_the_lowest_of_several_limits_applies(hosts):
    configure(hosts, "50 MB")
    set_config(hosts, "far0", bwlimit="40 MB")
    set_config(hosts, "safe", bwlimit="2 MB")
    bring(hosts, ["far0"], 4 * MB)
    assert rate_of(hosts, 4 * MB) < 2 * MB * TOLERANCE


def test_a_slow_node_does_not_hold_up_the_others(hosts):
    hosts.node("slow", archive=1)
    set_config(hosts, "slow", bwlimit=20_000)
    bring(hosts, ["near0"], 100_000, "slow")
    # Files of the group that is planned first wait for their share when the others have their turn.
    bring(hosts, ["near1", "near2", "near3", "near4"], MB, "slow")
    bring(hosts, ["near0", "near1"], MB)
    run = hosts.start("sync")
    wait_for(lambda: len(hosts.tree("safe")) == 2, "the files of the other node")
    assert len(hosts.tree("slow")) < 5
    run.process.terminate()
    assert run.result().status == 1
    assert hosts.claims() == 0 and hosts.violations() == []


def test_many_small_files_keep_below_the_limit_and_all_come(hosts):
    set_config(hosts, "safe", bwlimit="2 MB")
    ids = hosts.files(400, "near0", 10_000)
    hosts.requests(ids, "near0", "safe")
    assert rate_of(hosts, 400 * 10_000) < 2 * MB * TOLERANCE
    assert len(hosts.tree("safe")) == 400


def test_small_files_under_a_low_limit_are_split_into_short_jobs(hosts):
    """Pulls end or are given back within seconds of an edit, and finished ones are recorded."""
    set_config(hosts, "safe", bwlimit=100_000)
    ids = hosts.files(2000, "near0", 50_000)  # a thousand seconds
    hosts.requests(ids, "near0", "safe")
    run = hosts.start("sync")
    wait_for(lambda: hosts.claims() > 0, "the first job")
    # Twice a minute's worth at most is planned ahead, where 1,000 files could be.
    assert hosts.claims() <= 130 * 2
    run.process.terminate()
    assert run.result().status == 1
    assert hosts.claims() == 0 and hosts.violations() == []


# --- time-outs and stopping ----------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["near0", "far0"])
def test_a_pull_slowed_by_its_limit_does_not_time_out(hosts, source):
    set_config(hosts, "safe", bwlimit="1 MB")
    configure(hosts, None, pull_timeout_base=1, pull_bytes_per_second=20 * MB)
    bring(hosts, [source], 4 * MB)
    assert rate_of(hosts, 4 * MB) < MB * TOLERANCE


def test_a_limited_pull_that_hangs_times_out(hosts):
    set_config(hosts, "safe", bwlimit="1 MB", method="rsync")
    hanging = stand_in(hosts.base / "bin", "hanging", "sleep 1000")
    configure(hosts, None, pull_timeout_base=1, rsync=str(hanging))
    bring(hosts, ["near0"], 100_000)
    result = hosts.sync()
    assert result.status == 1 and "timed out" in result.err
    assert hosts.pending() == 1 and hosts.claims() == 0


@pytest.mark.parametrize("method", ["ssh", "copy", "rsync"])
def test_a_signal_during_a_limited_pull_ends_the_run_within_seconds(hosts, method):
    configure(hosts, 200_000)
    set_config(hosts, "safe", bwlimit=200_000, method="rsync" if method == "rsync" else "auto")
    bring(hosts, [f"{'far' if method == 'ssh' else 'near'}{number}" for number in range(5)], 5 * MB)
    run = hosts.start("sync")
    private = hosts.root("safe") / ".alpenhorn"

    def begun():
        # The marker, by which the source is known, comes first.
        paths = [path for path in private.glob("part-*/**/*") if path.is_file() and path.name != MARKER]
        return [path for path in paths if path.stat().st_size]

    wait_for(begun, "a file on its way")
    began = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    result = run.result()
    assert time.monotonic() - began < 8
    assert result.status == 1 and "stopped; finished work is recorded" in result.err
    run.wait_until_nothing_is_left()
    assert hosts.claims() == 0 and hosts.pending() == 5
    assert hosts.one("SELECT COUNT(*) FROM sync_attempt") == 0
    # A part is kept of each file that would take longer than a minute, though none is big otherwise.
    assert begun()
    configure(hosts, None)
    set_config(hosts, "safe")
    hosts.synced()
    assert hosts.pending() == 0 and hosts.violations() == []


def test_a_deactivated_node_gets_no_file_that_waits_for_bandwidth(hosts):
    hosts.node("slow", archive=1)
    set_config(hosts, "slow", bwlimit=50_000)
    bring(hosts, [f"near{number}" for number in range(5)], 300_000, "slow")
    run = hosts.start("sync", "--jobs", "1")
    wait_for(lambda: hosts.claims() == 5, "the first pull")
    assert hosts.run("node", "deactivate", "slow").status == 0
    result = run.result()
    assert result.status == 0 and "taken off this host during the run" in result.err
    assert len(hosts.tree("slow")) == 1 and hosts.pending() == 4 and hosts.claims() == 0


# --- times of day ---------------------------------------------------------------------------------------


def at(when):
    """Return an environment with a time zone in which it is this time of day."""
    hours, minutes, seconds = map(int, when.split(":"))
    ahead = hours * 3600 + minutes * 60 + seconds - time.time() % 86_400
    # POSIX counts the hours to the west.
    sign, left = ("-", ahead) if ahead >= 0 else ("+", -ahead)
    return {"TZ": f"NEAR{sign}{int(left // 3600)}:{int(left // 60 % 60):02}:{int(left % 60):02}"}


TABLE = '{"08:00" = "100 kB", "18:00" = "off"}'


@pytest.mark.parametrize("method", ["ssh", "copy", "rsync"])
def test_the_limit_ends_with_its_time_of_day_in_the_middle_of_a_file(hosts, method):
    """The file takes 25 s at the limit, and the pull begins 4 s before the limit ends."""
    configure(hosts, TABLE)
    set_config(
        hosts,
        "safe",
        bwlimit={"08:00": "100 kB", "18:00": "off"},
        method="rsync" if method == "rsync" else "auto",
    )
    source = "far0" if method == "ssh" else "near0"
    bring(hosts, [source], 25 * MB // 10)
    hosts.requests(hosts.files(100, source, 5_000), source, "safe")
    began = time.monotonic()
    hosts.synced(environ=at("17:59:56"))
    seconds = time.monotonic() - began
    assert 3 < seconds < 18
    assert hosts.pending() == 0 and hosts.claims() == 0 and hosts.violations() == []
    assert hosts.one("SELECT COUNT(*) FROM sync_attempt") == 0 and len(hosts.tree("safe")) == 101


def test_a_limit_begins_with_its_time_of_day(hosts):
    configure(hosts, TABLE)
    bring(hosts, ["far0"], 4 * MB)
    began = time.monotonic()
    hosts.synced(environ=at("07:30:00"))
    assert time.monotonic() - began < 40 / TOLERANCE
    bring(hosts, ["far1"], 300_000)
    began = time.monotonic()
    hosts.synced(environ=at("12:00:00"))
    assert time.monotonic() - began > 3 / TOLERANCE


def test_a_pull_in_progress_when_a_limit_begins_continues_under_it(hosts):
    """Without a limit the substitute would never end; with it, 300 kB take three seconds."""
    slow = stand_in(
        hosts.base / "bin", "slow", 'case "$*" in *bwlimit*) ;; *) sleep 100 ;; esac; exec rsync "$@"'
    )
    configure(hosts, TABLE, rsync=str(slow), tar=False)
    bring(hosts, ["far0"], 300_000)
    began = time.monotonic()
    hosts.synced(environ=at("07:59:58"))
    assert 1 + 3 / TOLERANCE < time.monotonic() - began < 30  # the zone is cut to whole seconds
    assert hosts.pending() == 0 and hosts.violations() == []


# --- faults ---------------------------------------------------------------------------------------------


def test_a_wrong_limit_in_the_configuration_is_reported_with_all_other_faults(hosts):
    configure(hosts, "5 Mbit", jobs=0)
    result = hosts.sync()
    assert result.status == 3
    assert (
        "transfer.bwlimit = '5 Mbit': expected bytes per second" in result.err and "sync.jobs" in result.err
    )


def test_a_wrong_limit_of_a_node_leaves_out_the_node_and_nothing_else(hosts):
    hosts.node("other", archive=1)
    set_config(hosts, "safe", bwlimit={"25:00": "5M"})
    bring(hosts, ["near0"], 1000)
    bring(hosts, ["near0"], 1000, "other")
    for command in ("plan", "sync"):
        result = hosts.run(command)
        assert "io_config of node safe: bwlimit.'25:00': expected a time of day" in result.out + result.err
        assert "alpenhorn node modify safe --io-var bwlimit=VALUE" in result.out + result.err
    assert len(hosts.tree("other")) == 1 and hosts.tree("safe") == {} and hosts.pending() == 1


def test_from_a_node_with_a_wrong_limit_nothing_is_pulled(hosts):
    """An invalid limit does not mean no limit."""
    set_config(hosts, "far0", bwlimit="fast")
    bring(hosts, ["far0", "far1"], 1000)
    result = hosts.sync()
    assert "io_config of node far0: bwlimit = 'fast': expected bytes per second" in result.err
    assert len(hosts.tree("safe")) == 1 and hosts.pending() == 1 and hosts.claims() == 0


def test_limits_do_not_change_a_plan(hosts):
    configure(hosts, 1024)
    set_config(hosts, "safe", bwlimit=1024)
    bring(hosts, ["far0", "near0"], 10 * MB)
    plan = json.loads(hosts.run("plan", "--json").out)
    assert hosts.pending() == 2 and json.dumps(plan).count('"pull"') >= 2
