"""Three hosts that share an index do all kinds of work at once and are killed; then all copies are counted."""

import os
import random
import shutil
import signal
from typing import NamedTuple

import psutil
import pytest

from tests.fixtures.archive import Archive, clock, ended_within, stand_in, wait_for
from tests.fixtures.sshd import Sshd, require_ssh

pytestmark = pytest.mark.cluster

MINIMUM = 2
HOSTS = ("one", "two", "three")
NEW = 12  # files that each host takes in in a round
# The hosts' clocks: right, three minutes fast, four minutes slow.
CLOCKS = {"one": "", "two": "+180s", "three": "-240s"}


class Hosts(NamedTuple):
    archive: Archive
    rng: random.Random

    def start(self, host, *arguments):
        return self.archive.start(*arguments, host=host, environ=clock(CLOCKS[host]))

    def command(self, host, *arguments):
        result = self.start(host, *arguments).result()
        assert result.status == 0, result
        return result


@pytest.fixture
def hosts(mariadb_archive, tmp_path_factory):
    """Each host has a node that imports files, and an archive node that gets a copy of everything."""
    require_ssh()
    archive = mariadb_archive
    servers = {
        host: Sshd(tmp_path_factory.mktemp(f"sshd-{host}"), f"127.0.1.{number}")
        for number, host in enumerate(HOSTS, 1)
    }
    ssh = archive.base / "ssh_config"
    ssh.write_text("".join(server.client(server.address) for server in servers.values()))
    for host, server in servers.items():
        archive.host(host, address=server.address, username=server.username)
        archive.configure(
            host,
            sync={"archive_copy_count": MINIMUM, "import_settle": 0, "auto_verify_min_days": 0},
            transfer={"ssh": ["ssh", "-F", str(ssh)]},
        )
        archive.node(f"in-{host}", host=host, auto_import=1)
        archive.node(f"safe-{host}", host=host, archive=1, auto_verify=20)
    for host in HOSTS:
        for other in HOSTS:
            archive.insert(
                "storagetransferaction",
                node_from_id=archive.id("storagenode", f"in-{host}"),
                group_to_id=archive.id("storagegroup", f"safe-{other}"),
                autosync=1,
                autoclean=int(other == host),
            )
    yield Hosts(archive, random.Random(5))
    for server in servers.values():
        server.stop()


def take_in(hosts, turn):
    """Put new files on each host, each complete before it gets its name."""
    for host in HOSTS:
        for number in range(NEW):
            path = f"turn{turn}-{host}/{number % 3}/{number:03}.dat"
            content = hosts.rng.randbytes(hosts.rng.choice([0, 10, 5_000, 200_000]))
            hosts.archive.put(f"in-{host}", f"{path.rpartition('/')[0]}/.new", content).rename(
                hosts.archive.root(f"in-{host}") / path
            )


def good(archive):
    """Return the archive nodes with a good copy in the index, by file id."""
    found = {}
    for file_id, name in archive.all(
        "SELECT c.file_id, n.name FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
        " WHERE n.archive = 1 AND c.has_file = 'Y'"
    ):
        found.setdefault(file_id, set()).add(name)
    return found


def established(archive):
    """Return the files that have enough copies, which must stay that way."""
    return {file_id for file_id, nodes in good(archive).items() if len(nodes) >= MINIMUM}


def meddle(hosts):
    """Act as users: release the same copies on all hosts at once, and cancel some releases."""
    archive, rng = hosts.archive, hosts.rng
    files = sorted(established(archive))
    for file_id in rng.sample(files, len(files) // 3):
        for host in HOSTS:
            if rng.random() < 0.8:
                release(archive, file_id, f"safe-{host}")
    for file_id in rng.sample(files, len(files) // 10):
        node = f"safe-{rng.choice(HOSTS)}"
        archive.do(
            "UPDATE archivefilecopy SET wants_file = 'Y' WHERE has_file <> 'N' AND file_id = ? AND node_id = ?",
            file_id,
            archive.id("storagenode", node),
        )
    # Some of what went is wanted back.
    for file_id, nodes in good(archive).items():
        absent = sorted({f"safe-{host}" for host in HOSTS} - nodes)
        if absent and rng.random() < 0.3:
            archive.request(file_id, rng.choice(sorted(nodes)), rng.choice(absent))


def release(archive, file_id, node):
    archive.do(
        "UPDATE archivefilecopy SET wants_file = 'N' WHERE file_id = ? AND node_id = ?",
        file_id,
        archive.id("storagenode", node),
    )


def kill_some(hosts, runs):
    """Kill parents, workers and programs of the runs until all have ended."""
    rng = hosts.rng
    killed = 0
    while any(not ended_within(run.process, rng.uniform(0, 0.7)) for run in runs):
        run = rng.choice([run for run in runs if run.process.poll() is None] or runs)
        processes = run.processes()
        if processes and rng.random() < 0.5:
            try:
                os.kill(rng.choice([run.process, *processes]).pid, signal.SIGKILL)
                killed += 1
            except (ProcessLookupError, psutil.Error):
                pass
    return killed


def check(archive, before):
    """Check that no file that had enough copies has fewer now, in the index and on the disks."""
    assert archive.violations() == []
    found = good(archive)
    fewer = {
        file_id: sorted(found.get(file_id, ())) for file_id in before if len(found.get(file_id, ())) < MINIMUM
    }
    # A copy that was claimed by a run which was killed is not counted, and may be there still.
    there = {
        file_id: [name for name in HOSTS if (archive.root(f"safe-{name}") / path).exists()]
        for file_id, path in paths(archive, fewer).items()
    }
    assert all(len(names) >= MINIMUM for names in there.values()), (fewer, there)


def paths(archive, file_ids):
    rows = archive.all("SELECT f.id, a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id")
    return {file_id: f"{acq}/{name}" for file_id, acq, name in rows if file_id in file_ids}


@pytest.mark.kill
@pytest.mark.timeout(900)
def test_three_hosts_that_do_everything_at_once_and_are_killed_keep_the_minimum(hosts, long):
    archive = hosts.archive
    before: set[int] = set()
    killed = turn = 0
    rounds = 8 if long else 4
    while turn < rounds or killed < rounds:
        take_in(hosts, turn)
        meddle(hosts)
        runs = [hosts.start(host, "sync") for host in HOSTS]
        killed += kill_some(hosts, runs)
        for run in runs:
            run.wait_until_nothing_is_left()
            assert "Traceback" not in "".join(run.said()), run.said()
        check(archive, before)
        before |= established(archive)
        if turn % 2:
            archive.forget_attempts()
        turn += 1
    finish(hosts, turn)
    check(archive, before)
    # What a longer test is to show has happened: files were deleted on archive nodes.  On which is chance.
    if long:
        assert {name for _, name in archive.events("deleted")} & {f"safe-{host}" for host in HOSTS}


def finish(hosts, turns):
    """Run without kills until nothing is left to do, and check the final state."""
    archive = hosts.archive
    archive.forget_attempts()
    for _ in range(3):
        runs = [hosts.start(host, "sync") for host in HOSTS]
        for host, run in zip(HOSTS, runs, strict=True):
            log = archive.base / f"{host}.log"
            assert run.result(120).status == 0, (run.said(), log.read_text()[-5000:])
    assert archive.pending() == 0
    assert archive.claims() == 0
    files = turns * NEW * len(HOSTS)
    assert archive.one("SELECT COUNT(*) FROM archivefile") == files
    assert all(len(nodes) >= MINIMUM for nodes in good(archive).values())
    assert len(good(archive)) == files
    # Nothing was pulled twice for one request, and what is released everywhere leaves the minimum behind.
    twice = archive.all(
        "SELECT file_id, node_id, why FROM sync_event WHERE what = 'pulled' GROUP BY 1, 2, 3 HAVING COUNT(*) > 1"
    )
    assert twice == []
    # Files were deleted on each host.
    assert {name for _, name in archive.events("deleted")} >= {f"in-{host}" for host in HOSTS}
    for host in HOSTS:
        assert archive.stray(f"safe-{host}") == [] and archive.stray(f"in-{host}") in ([], ["searched"])


def test_of_copies_released_on_all_hosts_at_once_exactly_the_minimum_stays(hosts, long):
    archive = hosts.archive
    nodes = [f"safe-{host}" for host in HOSTS]
    for turn in range(5 if long else 2):
        ids = [archive.file(f"acq{turn}/{number}", os.urandom(100), *nodes) for number in range(60)]
        for file_id in ids:
            for node in nodes:
                release(archive, file_id, node)
        runs = [hosts.start(host, "sync") for host in HOSTS]
        for run in runs:
            assert run.result().status == 0
        left = good(archive)
        assert {len(left[file_id]) for file_id in ids} == {MINIMUM}
        assert archive.violations() == [] and archive.claims() == 0


def test_a_lease_is_judged_by_the_servers_clock_whatever_the_hosts_say(hosts):
    """A host whose clock is minutes ahead does not take over claims of a living run on another host."""
    archive = hosts.archive
    ids = archive.files(200, "in-one", 100)
    archive.node("slow", group="shared", host="three")
    archive.node("fast", group="shared", host="two")
    archive.requests(ids, "in-one", "shared")
    reached, gate = archive.base / "reached", archive.base / "gate"
    until = f'touch {reached}; until [ -e {gate} ]; do sleep 0.05; done; exec {shutil.which("ssh")} "$@"'
    tools = str(stand_in(archive.base / "bin", "ssh", until).parent)
    held = archive.start("sync", "--node", "slow", host="three", path=tools, environ=clock(CLOCKS["three"]))
    wait_for(lambda: reached.exists() and archive.claims(), "a pull under way")
    held.process.send_signal(signal.SIGSTOP)
    try:
        claimed = archive.claims()
        left = archive.one("SELECT MIN(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), expires)) FROM sync_claim")
        hosts.command("two", "sync", "--node", "fast")
        assert claimed and 600 < left <= 900
    finally:
        held.process.send_signal(signal.SIGCONT)
        gate.touch()
    assert held.result().status == 0
    assert archive.pending() == 0 and archive.claims() == 0
    assert (
        archive.one(
            "SELECT COUNT(*) FROM"
            " (SELECT file_id FROM sync_event WHERE what = 'pulled' GROUP BY file_id HAVING COUNT(*) > 1) s"
        )
        == 0
    )
