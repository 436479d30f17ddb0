"""Pulls and doctor with ssh servers, shells, keys and rsync versions as found in practice."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from alpenhorn.model.nodes import MARKER
from alpenhorn.plan.routes import LEAST_STREAMED
from tests.fixtures.archive import Archive, Result, stand_in
from tests.fixtures.rsync import KNOWN, old_rsync
from tests.fixtures.sshd import Sshd


@pytest.fixture
def hosts(sqlite_archive: Archive, sshd: Sshd) -> Iterator[Archive]:
    """Host `there` with node `far`, from which `here` pulls onto node `safe`."""
    archive = sqlite_archive
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    archive.node("safe")
    archive.configure(transfer={"ssh": sshd.ssh})
    keys = sshd.base / "authorized_keys"
    kept = keys.read_text()
    yield archive
    keys.write_text(kept)


def wanted(archive: Archive, count: int = 3) -> list[int]:
    """Request `number` files."""
    ids = [archive.file(f"acq/{number}", b"bytes", "far") for number in range(count)]
    archive.requests(ids, "far", "safe")
    return ids


def attention(result: Result) -> list[str]:
    return [line for line in result.err.splitlines() if line.startswith(("failed: ", "note: "))]


def why(archive: Archive) -> str:
    """Return the reason why the host is waited for."""
    ((kind, _, error),) = archive.held_back()
    assert kind == "host"
    return error


# --- rsync ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["far", "far, not plain & ü"])
def test_situation_06_pulls_work_with_the_rsync_of_rhel_8(hosts: Archive, sshd: Sshd, directory: str) -> None:
    """Small files, of which one is missing and one differs, and a large one."""
    root = hosts.root("far").rename(hosts.base / directory)
    if root != hosts.root("far"):
        hosts.root("far").symlink_to(root)
    hosts.do("UPDATE storagenode SET root = ? WHERE name = 'far'", str(root))
    hosts.configure(transfer={"ssh": sshd.ssh, "rsync": str(old_rsync(hosts.base / "bin")), "tar": False})
    good, gone, rotten = wanted(hosts)
    (root / "acq" / "1").unlink()
    (root / "acq" / "2").write_bytes(b"bites")
    big = hosts.file("acq/big", os.urandom(65 * 2**20), "far")
    hosts.requests([big], "far", "safe")
    assert hosts.sync().status == 1
    assert sorted(hosts.tree("safe")) == ["acq/0", "acq/big"]
    assert [hosts.copy(file_id, "far") for file_id in (good, big, gone, rotten)] == ["YY", "YY", "MY", "MY"]
    assert hosts.violations() == []


def test_situation_06_a_pull_says_that_rsync_is_too_old(hosts: Archive, sshd: Sshd) -> None:
    old = old_rsync(hosts.base / "bin", "3.0.9", KNOWN.replace("|--outbuf=*", ""))
    hosts.configure(transfer={"ssh": sshd.ssh, "rsync": str(old), "tar": False})
    wanted(hosts, 1)
    result = hosts.sync()
    assert result.status == 1
    assert "is version 3.0.9, but alpenhorn needs 3.1.3 or later; install a newer rsync" in result.err


# --- streams -------------------------------------------------------------------------------------------


def test_a_big_file_is_planned_and_pulled_in_several_streams(hosts: Archive) -> None:
    data = os.urandom(2**20) * (LEAST_STREAMED // 2**20) + b"x"
    big = hosts.file("acq/big", data, "far")
    hosts.requests([big, hosts.file("acq/small", b"bytes", "far")], "far", "safe")
    plan = hosts.run("plan").out
    assert "several ssh sessions" in plan and "tar over ssh" in plan
    hosts.synced()
    assert hosts.tree("safe") == hosts.tree("far") and hosts.violations() == []


# --- hosts that cannot be reached ----------------------------------------------------------------------


def test_situation_20_a_host_that_cannot_be_reached_is_one_line_with_the_number_of_its_files(
    hosts: Archive, sshd: Sshd
) -> None:
    hosts.node("far2", host="there")
    hosts.node("safe2")
    wanted(hosts, 5)
    hosts.requests([hosts.file(f"more/{n}", b"x", "far2") for n in range(3)], "far2", "safe2")
    hosts.configure(transfer={"ssh": [*sshd.ssh, "-p", "1"]}, sync={"jobs": 1})
    result = hosts.sync()
    assert result.status == 1
    line = "host there cannot be reached: Connection refused (address 127.0.0.1, port 1)"
    (told,) = attention(result)
    assert re.fullmatch(rf"failed: {re.escape(line)} \(8 files\); the first: acq/0", told), result.err
    assert why(hosts) == line


# --- logins --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["DOM\\alice", "alice@corp.example.org"])
def test_situation_13_a_login_of_a_directory_service_reaches_ssh_as_it_is(
    hosts: Archive, sshd: Sshd, login: str
) -> None:
    """A substitute for the directory service resolves the login."""
    service = stand_in(
        hosts.base / "bin",
        "service-ssh",
        f"""
        [ "$1" = -V ] && exec ssh -V
        words=()
        while [ "$1" != -l ]; do words+=("$1"); shift; done
        [ "$2" = {shlex.quote(login)} ] || {{ echo "no such user: $2" >&2; exit 255; }}
        shift 2
        exec ssh "${{words[@]}}" -l {sshd.username} "$@"
        """,
    )
    assert hosts.run("host", "modify", "there", "--username", login).status == 0
    hosts.configure(transfer={"ssh": [str(service), *sshd.ssh[1:]]})
    wanted(hosts)
    hosts.synced()
    assert hosts.tree("safe") == hosts.tree("far")
    doctor = hosts.run("doctor")
    assert f"host there answers as a source of files ({login}@" in doctor.out, doctor


def test_situation_13_an_ipv6_address(hosts: Archive, tmp_path_factory: pytest.TempPathFactory) -> None:
    server = Sshd(tmp_path_factory.mktemp("sshd6"), "::1")
    try:
        hosts.run("host", "modify", "there", "--address", "::1")
        hosts.configure(transfer={"ssh": server.ssh})
        wanted(hosts)
        hosts.synced()
        assert hosts.tree("safe") == hosts.tree("far")
        assert "host there answers as a source of files" in hosts.run("doctor").out
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--address", "1.2.3.4:99", "Port 99"),
        ("--address", "store1:22", "Port 22"),
        ("--address", "ann@store1", "the username ann"),
        ("--address", "ssh://store1", "not a host name"),
        ("--username", "ann; id", "use letters, digits"),
        ("--username", "-oProxyCommand=x", "use letters, digits"),
    ],
)
def test_situation_13_an_unusable_login_is_refused_when_it_is_edited(
    sqlite_archive: Archive, option: str, value: str, said: str
) -> None:
    sqlite_archive.host("there")
    before = sqlite_archive.dump()
    for command in (("create", "new"), ("modify", "there")):
        result = sqlite_archive.run("host", *command, option, value)
        assert result.status == 1 and said in result.err and "nothing was changed" in result.err, result
    assert sqlite_archive.dump() == before


# --- shells and keys -----------------------------------------------------------------------------------


def allow(sshd: Sshd, options: str) -> None:
    """Restrict the key on the server."""
    keys = sshd.base / "authorized_keys"
    keys.write_text(f"{options} {keys.read_text()}")


@pytest.mark.parametrize("banner", ["Welcome to the archive", "x", "It is Monday.\\nMind the gap."])
def test_situation_14_a_shell_that_prints_text_is_named_as_the_cause(
    hosts: Archive, sshd: Sshd, banner: str
) -> None:
    allow(sshd, f"""command="printf '{banner}\\\\n'; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\"" """.strip())
    wanted(hosts)
    result = hosts.sync()
    assert result.status == 1
    (told,) = attention(result)
    assert told.startswith("failed: host there prints text when a shell starts"), result.err
    assert why(hosts).startswith("host there prints text when a shell starts")
    assert "manpage" not in result.err


def test_situation_14_no_terminal_is_asked_for_whatever_the_configuration_of_ssh_says(
    hosts: Archive, sshd: Sshd
) -> None:
    config = hosts.base / "client_config"
    config.write_text(sshd.client("*") + "    RequestTTY force\n    RemoteCommand echo hello\n")
    hosts.configure(transfer={"ssh": ["ssh", "-F", str(config)]})
    wanted(hosts)
    hosts.synced()
    assert hosts.tree("safe") == hosts.tree("far")


@pytest.mark.parametrize("tar", [True, False])
def test_a_run_shares_a_connection_that_ssh_keeps_open_and_does_not_wait_for_its_end(
    hosts: Archive, sshd: Sshd, tar: bool
) -> None:
    """The program that keeps it open inherits the standard error of the first session."""
    config = hosts.base / "client_config"
    shared = f"    ControlMaster auto\n    ControlPath /tmp/alpenhorn-{os.getpid()}\n    ControlPersist 600\n"
    config.write_text(sshd.client("*") + shared)
    hosts.configure(transfer={"ssh": ["ssh", "-F", str(config)], "tar": tar})
    wanted(hosts)
    hosts.requests([hosts.file("acq/big", os.urandom(65 * 2**20), "far")], "far", "safe")
    hosts.synced()
    assert hosts.tree("safe") == hosts.tree("far")
    # It fails if no connection is open any more.
    subprocess.run(["ssh", "-F", str(config), "-O", "exit", sshd.address], check=True)


def test_situation_07_a_key_that_may_only_read_with_rrsync(hosts: Archive, sshd: Sshd) -> None:
    allow(sshd, 'command="rrsync -ro /",restrict')
    ids = wanted(hosts)
    (hosts.root("far") / "acq" / "1").unlink()
    hosts.requests([hosts.file("acq/big", os.urandom(65 * 2**20), "far")], "far", "safe")
    assert hosts.sync().status == 1
    assert sorted(hosts.tree("safe")) == ["acq/0", "acq/2", "acq/big"]
    # The marker came in the same session, so that the missing file is not taken for an absent disk.
    assert hosts.copy(ids[1], "far") == "MY"
    doctor = hosts.run("doctor")
    assert "host there answers as a source of files" in doctor.out and "fail  " not in doctor.out, doctor
    (hosts.root("far") / MARKER).write_text("other\n")
    hosts.requests([hosts.file("acq/new", b"new", "far")], "far", "safe")
    assert "belongs to" in hosts.sync().err or hosts.pending() == 1


def test_situation_07_a_root_that_a_restricted_key_cannot_reach(hosts: Archive, sshd: Sshd) -> None:
    allow(sshd, 'command="rrsync -ro /",restrict')
    root = hosts.root("far").rename(hosts.base / "far away")
    hosts.do("UPDATE storagenode SET root = ? WHERE name = 'far'", str(root))
    hosts.root("far").symlink_to(root)
    wanted(hosts)
    result = hosts.sync()
    assert result.status == 1
    assert why(hosts).startswith("host there does not allow that command with this key"), result.err


def test_situation_07_copies_cannot_be_looked_at_with_such_a_key(hosts: Archive, sshd: Sshd) -> None:
    allow(sshd, 'command="rrsync -ro /",restrict')
    hosts.node("v1", host="there", archive=1)
    hosts.node("v2", host="there", archive=1)
    file = hosts.file("acq/f", b"bytes", "safe", "v1", "v2")
    hosts.set_copy(file, "safe", "YN")
    hosts.configure(transfer={"ssh": sshd.ssh}, sync={"delete_evidence": "stat"})
    result = hosts.sync()
    assert result.status == 1 and hosts.copy(file, "safe") == "YN"
    assert "host there allows only rsync with this key" in result.err and "delete_evidence" in result.err
