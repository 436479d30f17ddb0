"""Sessions that read ranges of a file, run by the shells of this host as sshd would run them."""

from __future__ import annotations

import os
import select
import shlex
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.model.nodes import NodeFact
from alpenhorn.transfer import range_session
from alpenhorn.transfer.byte_ranges import BLOCK, ByteRange
from alpenhorn.transfer.range_session import COMMAND, RangeSession, source_lines
from tests.transfer.test_look import NAMES, SHELLS

SIZE_B = 5 * BLOCK + 3
DATA = os.urandom(SIZE_B)


def far(root: Path) -> NodeFact:
    return NodeFact(
        1, "far", str(root), 1, "there", "user", "192.0.2.1", True, False, None, None, None, 0.0, None
    )


class Answer:
    """The bytes that a session brings by offset, and how it ended."""

    def __init__(self, command: str, root: Path, path: str, *asked: ByteRange, shell: str = "sh") -> None:
        self.data = bytearray(SIZE_B)
        self.noted: list[ByteRange] = []
        self.session = RangeSession(
            [shell, "-c", command],
            source_lines(far(root), path, SIZE_B),
            SIZE_B,
            self._put,
            self.noted.append,
        )
        for one in asked:
            self.session.ask(one)
        while self.session.asked and not self.session.failed:
            select.select([self.session.fd, self.session.errors], [], [], 30)
            self.session.read_errors()
            if self.session.read() is None:
                break
        self.left = self.session.unfinished()
        if not self.session.failed and self.session.asked:
            select.select([self.session.pidfd], [], [], 30)
        self.lost = self.session.close()

    def _put(self, data: memoryview, offset: int) -> None:
        self.data[offset : offset + len(data)] = data


WHOLE = (ByteRange(2 * BLOCK, SIZE_B), ByteRange(0, 2 * BLOCK))


@pytest.mark.parametrize("shell", SHELLS)
def test_names_mean_nothing_to_any_shell(tmp_path: Path, shell: str, nothing_is_left: None) -> None:
    for name in NAMES[:-1]:
        (tmp_path / name).write_bytes(DATA)
        answer = Answer(COMMAND, tmp_path, name, *WHOLE, shell=shell)
        assert bytes(answer.data) == DATA, name
        assert answer.noted[-1].end == 2 * BLOCK and not answer.session.failed
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell in ("bash", "dash")])
def test_any_posix_shell_can_run_the_script(tmp_path: Path, shell: str) -> None:
    (tmp_path / "f").write_bytes(DATA)
    assert bytes(Answer(COMMAND.replace(" sh -c", f" {shell} -c"), tmp_path, "f", *WHOLE).data) == DATA


@pytest.mark.parametrize("kind", ["missing", "link", "dangling", "fifo", "directory"])
def test_only_a_regular_file_is_read(tmp_path: Path, kind: str, nothing_is_left: None) -> None:
    (tmp_path / "file").write_bytes(DATA)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    answer = Answer(COMMAND, tmp_path, kind, WHOLE[0])
    assert not answer.session.ready and not answer.lost and answer.noted == []


@pytest.mark.parametrize("size_b", [SIZE_B - 1, SIZE_B + 1, BLOCK, 0])
def test_a_file_of_another_length_is_not_read(tmp_path: Path, size_b: int) -> None:
    (tmp_path / "f").write_bytes((DATA + b"x")[:size_b])
    answer = Answer(COMMAND, tmp_path, "f", WHOLE[0])
    assert not answer.session.ready and not answer.lost and answer.noted == []


@pytest.mark.parametrize("size_b", [SIZE_B - 1, SIZE_B + 1, BLOCK])
def test_a_file_whose_length_changes_ends_the_session(tmp_path: Path, size_b: int) -> None:
    """Before the second range is read."""
    (tmp_path / "f").write_bytes(DATA)
    (tmp_path / "changed").write_bytes((DATA + b"x")[:size_b])
    change = f"[ ! -e {tmp_path}/changed ] || [ $s = 0 ] || cp {tmp_path}/changed {tmp_path}/f; case $(dd"
    command = COMMAND.replace("case $(dd", change)
    answer = Answer(command, tmp_path, "f", *reversed(WHOLE))
    assert answer.session.useful and not answer.lost and answer.session.asked
    assert answer.session.unproven().start == 2 * BLOCK
    assert bytes(answer.data[: 2 * BLOCK]) == DATA[: 2 * BLOCK]


def test_what_a_shell_prints_at_login_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    assert bytes(Answer(f"echo Welcome; {COMMAND}", tmp_path, "f", *WHOLE).data) == DATA
    endless = Answer("exec yes", tmp_path, "f", WHOLE[0])
    assert endless.session.failed and endless.noted == []


def test_a_session_that_dies_has_its_whole_blocks_and_the_rest_is_left(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    cut = f"{COMMAND} | head -c {2 * BLOCK + 100}; kill -9 $$"
    answer = Answer(cut, tmp_path, "f", ByteRange(BLOCK, 5 * BLOCK), ByteRange(5 * BLOCK, SIZE_B))
    assert answer.lost and answer.left == [ByteRange(3 * BLOCK, 5 * BLOCK), ByteRange(5 * BLOCK, SIZE_B)]
    assert sum(one.length for one in answer.noted) == 2 * BLOCK
    assert answer.data[BLOCK : 3 * BLOCK] == DATA[BLOCK : 3 * BLOCK]


def test_a_root_that_is_no_name_is_refused() -> None:
    with pytest.raises(StorageError):
        source_lines(far(Path("/\ud800")), "f", 1)


def test_a_connection_is_not_shared(tmp_path: Path) -> None:
    """The first value of an option counts for ssh, so ours come before those of the configuration."""
    argv = range_session.command(("ssh", "-oControlPath=/shared"), far(tmp_path))
    assert argv[:3] == ("ssh", "-oControlMaster=no", "-oControlPath=none")
    assert argv[-3:] == ("--", "192.0.2.1", COMMAND)
    assert not set("!\n") & set(COMMAND) and shlex.split(COMMAND)[:4] == ["exec", "env", "LC_ALL=C", "sh"]
