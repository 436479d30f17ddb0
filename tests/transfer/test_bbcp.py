from __future__ import annotations

import pytest

from alpenhorn.errors import CommandFailed
from alpenhorn.model.tasks import Blame
from alpenhorn.transfer.bbcp import LEAST_RATE, accepts, command, failure, keeps


def test_source_and_target_stand_last() -> None:
    argv = command("bbcp", "alice@store1:/data/acq/f", "/node/.alpenhorn/s/0", ("ssh", "-F", "my config"))
    assert argv[-2:] == ("alice@store1:/data/acq/f", "/node/.alpenhorn/s/0")
    shell = argv[argv.index("-S") + 1]
    assert "-oBatchMode=yes" in shell and "'my config'" in shell and shell.endswith("-l %U %H bbcp")


def test_a_rate_is_passed_in_bytes_where_bbcp_can_keep_it() -> None:
    argv = command("bbcp", "a@b:/f", "/t", ("ssh",), 5_000_000)
    assert argv[argv.index("-x") + 1] == "5000000" and argv[-2:] == ("a@b:/f", "/t")
    assert "-x" not in command("bbcp", "a@b:/f", "/t", ("ssh",))
    assert keeps(0) and keeps(LEAST_RATE) and not keeps(LEAST_RATE - 1)


@pytest.mark.parametrize(
    "path", ["/data/acq/f.h5", "/data/2026-01-01T00:00".replace(":", "_"), "/a=b,c@d%e+f"]
)
def test_plain_paths_are_taken(path: str) -> None:
    assert accepts("alice@store1", path)
    assert not accepts("DOM\\alice@store1", path) and not accepts("alice@[::1]", path)


@pytest.mark.parametrize(
    "path", ["data/f", "/a b", "/a;b", "/a:b", "/a'b", "/$(x)", "/a\nb", "/é", "/a*", "-/a"]
)
def test_paths_that_a_shell_could_read_are_left_to_rsync(path: str) -> None:
    assert not accepts("alice@store1", "/good", path)


@pytest.mark.parametrize(
    ("status", "stderr", "blame"),
    [
        (28, "bbcp: Unable to write; no space left on device", Blame.DESTINATION),
        (2, "bbcp: File /data/f does not exist.", Blame.SOURCE),
        (2, "bbcp: Unable to connect to store1; connection refused", Blame.NETWORK),
        (1, "", Blame.NETWORK),
        (-9, "", Blame.UNKNOWN),
    ],
)
def test_failure_of_bbcp_is_blamed_by_status_and_message(status: int, stderr: str, blame: Blame) -> None:
    assert failure(CommandFailed("bbcp", status, stderr), "store1").blame is blame
