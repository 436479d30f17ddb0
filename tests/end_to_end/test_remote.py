"""Pulls from another host, over ssh to a private server on this machine."""

import os

import pytest

from tests.fixtures.archive import stand_in

pytestmark = pytest.mark.one_engine


@pytest.fixture
def hosts(archive, sshd):
    """Host `there` with node `far`; host `here`, which runs, with node `safe`."""
    archive.sshd = sshd
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("safe", archive=1)
    archive.configure(transfer={"ssh": sshd.ssh})
    return archive


@pytest.fixture
def sqlite_hosts(sqlite_archive, sshd):
    archive = sqlite_archive
    archive.sshd = sshd
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("near")
    archive.node("safe", archive=1)
    archive.configure(transfer={"ssh": sshd.ssh})
    archive.pull = archive.request(archive.file("acq/f", b"bytes", "far"), "far", "safe")
    archive.local = archive.request(archive.file("acq/g", b"local", "near"), "near", "safe")
    return archive


def count_sessions(hosts, **configuration):
    """Return the file to which each ssh session of a run adds a line."""
    sessions = hosts.base / "sessions"
    counting = stand_in(hosts.base / "bin", "counting-ssh", f'echo >> {sessions}; exec ssh "$@"')
    hosts.configure(transfer={"ssh": [str(counting), *hosts.sshd.ssh[1:]]}, **configuration)
    return sessions


def test_files_come_from_another_host_in_few_sessions(hosts):
    ids = hosts.files(500, "far", 3000)
    big = os.urandom(70 * 2**20)
    ids.append(hosts.file("acq/big", big, "far"))
    hosts.requests(ids, "far", "safe")
    sessions = count_sessions(hosts)
    hosts.synced()
    assert hosts.tree("safe") == hosts.tree("far")
    assert hosts.pending() == 0 and hosts.claims() == 0 and hosts.violations() == []
    assert hosts.stray("safe") == []
    assert len(sessions.read_text()) < 10


@pytest.mark.parametrize(("jobs", "files", "expected"), [(8, 1876, 3), (20, 501, 2)])
def test_a_backlog_from_another_host_takes_few_sessions_and_more_with_more_workers(
    sqlite_hosts, jobs, files, expected
):
    hosts = sqlite_hosts
    hosts.requests(hosts.files(files, "far", 10), "far", "safe")
    sessions = count_sessions(hosts, sync={"jobs": jobs})
    hosts.synced("--only", "pull")
    assert hosts.pending() == 0 and hosts.tree("far").items() <= hosts.tree("safe").items()
    # One for each page: 8 workers: 625, 1250 and 1 files.
    assert len(sessions.read_text()) == expected


def test_odd_names_come_over_the_network_as_they_are(hosts):
    names = [
        "acq/with blank",
        "acq/-rf",
        "-acq/f",
        "acq/a:b",
        "acq/new\nline",
        "acq/ü\U0001f600",
        "a:b/$(x)`;*?[a]",
    ]
    ids = [hosts.file(name, None, "far") for name in names]
    hosts.requests(ids, "far", "safe")
    hosts.synced()
    assert hosts.tree("safe") == {name: name.encode() for name in names}


def test_missing_and_corrupt_files_on_the_other_host_are_blamed_on_the_source_and_the_rest_arrives(hosts):
    ids = [hosts.file(f"acq/{name}", b"bytes", "far") for name in ("good", "gone", "rotten", "short")]
    (hosts.root("far") / "acq" / "gone").unlink()
    hosts.put("far", "acq/rotten", b"bites")
    hosts.put("far", "acq/short", b"by")
    hosts.requests(ids, "far", "safe")
    assert hosts.sync().status == 1
    assert [hosts.copy(file_id, "far") for file_id in ids] == ["YY", "MY", "MY", "MY"]
    assert hosts.tree("safe") == {"acq/good": b"bytes"}
    # The host that has them finds out.
    assert hosts.sync(host="there").status == 1
    assert [hosts.copy(file_id, "far") for file_id in ids] == ["YY", "NY", "XY", "XY"]


def assert_network_trouble(archive, result, late=False):
    """`late`: it timed out, which also counts against the request, because the file may be too large."""
    assert result.status == 1, result
    assert archive.state(archive.local) == "done"
    assert archive.state(archive.pull) == "pending"
    assert archive.copy(1, "far") == "YY" and archive.copy(1, "safe") is None
    assert (archive.attempt(archive.pull) is not None) == late
    ((kind, count, error),) = archive.held_back()
    assert (kind, count) == ("host", 1) and error in result.err
    document = archive.run("request", "show", str(archive.pull), "--json").json
    assert error in document["waits"]
    assert late or "host there could not be reached" in document["in_a_run_now"]
    assert archive.one("SELECT next > last FROM sync_backoff") == 1
    assert archive.claims() == 0
    # It waits, and a run that finds nothing else to do says nothing.
    archive.synced()
    assert archive.held_back() == [(kind, 1, error)]
    assert archive.stray("safe") == []
    assert archive.run("request", "retry", str(archive.pull)).status == 0


def test_a_refused_connection_is_network_trouble(sqlite_hosts):
    ssh = [*sqlite_hosts.sshd.ssh, "-p", "1"]
    sqlite_hosts.configure(transfer={"ssh": ssh})
    assert_network_trouble(sqlite_hosts, sqlite_hosts.sync())
    sqlite_hosts.configure(transfer={"ssh": sqlite_hosts.sshd.ssh})
    sqlite_hosts.synced()
    assert sqlite_hosts.pending() == 0


def test_a_host_name_that_does_not_resolve_is_network_trouble(sqlite_hosts):
    sqlite_hosts.do("UPDATE storagehost SET address = 'no.such.host.invalid' WHERE name = 'there'")
    assert_network_trouble(sqlite_hosts, sqlite_hosts.sync())


def test_a_refused_key_is_network_trouble(sqlite_hosts):
    allowed = sqlite_hosts.sshd.base / "authorized_keys"
    kept = allowed.read_text()
    allowed.write_text("")
    try:
        assert_network_trouble(sqlite_hosts, sqlite_hosts.sync())
    finally:
        allowed.write_text(kept)


def test_a_changed_host_key_is_network_trouble(sqlite_hosts):
    known = sqlite_hosts.base / "known_hosts"
    known.write_text(
        f"[{sqlite_hosts.sshd.address}]:{sqlite_hosts.sshd.port} ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIJg0000000000000000000000000000000000000000\n"
    )
    sqlite_hosts.configure(transfer={"ssh": [*sqlite_hosts.sshd.ssh, "-o", f"UserKnownHostsFile={known}"]})
    assert_network_trouble(sqlite_hosts, sqlite_hosts.sync())


def test_after_network_trouble_the_host_is_left_alone_and_its_other_files_wait(sqlite_hosts):
    calls = sqlite_hosts.base / "calls"
    script = f"echo >> {calls}; echo 'connection refused' >&2; exit 255"
    refusing = stand_in(sqlite_hosts.base / "bin", "refusing", script)
    sqlite_hosts.configure(transfer={"ssh": [str(refusing)]}, sync={"jobs": 1})
    ids = [sqlite_hosts.file(f"big/{i}", bytes(66 * 2**20) + b"%d" % i, "far") for i in range(4)]
    sqlite_hosts.requests(ids, "far", "safe")
    result = sqlite_hosts.sync()
    assert result.status == 1
    # The one worker may have been handed its next job before the first one's end was recorded.
    assert len(calls.read_text()) <= 2
    assert sqlite_hosts.state(sqlite_hosts.local) == "done"
    assert sqlite_hosts.claims() == 0


@pytest.mark.parametrize("column", ["address", "username"])
def test_a_source_host_without_address_or_username_is_skipped_and_what_is_missing_named(sqlite_hosts, column):
    sqlite_hosts.do(f"UPDATE storagehost SET {column} = NULL WHERE name = 'there'")
    result = sqlite_hosts.sync()
    assert result.status == 0
    assert "far" in result.err and column in result.err and "note" in result.err
    assert sqlite_hosts.state(sqlite_hosts.local) == "done"
    assert sqlite_hosts.state(sqlite_hosts.pull) == "pending"
    assert sqlite_hosts.attempt(sqlite_hosts.pull) is None


def test_a_host_without_address_matters_only_when_the_network_is_needed(sqlite_hosts):
    sqlite_hosts.do("UPDATE storagehost SET address = NULL, username = NULL")
    sqlite_hosts.sync("--node", "safe")
    assert sqlite_hosts.state(sqlite_hosts.local) == "done"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("address", "-oProxyCommand=touch HERE"),
        ("address", "$(touch HERE)"),
        ("address", "a b"),
        ("username", "-oProxyCommand=touch HERE"),
        ("username", "x@y;touch HERE"),
        ("address", "127.0.0.1\ntouch HERE"),
    ],
)
def test_a_hostile_address_is_refused_and_never_executed(sqlite_hosts, column, value):
    proof = sqlite_hosts.base / "executed"
    sqlite_hosts.do(
        f"UPDATE storagehost SET {column} = ? WHERE name = 'there'", value.replace("HERE", str(proof))
    )
    result = sqlite_hosts.sync()
    assert not proof.exists()
    assert sqlite_hosts.state(sqlite_hosts.local) == "done", result
    assert sqlite_hosts.state(sqlite_hosts.pull) == "pending"
    assert sqlite_hosts.copy(1, "far") == "YY"
    assert "there" in result.err or "far" in result.err


def test_a_session_that_never_answers_is_killed_with_its_group_and_blamed_on_the_network(sqlite_hosts):
    pids = sqlite_hosts.base / "pids"
    hanging = stand_in(
        sqlite_hosts.base / "bin",
        "hanging",
        f"trap '' TERM; sleep 1000 & echo $$ $! >> {pids}; wait; sleep 1000",
    )
    sqlite_hosts.configure(transfer={"ssh": [str(hanging)], "pull_timeout_base": 1})
    run = sqlite_hosts.start("sync")
    result = run.result()
    run.wait_until_nothing_is_left()
    assert len(pids.read_text().split()) >= 2
    assert "1 s" in result.err
    assert_network_trouble(sqlite_hosts, result, late=True)


def test_bbcp_brings_the_files_where_it_is_configured(sqlite_hosts):
    arguments = sqlite_hosts.base / "arguments"
    program = stand_in(
        sqlite_hosts.base / "bin",
        "bbcp",
        f"""printf '%s\\n' "$@" >> {arguments}
            from="${{@: -2:1}}" to="${{@: -1}}"
            exec cp -p -- "${{from#*:}}" "$to" """,
    )
    sqlite_hosts.configure(transfer={"ssh": sqlite_hosts.sshd.ssh, "bbcp": "bbcp"})
    blank = sqlite_hosts.request(sqlite_hosts.file("acq/with blank", b"blank", "far"), "far", "safe")
    rotten = sqlite_hosts.file("acq/rotten", b"bytes", "far")
    sqlite_hosts.put("far", "acq/rotten", b"bites")
    sqlite_hosts.request(rotten, "far", "safe")
    result = sqlite_hosts.sync(path=str(program.parent))
    assert result.status == 1
    assert sqlite_hosts.tree("safe") == {"acq/f": b"bytes", "acq/g": b"local", "acq/with blank": b"blank"}
    assert sqlite_hosts.state(sqlite_hosts.pull) == sqlite_hosts.state(blank) == "done"
    assert sqlite_hosts.copy(rotten, "far") == "MY"
    user = f"{sqlite_hosts.sshd.username}@{sqlite_hosts.sshd.address}"
    assert f"{user}:{sqlite_hosts.root('far')}/acq/f\n" in arguments.read_text()


def test_rsync_is_used_if_bbcp_is_configured_and_not_installed(sqlite_hosts):
    sqlite_hosts.configure(transfer={"ssh": sqlite_hosts.sshd.ssh, "bbcp": "/no/such/bbcp"})
    sqlite_hosts.synced()
    assert sqlite_hosts.tree("safe") == {"acq/f": b"bytes", "acq/g": b"local"}


@pytest.mark.parametrize(("tar", "method"), [(True, "tar over ssh"), (False, "rsync over ssh")])
def test_small_files_come_in_a_stream_of_tar_unless_it_is_switched_off(sqlite_hosts, tar, method):
    sqlite_hosts.configure(transfer={"ssh": sqlite_hosts.sshd.ssh, "tar": tar})
    assert method in sqlite_hosts.run("plan").out
    sqlite_hosts.synced()
    assert sqlite_hosts.tree("safe") == {"acq/f": b"bytes", "acq/g": b"local"}
    assert f"{method} from far" in sqlite_hosts.run("history", "--file", "acq/f").out


def test_programs_that_are_missing_are_named(sqlite_hosts):
    sqlite_hosts.configure(transfer={"ssh": sqlite_hosts.sshd.ssh, "rsync": "/no/such/rsync", "tar": False})
    result = sqlite_hosts.sync()
    assert result.status == 1 and "/no/such/rsync" in result.err
    assert sqlite_hosts.state(sqlite_hosts.local) == "done"
    assert sqlite_hosts.copy(1, "far") == "YY"


def test_the_other_hosts_program_may_be_missing_without_blame_for_the_file(sqlite_hosts):
    without = stand_in(
        sqlite_hosts.base / "bin", "no-rsync-there", "echo 'rsync: command not found' >&2; exit 127"
    )
    sqlite_hosts.configure(transfer={"ssh": [str(without)]})
    assert_network_trouble(sqlite_hosts, sqlite_hosts.sync())


def test_a_node_on_two_hosts_is_only_worked_on_by_its_own(sqlite_hosts):
    sqlite_hosts.put("far", "acq/new", b"new")
    sqlite_hosts.run("node", "scan", "far", "--register-new")
    sqlite_hosts.synced()
    assert sqlite_hosts.one("SELECT completed FROM archivefileimportrequest") == 0
    sqlite_hosts.synced(host="there")
    assert sqlite_hosts.one("SELECT completed FROM archivefileimportrequest") == 1


def test_situation_01_a_message_in_another_encoding_affects_only_its_pull(archive, sshd):
    archive.host("there", address=sshd.address, username=sshd.username)
    for name in ("far", "near", "safe"):
        archive.node(name, host="there" if name == "far" else "here", archive=int(name == "safe"))
    archive.configure(transfer={"ssh": sshd.ssh})
    far = archive.request(archive.file("acq/f", b"bytes", "far"), "far", "safe")
    near = archive.request(archive.file("acq/g", b"local", "near"), "near", "safe")
    keys = sshd.base / "authorized_keys"
    before = keys.read_text()
    # In ISO-8859-1, with a control character and a NUL.
    says = stand_in(archive.base / "remote", "says", r"printf 'ferm\351 \033[31m\000 ici\n' >&2; exit 5")
    keys.write_text(f'command="{says}" {before}')
    try:
        result = archive.sync()
    finally:
        keys.write_text(before)
    assert result.status == 1, result
    assert archive.state(near) == "done" and archive.state(far) == "pending"
    ((_, count, error),) = archive.held_back()
    assert count == 1 and "ferm\\xe9" in error, error
    assert "ferm\\" in result.err and "\x1b" not in result.err
    assert archive.one("SELECT exit_status FROM sync_run") == 1
    shown = archive.run("request", "show", str(far))
    assert "ferm\\xe9" in shown.out and "\x1b" not in shown.out
