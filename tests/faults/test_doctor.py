"""Findings of `alpenhorn doctor` about hosts and mounts that do not answer properly."""

from __future__ import annotations

import ctypes
import datetime
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.doctor import hosts as doctor_hosts
from alpenhorn.doctor import nodes as doctor_nodes
from alpenhorn.index.check import Finding, Level
from alpenhorn.listings import doctor as scan
from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import Archive, Result, stand_in, wait_for
from tests.fixtures.sshd import Sshd, require_ssh

NOW = datetime.datetime(2026, 7, 22, 12, 0, 0)
MNT_DETACH = 2


def wrong(result: Result) -> list[tuple[str, str, str]]:
    """Return (level, text, remedy) of each finding that is not a pass."""
    found = re.findall(r"^(warn|fail)  (.*)\n(?:      (.*)\n)?", result.out, re.MULTILINE)
    assert result.err == ""
    return found


def only(result: Result, level: str, text: str, remedy: str) -> None:
    """Check that this is the only warning or failure."""
    (found,) = wrong(result)
    assert found[0] == level and re.search(text, found[1]) and re.search(remedy, found[2]), found
    assert result.status == (1 if level == "fail" else 0)


# --- hosts that files come from ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    require_ssh()
    made = Sshd(tmp_path_factory.mktemp("sshd"))
    yield made
    made.stop()


@pytest.fixture
def there(sqlite_archive: Archive, server: Sshd) -> Iterator[Archive]:
    """Node `field` here, to which something is to come from node `far` on host `there`; what a test changes
    of the server's files is put right again."""
    archive = sqlite_archive
    archive.configure(transfer={"ssh": server.ssh})
    archive.node("field")
    archive.host("there", address=server.address, username=server.username)
    archive.node("far", host="there")
    archive.synced()
    archive.request(archive.file("acq/one", b"x", "far"), "far", "field")
    before = {path: path.read_bytes() for path in server.base.iterdir() if path.is_file()}
    yield archive
    for path, content in before.items():
        path.write_bytes(content)


def test_a_host_that_answers_passes_and_so_does_the_pull(there: Archive, server: Sshd) -> None:
    result = there.run("doctor")
    assert wrong(result) == [] and result.status == 0
    who = f"{server.username}@{server.address}"
    assert f"\npass  host there answers as a source of files ({who})\n" in result.out
    there.synced()
    assert there.pending() == 0


def test_nothing_is_written_when_a_host_is_asked(there: Archive) -> None:
    before = there.everything("far"), there.everything("field")
    there.run("doctor")
    assert (there.everything("far"), there.everything("field")) == before
    assert not Path(doctor_hosts.NOWHERE).exists()


def assert_the_pull_fails_too(archive: Archive) -> None:
    """Check that a real pull gives the same result."""
    assert archive.sync().status == 1
    assert archive.pending() == 1


def test_a_refused_key(there: Archive, server: Sshd) -> None:
    (server.base / "authorized_keys").write_text("")
    only(there.run("doctor"), "fail", "host there refuses the login", f"ssh-copy-id {server.username}@127")
    assert_the_pull_fails_too(there)


def test_a_changed_host_key(there: Archive, server: Sshd) -> None:
    known = server.base / "known_hosts"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(there.base / "other")], check=True
    )
    known.write_text(f"{known.read_text().split()[0]} {(there.base / 'other.pub').read_text()}")
    result = there.run("doctor")
    only(
        result, "fail", "a different host key than before", "once you know the reason: ssh-keygen -f .*; then"
    )
    # The command that is told is the right one.
    (command,) = re.findall(r"(ssh-keygen .*?); then", result.out)
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    only(there.run("doctor"), "fail", "not known here", "compare the key and accept it: ssh -F ")
    assert_the_pull_fails_too(there)


def test_a_server_that_is_down(there: Archive, server: Sshd) -> None:
    server.stop()
    try:
        only(there.run("doctor"), "fail", "cannot be reached: Connection refused", "runs sshd")
    finally:
        server.start()


def test_an_address_that_does_not_resolve(there: Archive) -> None:
    there.do("UPDATE storagehost SET address = 'host.invalid' WHERE name = 'there'")
    only(
        there.run("doctor"),
        "fail",
        "cannot be reached: Could not resolve hostname",
        "alpenhorn host modify there --address",
    )


def test_a_host_that_never_answers(there: Archive, server: Sshd) -> None:
    """A server that accepts the connection and sends nothing; the user's own time-out is honoured."""
    with socket.socket() as mute:
        mute.bind((server.address, 0))
        mute.listen()
        port = str(mute.getsockname()[1])
        conf = there.configure(transfer={"ssh": [*server.ssh, "-oConnectTimeout=1", "-p", port]})
        only(there.run("doctor", conf=conf), "fail", "cannot be reached: .*timed out", "--address")


def test_another_host_without_rsync(there: Archive, server: Sshd) -> None:
    """The server sets a PATH without rsync."""
    (server.base / "sshd_config").write_text(
        (server.base / "sshd_config").read_text() + f"SetEnv PATH={there.base}/none\n"
    )
    server.stop()
    server.start()
    try:
        only(there.run("doctor"), "fail", "has no rsync on the login's PATH", "install rsync there")
    finally:
        (server.base / "sshd_config").write_text(
            (server.base / "sshd_config").read_text().replace(f"SetEnv PATH={there.base}/none\n", "")
        )
        server.stop()
        server.start()


def test_a_shell_that_prints_something(there: Archive, server: Sshd) -> None:
    keys = server.base / "authorized_keys"
    keys.write_text(f'command="echo Welcome; exec $SSH_ORIGINAL_COMMAND" {keys.read_text()}')
    only(there.run("doctor"), "fail", "prints text when a shell starts", "start-up files")


def test_a_key_that_may_only_run_rsync_passes(there: Archive, server: Sshd) -> None:
    """doctor tries the command of a pull, and no other one."""
    keys = server.base / "authorized_keys"
    only_rsync = "case $SSH_ORIGINAL_COMMAND in (rsync\\ --server*) exec $SSH_ORIGINAL_COMMAND;; esac; exit 1"
    keys.write_text(f'command="{only_rsync}" {keys.read_text()}')
    assert wrong(there.run("doctor")) == []


def test_a_root_that_is_missing_on_the_other_host(there: Archive) -> None:
    (there.root("far") / MARKER).unlink()
    result = there.run("doctor")
    only(
        result,
        "fail",
        f"node far on host there: {there.root('far')}/{MARKER} cannot be read",
        "alpenhorn doctor",
    )
    assert "pass  host there answers" in result.out


def test_a_node_of_another_host_that_needs_no_marker_is_looked_for_by_its_root(there: Archive) -> None:
    settings = json.dumps({"quota_id": "science", "quota_type": "group", "headroom": 0})
    there.do("UPDATE storagenode SET io_class = 'LustreHSM', io_config = ? WHERE name = 'far'", settings)
    root = there.root("far")
    (root / MARKER).unlink()
    assert wrong(there.run("doctor")) == []
    root.rename(root.parent / "elsewhere")
    only(there.run("doctor"), "fail", f"node far on host there: {root} cannot be read", "alpenhorn doctor")


def test_a_host_without_address_or_user(there: Archive) -> None:
    there.do("UPDATE storagehost SET address = NULL, username = NULL WHERE name = 'there'")
    only(
        there.run("doctor"),
        "fail",
        "host there has no address and no username",
        "alpenhorn host modify there --address ADDRESS --username USERNAME",
    )
    there.do("UPDATE storagehost SET address = '-oProxyCommand=x', username = 'u' WHERE name = 'there'")
    (found,) = wrong(there.run("doctor"))
    assert found[0] == "fail" and "not a host name or an IP address" in found[1]


def test_a_source_without_a_root(there: Archive) -> None:
    there.do("UPDATE storagenode SET root = NULL WHERE name = 'far'")
    (found,) = wrong(there.run("doctor"))
    assert found[0] == "fail" and "alpenhorn node modify far --root DIR" in found[1]
    there.do("UPDATE storagenode SET root = 'far' WHERE name = 'far'")
    (found,) = wrong(there.run("doctor"))
    assert found[0] == "fail" and "'far' of node far is not an absolute path" in found[1]


def test_a_host_that_nothing_comes_from_is_only_a_warning(there: Archive, server: Sshd) -> None:
    there.do("DELETE FROM archivefilecopyrequest")
    (server.base / "authorized_keys").write_text("")
    only(there.run("doctor"), "warn", "refuses the login", "ssh-copy-id")


@pytest.mark.parametrize("why", ["edge", "earlier"])
def test_a_host_from_which_files_come_by_rule_or_came_is_needed(
    there: Archive, server: Sshd, why: str
) -> None:
    if why == "edge":
        there.do("DELETE FROM archivefilecopyrequest")
        there.insert(
            "storagetransferaction",
            node_from_id=there.id("storagenode", "far"),
            group_to_id=there.id("storagegroup", "field"),
            autosync=1,
            autoclean=0,
        )
    else:
        there.do("UPDATE archivefilecopyrequest SET completed = 1")
    (server.base / "authorized_keys").write_text("")
    only(there.run("doctor"), "fail", "refuses the login", "ssh-copy-id")


def test_a_host_that_others_cannot_find_is_reported(there: Archive) -> None:
    there.do("DELETE FROM archivefilecopyrequest")
    there.request(there.file("acq/two", b"y", "field"), "field", "far")
    only(
        there.run("doctor"),
        "warn",
        "other hosts need to fetch files from this one, but host here has no address and no username",
        "alpenhorn host modify here --address ADDRESS --username USERNAME",
    )


def asked(archive: Archive, transfer: Transfer, seconds: float) -> list[Finding]:
    facts = scan.facts(archive.index, "here")
    wanted = doctor_hosts.sources(facts, "here")
    return list(doctor_hosts.hosts(wanted, transfer, frozenset({"rsync", "ssh"}), seconds))


@pytest.mark.usefixtures("nothing_is_left")
def test_hosts_are_asked_in_parallel_with_a_time_limit(there: Archive) -> None:
    """ssh is a program that never ends."""
    for number in range(10):
        there.host(f"h{number}", address=f"192.0.2.{number}", username="ann")
        there.node(f"n{number}", host=f"h{number}", made=False)
    marks = there.base / "marks"
    marks.mkdir()
    ssh = stand_in(there.base / "tools", "ssh", f"echo $$ > {marks}/$$; sleep 1000 & wait")
    began = time.monotonic()
    found = asked(there, Transfer(ssh=(str(ssh),)), 3.0)
    assert time.monotonic() - began < 20  # one after the other they would take 30
    assert len(found) == 11 and all("did not answer within 3 s" in one.text for one in found)
    assert [one.level for one in found].count(Level.FAIL) == 1
    pids = [int(mark.name) for mark in marks.iterdir()]
    assert len(pids) == 11 and not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_an_interrupt_ends_it_and_everything_that_it_started(there: Archive) -> None:
    ssh = stand_in(there.base / "tools", "ssh", 'case "$*" in -V) exec ssh -V;; esac; sleep 1000 & wait')
    (there.base / "tools" / "ssh").write_text(ssh.read_text().replace("exec ssh", "exec /usr/bin/ssh"))
    running = there.start("doctor", conf=there.configure(transfer={"ssh": [str(ssh)]}))
    wait_for(lambda: running.programs("sleep"), "the session that hangs")
    running.process.send_signal(signal.SIGINT)
    assert running.result(20).status == 130
    running.wait_until_nothing_is_left()


# --- mounts that hang ----------------------------------------------------------------------------------


@contextmanager
def hanging(root: Path) -> Iterator[None]:
    """A FUSE file system whose server never answers: every access waits until it is killed."""
    if os.geteuid():
        pytest.fail("these tests mount a file system: run them as root")
    root.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    assert libc.mount(b"none", bytes(root), b"fuse", 0, options) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        libc.umount2(bytes(root), MNT_DETACH)
        os.close(device)


def looked(archive: Archive, seconds: float | None = None) -> list[Finding]:
    facts = scan.facts(archive.index, "here")
    return list(doctor_nodes.nodes(facts.topology, "here", facts.marks, facts.media, NOW, 3600.0, seconds))


@pytest.mark.usefixtures("nothing_is_left")
def test_a_mount_that_hangs_is_reported_and_the_other_nodes_too(sqlite_archive: Archive) -> None:
    sqlite_archive.node("field")
    sqlite_archive.node("dead", made=False)
    with hanging(sqlite_archive.root("dead")):
        found = looked(sqlite_archive, 1.0)
    assert [(one.level, one.text.split(":")[0]) for one in found] == [
        (Level.FAIL, "node dead"),
        (Level.PASS, "node field"),
    ]
    assert "did not answer within 1 s" in found[0].text
    assert "alpenhorn node deactivate dead" in found[0].remedy


@pytest.mark.slow
def test_doctor_ends_though_a_mount_hangs(sqlite_archive: Archive) -> None:
    sqlite_archive.node("field")
    sqlite_archive.node("dead", made=False)
    with hanging(sqlite_archive.root("dead")):
        running = sqlite_archive.start("doctor")
        result = running.result()
        running.wait_until_nothing_is_left()
    assert result.status == 1
    assert "fail  node dead: " in result.out and "pass  node field: " in result.out


@pytest.mark.usefixtures("nothing_is_left")
def test_a_read_only_mount_is_reported(sqlite_archive: Archive) -> None:
    root = sqlite_archive.node("field")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "none", str(root)], check=True)
    try:
        (root / MARKER).write_text("field\n")
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        (found,) = looked(sqlite_archive)
    finally:
        subprocess.run(["umount", str(root)], check=True)
    assert found.level is Level.FAIL and "is read-only" in found.text
    assert found.remedy == "mount it writable, or: alpenhorn node deactivate field"


def test_a_file_system_without_such_locks_is_reported(sqlite_archive: Archive) -> None:
    """strace makes every open-file-description lock fail, as on a file system that has none."""
    root = sqlite_archive.node("field")
    conf = sqlite_archive.configure()
    for _ in range(2):  # with the marker, and with the lock file of an earlier run
        argv = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-P",
            str(root / MARKER),
            "-P",
            f"{root}/.alpenhorn.lock",
        ]
        argv += ["-e", "trace=fcntl", "-e", "inject=fcntl:error=ENOLCK"]
        argv += [sys.executable, "-m", "alpenhorn", "-c", str(conf), "doctor"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1, done
        assert re.search(
            "^fail  node field: .*does not support open file description locks", done.stdout, re.MULTILINE
        ), done
        (root / ".alpenhorn.lock").touch()
