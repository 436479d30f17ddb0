"""The parts of `alpenhorn doctor` that need no host."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.doctor.checks import last_run
from alpenhorn.doctor.hosts import Source, refused, sources
from alpenhorn.doctor.index import network_file_system
from alpenhorn.doctor.tools import tools
from alpenhorn.index.check import Level
from alpenhorn.index.times import ago
from alpenhorn.listings.backups import Backups
from alpenhorn.listings.doctor import HostFacts, Marks
from alpenhorn.listings.runs import RunRow
from alpenhorn.model.nodes import NodeFact
from alpenhorn.scan.topology import Topology
from alpenhorn.transfer.rsync import SessionEnd
from tests.fixtures.archive import stand_in

NOW = datetime.datetime(2026, 7, 22, 12, 0, 0)


def node(id_: int, host: str | None, address: str | None = "far.org", active: bool = True) -> NodeFact:
    return NodeFact(
        id_, f"n{id_}", "/data", id_, host, "ann", address, active, False, None, None, None, 0.0, None
    )


def facts(nodes: list[NodeFact], used: set[int]) -> HostFacts:
    topology = Topology({one.id: one for one in nodes}, {})
    return HostFacts(topology, "", None, frozenset(used), frozenset(), Marks(), Backups(None, None, NOW))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "0 seconds"),
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (3599, "59 minutes"),
        (7200, "2 hours"),
        (86_400, "1 day"),
        (400_000, "4 days"),
    ],
)
def test_a_span_is_shown_in_its_largest_unit(seconds: int, told: str) -> None:
    assert ago(datetime.timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("hours", "status", "level"),
    [(0, 0, Level.PASS), (0, 75, Level.PASS), (0, 1, Level.WARN), (23, 0, Level.PASS), (25, 0, Level.WARN)],
)
def test_the_last_run_must_be_a_good_one_of_the_last_day(hours: int, status: int, level: Level) -> None:
    began = NOW - datetime.timedelta(hours=hours)
    found = last_run(RunRow(1, "here", "field", began, began, status, 0, 0, 0, {}), "here", NOW, False, None)
    assert found.level is level and bool(found.remedy) is (level is not Level.PASS)


MOUNTS = (
    ("/", "ext4"),
    ("/data", "nfs4"),
    ("/data/local", "xfs"),
    ("/database", "ext4"),
    ("/again", "ext4"),
    ("/again", "fuse.sshfs"),
    ("/over", "nfs"),
    ("/over", "tmpfs"),
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/index.db", ""),
        ("/data/index.db", "nfs4"),
        ("/data/../data/index.db", "nfs4"),
        ("/data/local/index.db", ""),
        ("/database/index.db", ""),
        ("/again/index.db", "fuse.sshfs"),
        ("/over/index.db", ""),
    ],
)
def test_a_path_is_on_the_file_system_of_the_longest_mount_point_above_it(path: str, kind: str) -> None:
    assert network_file_system(Path(path), MOUNTS) == kind


def test_source_hosts_are_required_and_others_with_an_address_are_optional() -> None:
    found = sources(
        facts(
            [
                node(1, "here"),
                node(2, "b"),
                node(3, "b"),
                node(4, "a"),
                node(5, "silent", address=None),
                node(6, "off", active=False),
                node(7, None),
                node(8, "z", address=None),
            ],
            {3, 8},
        ),
        "here",
    )
    assert [(one.name, one.needed, [n.id for n in one.nodes]) for one in found] == [
        ("b", True, [3]),
        ("z", True, [8]),
        ("a", False, [4]),
    ]


@pytest.mark.parametrize(
    ("status", "stderr", "text", "remedy"),
    [
        (12, "bash: line 1: rsync: command not found", "no rsync", "install rsync there"),
        (12, "sh: 1: rsync: not found", "no rsync", "install rsync there"),
        (12, "zsh:1: command not found: rsync", "no rsync", "install rsync there"),
        (12, "fish: Unknown command: rsync", "no rsync", "install rsync there"),
        (12, "rsync: Command not found.", "no rsync", "install rsync there"),
        (
            255,
            "ssh: Could not resolve hostname far.org: nodename",
            "cannot be reached: Could not resolve",
            "--address",
        ),
        (255, "ssh: connect to host far.org port 22: No route to host", "cannot be reached", "--address"),
        (255, "ssh: connect to host far.org port 22: Connection timed out", "cannot be reached", "--address"),
        (255, "Connection timed out during banner exchange", "cannot be reached", "--address"),
        (255, "ann@far.org: Permission denied (publickey).", "refuses the login", "ssh-copy-id ann@far.org"),
        (
            12,
            "bash: line 1: /usr/bin/rsync: Permission denied",
            "session .* failed: .*Permission",
            "ssh -l ann",
        ),
        (
            2,
            "protocol version mismatch -- is your shell clean?",
            "prints text when a shell starts",
            "start-up",
        ),
        (
            12,
            "This account is currently not available.",
            "not available",
            "ssh -l ann far.org rsync --version",
        ),
    ],
)
def test_what_ssh_and_rsync_say_has_a_remedy(status: int, stderr: str, text: str, remedy: str) -> None:
    said = f"{stderr}\nrsync error: some code (code {status}) at io.c(285) [Receiver=3.5.0]\n"
    for needed, level in ((True, Level.FAIL), (False, Level.WARN)):
        found = refused(Source("far", needed, (node(1, "far"),)), Transfer(), SessionEnd(status, said))
        assert found.level is level
        assert (
            found.text.endswith(" (ann@far.org)") and "host far" in found.text and re.search(text, found.text)
        ), found
        assert re.search(re.escape(remedy), found.remedy), found


def test_the_command_to_try_has_the_configured_options() -> None:
    transfer = Transfer(ssh=("ssh", "-F", "/etc/my ssh"))
    found = refused(Source("far", True, (node(1, "far"),)), transfer, SessionEnd(255, "odd"))
    assert found.remedy == "to test it: ssh -F '/etc/my ssh' -l ann far.org rsync --version"


@pytest.mark.usefixtures("nothing_is_left")
def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    hangs = stand_in(tmp_path, "rsync", "sleep 1000 & wait")
    found = list(tools(Transfer(rsync=str(hangs)), needed=True, seconds=0.3))
    assert [one.level for one in found] == [Level.FAIL, Level.PASS]
    assert "did not print its version within 0.3 s" in found[0].text
