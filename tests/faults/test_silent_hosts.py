"""A host that cannot be reached costs one attempt and one mail, however many requests wait for it."""

from __future__ import annotations

import pytest

from tests.fixtures.archive import Archive, Result, stand_in
from tests.fixtures.sshd import Sshd


class Hosts(Archive):
    """A host `there` with node `far`, behind an ssh that fails while the file `down` exists, and logs its calls."""

    def set_up(self, sshd: Sshd) -> None:
        self.host("there", address=sshd.address, username=sshd.username)
        self.node("far", host="there")
        self.node("safe", archive=1)
        self.calls = self.base / "calls"
        self.down = self.base / "down"
        ssh = stand_in(
            self.base / "bin",
            "ssh",
            f"echo >> {self.calls}\n[ -e {self.down} ] && {{ echo 'ssh: no route' >&2; exit 255; }}\n"
            'exec /usr/bin/ssh "$@"',
        )
        self.configure(transfer={"ssh": [str(ssh), *sshd.ssh[1:]]}, sync={"jobs": 2, "remind_after": "1d"})

    def sessions(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def later(self) -> None:
        """Make the next attempts due."""
        for table in ("sync_backoff", "sync_attempt"):
            self.do(f"UPDATE {table} SET next = last")


@pytest.fixture
def hosts(sqlite_archive: Archive, sshd: Sshd) -> Hosts:
    sqlite_archive.__class__ = Hosts
    assert isinstance(sqlite_archive, Hosts)
    sqlite_archive.set_up(sshd)
    return sqlite_archive


def counts(hosts: Hosts) -> list[tuple[str, int]]:
    return [row[:2] for row in hosts.held_back()]


def test_situation_17_a_host_that_is_down_is_tried_by_one_request_and_mailed_once(hosts: Hosts) -> None:
    hosts.requests(hosts.files(202, "far"), "far", "safe")
    hosts.down.touch()
    first = hosts.sync()
    assert first.status == 1 and len(first.err.splitlines()) <= 2, first
    assert "the session with host there failed: no route (202 files)" in first.err
    # It points to what shows them: no request has failed by itself.
    assert first.err.endswith("next attempts, see: alpenhorn request list\n"), first
    assert hosts.run("request", "list", "--state", "failing", "--json").json == []
    assert all("no route" in row["waits"] for row in hosts.run("request", "list", "--json").json)
    assert counts(hosts) == [("host", 1)] and hosts.all("SELECT * FROM sync_attempt") == []
    sessions = hosts.sessions()
    for _ in range(2):
        hosts.synced()
    assert hosts.sessions() == sessions
    # Its time has come: one request tries.
    hosts.later()
    result = hosts.sync()
    assert result.status == 1 and result.silent, result
    assert counts(hosts) == [("host", 2)] and hosts.one("SELECT COUNT(*) FROM sync_attempt") == 1
    assert hosts.claims() == 0
    # It is back: that is said, and all that waited comes in the same run.
    hosts.down.unlink()
    hosts.later()
    result = hosts.sync()
    assert result.status == 0 and "note: host there answers again, after " in result.err, result
    assert counts(hosts) == [] and hosts.pending() == 0 and hosts.tree("safe") == hosts.tree("far")
    hosts.synced()


def test_plan_list_and_show_report_the_wait_and_retry_ends_it(hosts: Hosts) -> None:
    requests = hosts.requests(hosts.files(3, "far"), "far", "safe")
    hosts.down.touch()
    hosts.sync()
    hosts.down.unlink()
    why = "host there could not be reached: 1 failed attempts"
    assert why in hosts.run("plan").out
    assert [why in row["waits"] for row in hosts.run("request", "list", "--json").json] == [True] * 3
    assert hosts.run("request", "show", str(requests[1]), "--json").json["in_a_run_now"].endswith("UTC")
    assert "host there" in hosts.run("status").out
    assert "1 host or node" in hosts.run("request", "retry", str(requests[1])).out
    assert counts(hosts) == []
    assert hosts.sync().status == 0 and hosts.pending() == 0


def test_retry_all_forgets_hosts_too(hosts: Hosts) -> None:
    hosts.requests(hosts.files(3, "far"), "far", "safe")
    hosts.down.touch()
    hosts.sync()
    assert "1 host or node" in hosts.run("request", "retry", "--all").out
    assert counts(hosts) == []
    assert "no failed attempts" in hosts.run("request", "retry", "--all").out


def test_a_request_that_ends_the_connection_does_not_block_others_for_ever(hosts: Hosts) -> None:
    """It is the first request, and a probe with it alone would never succeed."""
    ids = hosts.files(3, "far")
    hosts.requests(ids, "far", "safe")
    hosts.down.touch()
    hosts.sync()
    hosts.later()
    hosts.sync()
    hosts.down.unlink()
    hosts.do("UPDATE sync_backoff SET next = last")  # of the host, and not that of the first request
    hosts.sync()
    assert counts(hosts) == [] and hosts.pending() == 1


def test_a_node_that_is_not_mounted_there_is_tried_by_one_request(hosts: Hosts) -> None:
    hosts.node("other", host="there")
    requests = hosts.requests(hosts.files(30, "far"), "far", "safe")
    sound = hosts.request(hosts.file("acq/sound", None, "other"), "other", "safe")
    far = hosts.root("far")
    far.rename(hosts.base / "away")
    far.mkdir()
    first = hosts.sync()
    assert first.status == 1 and "node far is not mounted on host there" in first.err, first
    assert counts(hosts) == [("node", 1)] and hosts.state(sound) == "done"
    hosts.synced()
    hosts.later()
    assert hosts.sync().silent
    assert counts(hosts) == [("node", 2)]
    far.rmdir()
    (hosts.base / "away").rename(far)
    hosts.later()
    result: Result = hosts.sync()
    assert result.status == 0 and hosts.pending() == 0, result
    assert counts(hosts) == [] and {hosts.state(request) for request in requests} == {"done"}


def test_a_host_without_pending_requests_is_not_a_condition(hosts: Hosts) -> None:
    pull = hosts.request(hosts.file("acq/f", None, "far"), "far", "safe")
    hosts.down.touch()
    hosts.sync()
    assert hosts.run("request", "cancel", str(pull)).status == 0
    result = hosts.sync()
    assert result.status == 0 and result.err.startswith("note: resolved after "), result
    hosts.synced()


def test_a_host_that_hangs_is_not_said_to_answer_again(hosts: Hosts) -> None:
    """The single request that tries the host is killed after its time limit."""
    hosts.request(hosts.file("acq/f", None, "far"), "far", "safe")
    hosts.down.touch()
    hosts.sync()
    stand_in(hosts.base / "bin", "ssh", "exec sleep 1000")
    settings = {"ssh": [str(hosts.base / "bin" / "ssh")], "pull_timeout_base": 1}
    hosts.configure(transfer=settings, sync={"jobs": 2, "remind_after": "1d"})
    hosts.later()
    result = hosts.sync()
    assert result.status == 1 and "answers again" not in result.err, result
    assert counts(hosts) == [("host", 2)]
