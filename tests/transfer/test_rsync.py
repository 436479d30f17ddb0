from __future__ import annotations

import re

import pytest

from alpenhorn.model.tasks import Blame
from alpenhorn.transfer.rsync import SessionEnd, command, complaints, failure, remote_shell, too_old
from alpenhorn.transfer.ssh import command as ssh_command


def test_paths_stand_last_behind_the_end_of_options() -> None:
    argv = command("rsync", "store1:/data", "/node/.alpenhorn/s", ssh=("ssh",), user="alice")
    assert argv[-3:] == ("--", "store1:/data/", "/node/.alpenhorn/s/")
    assert argv[0] == "rsync" and all(option.startswith("-") for option in argv[1:-4])
    for option in ("--no-s", "--files-from=-", "--from0", "--whole-file", "-tpgo"):
        assert option in argv


def test_a_local_source_needs_no_remote_shell() -> None:
    assert "-e" not in command("rsync", "/data", "/node/.alpenhorn/s")


def test_a_part_is_appended_to() -> None:
    argv = command("rsync", "/data", "/node/.alpenhorn/part-7", part=True)
    assert "--append" in argv and "--whole-file" not in argv


@pytest.mark.parametrize(
    ("rate", "kib"), [(5_000_000, "4882"), (1024, "1"), (1023, "1"), (1, "1"), (10**12, "976562500")]
)
def test_a_rate_is_passed_in_kib_and_never_more_than_it_unless_rsync_knows_no_less(
    rate: int, kib: str
) -> None:
    argv = command("rsync", "/data", "/node/.alpenhorn/s", rate=rate)
    assert f"--bwlimit={kib}" in argv[: argv.index("--")]


def test_without_a_rate_there_is_no_limit() -> None:
    assert not any("bwlimit" in argument for argument in command("rsync", "/data", "/node/.alpenhorn/s"))


def test_ssh_never_asks_and_gives_up() -> None:
    argv = ssh_command(("ssh", "-F", "x"))
    assert argv[:4] == ("ssh", "-oBatchMode=yes", "-F", "x")
    assert any(option.startswith("-oConnectTimeout=") for option in argv)


def test_blanks_and_quotes_in_the_remote_shell_survive_rsyncs_splitting() -> None:
    assert "'/a b/c''d' '' " in remote_shell(("ssh", "/a b/c'd", ""))


def _without_roles(text: str) -> str:
    """Return messages as rsync before 3.2.0 wrote them, without the side."""
    return re.sub(r"^rsync: \[\w+\] ", "rsync: ", text, flags=re.MULTILINE)


SENDER = 'rsync: [sender] link_stat "/data/acq/a" failed: No such file or directory (2)'


@pytest.mark.parametrize(
    ("line", "path", "blame"),
    [
        (SENDER, "acq/a", Blame.SOURCE),
        ('file has vanished: "/data/acq/a"', "acq/a", Blame.SOURCE),
        (
            'rsync: [sender] send_files failed to open "/data/acq/a": Permission denied (13)',
            "acq/a",
            Blame.UNKNOWN,
        ),
        ('rsync: [sender] read errors mapping "/data/acq/a": Input/output error (5)', "acq/a", Blame.UNKNOWN),
        (
            r'rsync: [sender] link_stat "/data/acq/\#303\#251\#012"x" failed: No such file or directory (2)',
            'acq/é\n"x',
            Blame.SOURCE,
        ),
    ],
)
def test_messages_of_the_sender_about_a_file(line: str, path: str, blame: Blame) -> None:
    found = complaints(SessionEnd(23, f"noise\n{line}\nrsync error: some (code 23)"), [path, "acq/other"])
    assert {name: error.blame for name, error in found.items()} == {path: blame}
    found = complaints(SessionEnd(23, f"noise\n{_without_roles(line)}\nrsync error: some (code 23)"), [path])
    assert {name: error.blame for name, error in found.items()} == {path: blame}


@pytest.mark.parametrize(
    ("status", "stderr", "remote", "blame"),
    [
        (
            255,
            "ssh: connect to host h port 22: Connection refused\nrsync error: x (code 255)",
            True,
            Blame.NETWORK,
        ),
        (255, "Host key verification failed.\nrsync error: x", True, Blame.NETWORK),
        (
            12,
            "rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]",
            True,
            Blame.NETWORK,
        ),
        (30, "rsync error: timeout in data send/receive (code 30)", True, Blame.NETWORK),
        (127, "bash: rsync: command not found", True, Blame.NETWORK),
        (12, "rsync: connection unexpectedly closed", False, Blame.UNKNOWN),
        (
            11,
            'rsync: [receiver] write failed on "/n/f": No space left on device (28)\nrsync error',
            True,
            Blame.DESTINATION,
        ),
        (12, 'rsync: [receiver] mkstemp "/n/f" failed: Read-only file system (30)', True, Blame.DESTINATION),
        (
            23,
            'rsync: [generator] recv_generator: mkdir "/n" failed: Permission denied (13)',
            True,
            Blame.DESTINATION,
        ),
        (23, 'rsync: [receiver] mkstemp "/n/f" failed: File name too long (36)', True, Blame.UNKNOWN),
        (23, 'rsync: [sender] change_dir "/data" failed: No such file or directory (2)', True, Blame.UNKNOWN),
        (-9, "", True, Blame.UNKNOWN),
        (1, "rsync: --nonsense: unknown option", True, Blame.UNKNOWN),
        (0, "", True, Blame.SOURCE),
    ],
)
def test_who_is_to_blame_for_a_session(status: int, stderr: str, remote: bool, blame: Blame) -> None:
    assert failure(SessionEnd(status, stderr), "there" if remote else None).blame is blame
    # As 3.1.3 says it.
    assert failure(SessionEnd(status, _without_roles(stderr)), "there" if remote else None).blame is blame


def test_the_message_is_what_ssh_said() -> None:
    stderr = "ssh: connect to host h port 22: Connection refused\nrsync: closed\nrsync error: unexplained (code 255)"
    assert "Connection refused" in str(failure(SessionEnd(255, stderr), "there"))


def test_only_a_path_that_a_shell_would_change_takes_an_option_that_restricted_keys_do_not_allow() -> None:
    for plain in ("/data", "store1:/data/2026-01_a.b", "[fe80::1%eth0]:/data", "10.0.0.7:/a=b,c@d%e+f"):
        assert "--no-s" in command("rsync", plain, "/node/s", ssh=("ssh",))
    for odd in ("store1:/da ta", "/é", "store1:/a;b", "store1:/$x", "store1:/a'b", "store1:/~", "store1:/a*"):
        assert "-s" in command("rsync", odd, "/node/s", ssh=("ssh",))


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("3.1.2", True),
        ("3.0.9", True),
        ("2.6.9", True),
        ("3.1.3", False),
        ("3.2.0pre1", False),
        ("3.5", False),
    ],
)
def test_which_versions_are_too_old(version: str, old: bool) -> None:
    assert too_old(version) is old
