from __future__ import annotations

import json
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.reasons import Code, code_of
from alpenhorn.transfer.rclone import Answer, LogLine, Program, call, means_full, sums
from tests.fixtures.archive import stand_in


def script(base: Path, *lines: dict[str, str], status: int = 1, other: str = "") -> list[str]:
    """Return the command line of a program that writes a log as rclone does."""
    log = base / "log.txt"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + other)
    base.joinpath("bin").mkdir()
    return [str(stand_in(base / "bin", "rclone", f"cat {log} >&2\nexit {status}\n"))]


def test_names_are_never_in_the_command_line() -> None:
    argv = Program(("rclone", "-q"), "/etc/rclone.conf").command("copy", "a:", "/b", rate=5000, files=True)
    assert argv[:5] == ["rclone", "-q", "copy", "a:", "/b"]
    assert {"--config=/etc/rclone.conf", "--bwlimit=5000B", "--files-from-raw=-"} <= set(argv)
    assert not any(one.startswith(("--config", "--bwlimit")) for one in Program().command("lsjson", "a:"))


def test_each_file_has_its_verdict(tmp_path: Path) -> None:
    answer = call(
        script(
            tmp_path,
            {"level": "info", "msg": "Copied (new)", "object": "a", "objectType": "*local.Object"},
            {"level": "error", "msg": "Failed to copy: refused", "object": "b", "objectType": "*s3.Object"},
            {"level": "error", "msg": "Attempt 1/1 failed with 1 errors"},
            {"level": "notice", "msg": "no host key", "object": "sftp", "objectType": "string"},
        ),
        seconds=20,
    )
    assert (answer.status, answer.done(), answer.failed()) == (1, {"a"}, {"b": "Failed to copy: refused"})
    assert answer.why() == "Attempt 1/1 failed with 1 errors"


def test_text_that_is_no_log_is_an_error_without_its_passwords(tmp_path: Path) -> None:
    url = "panic: https://user:secret@host/\n"
    answer = call(script(tmp_path, other=url, status=2), seconds=20)
    assert answer.why() == "panic: https://host/" and not answer.failed()


def test_the_reason_of_a_call_is_the_error_itself() -> None:
    answer = Answer(1, "", (LogLine("error", "Attempt 1/1 failed with 2 errors and: api error: Forbidden"),))
    assert answer.why() == "api error: Forbidden"


def test_a_call_that_hangs_is_ended() -> None:
    with pytest.raises(StorageError) as ended:
        call(["sleep", "60"], seconds=0.2)
    assert code_of(ended.value.reason) is Code.PROGRAM_TIMED_OUT


@pytest.mark.parametrize(
    "text", ["no space left on device", "507 Insufficient Storage", "storageQuotaExceeded"]
)
def test_full_storage_is_recognised(text: str) -> None:
    assert means_full(text) and not means_full("403 Forbidden")


def test_sums_are_read_by_path() -> None:
    output = f"{'a' * 32}  acq/with  blanks\n{'ERROR':32}  acq/unreadable\n"
    assert sums(output) == {"acq/with  blanks": "a" * 32}
