from __future__ import annotations

import os

import pytest

from alpenhorn.reasons import Code
from alpenhorn.transfer.ssh import cause, command, environment, failed

CLOSED = """\
rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]
rsync error: error in rsync protocol data stream (code 12) at io.c(285) [Receiver=3.5.0]
"""


def test_no_terminal_and_no_other_command_whatever_the_configuration_says() -> None:
    argv = command(("ssh", "-t", "-F", "x"), "DOM\\ann")
    assert argv.index("-T") > argv.index("-t") and "-oRemoteCommand=none" in argv
    assert argv[-2:] == ("-l", "DOM\\ann")
    assert "-l" not in command(("ssh",))


@pytest.mark.parametrize(
    ("stderr", "code", "text"),
    [
        (
            "ssh: connect to host 10.0.0.7 port 22: Connection refused",
            Code.HOST_UNREACHABLE,
            "host b cannot be reached: Connection refused (address 10.0.0.7, port 22)",
        ),
        (
            "ssh: Could not resolve hostname b.org: Name or service not known",
            Code.HOST_UNREACHABLE,
            "host b cannot be reached: Could not resolve hostname b.org: Name or service not known",
        ),
        (
            "ann@b: Permission denied (publickey).",
            Code.HOST_REFUSES_LOGIN,
            "host b refuses the login: ann@b: Permission denied (publickey).",
        ),
        (
            "protocol version mismatch -- is your shell clean?\n(see the rsync manpage for an explanation)",
            Code.HOST_PRINTS_AT_LOGIN,
            "is your shell clean?)",
        ),
        (
            "/usr/bin/rrsync error: option -s has been disabled on this server.",
            Code.HOST_RESTRICTS_COMMANDS,
            "option -s has been disabled",
        ),
        (
            "",
            Code.CONNECTION_LOST,
            "the connection to host b was lost: rsync: connection unexpectedly closed",
        ),
        ("client_loop: send disconnect: Broken pipe", Code.CONNECTION_LOST, "send disconnect: Broken pipe"),
        # It says nothing of the login.
        (
            'rsync: [sender] send_files failed to open "/d/f": Permission denied (13)\nshell: killed',
            Code.HOST_SESSION_FAILED,
            "the session with host b failed: shell: killed",
        ),
        ("ann's shell is broken", Code.HOST_SESSION_FAILED, "the session with host b failed: ann's shell"),
    ],
)
def test_situation_20_a_reason_names_the_host_as_the_index_does(stderr: str, code: Code, text: str) -> None:
    reason = failed("b", f"{stderr}\n{CLOSED}")
    assert reason.code is code and text in reason, reason


def test_an_empty_message_is_not_a_cause() -> None:
    assert cause(["", "rsync error: x"]) == "no message"


def test_the_environment_of_a_session_is_ours_where_both_set_a_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "5")
    found = environment()
    assert found["MALLOC_TRIM_THRESHOLD_"] == "5" and int(found["MALLOC_MMAP_THRESHOLD_"]) > 2**20
    assert found.items() >= os.environ.items()
