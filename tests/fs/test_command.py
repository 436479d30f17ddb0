import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import time

import pytest

from alpenhorn.errors import CommandFailed, CommandTimedOut, Stopped, StorageError, UnsafePath
from alpenhorn.fs.command import LINE_KEPT, STDERR_KEPT, run


def shell(script, timeout=60.0, **options):
    return run(["bash", "-c", script], timeout=timeout, **options)


pytestmark = pytest.mark.usefixtures("nothing_is_left")


def gone(pid: int, seconds: float = 20) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


def test_output_is_returned():
    done = shell("echo out; echo err >&2")
    assert done == (("bash", "-c", "echo out; echo err >&2"), "out\n", "err\n")


def test_nothing_is_read_without_stdin():
    assert shell("cat").stdout == ""


def test_a_large_stdin_and_a_large_stdout_do_not_block_each_other():
    data = bytes(range(32, 127)) * 50_000
    assert run(["cat"], timeout=60, stdin=data).stdout.encode() == data


def test_a_program_that_does_not_read_its_stdin_may_succeed():
    assert shell("exec <&-; echo fine", stdin=b"x" * 1_000_000).stdout == "fine\n"


def test_env_replaces_ours():
    assert run(["/usr/bin/env"], timeout=60, env={"A": "b"}).stdout == "A=b\n"


def test_bytes_that_are_not_utf8_come_through():
    assert os.fsencode(shell(r"printf 'a\xffb'").stdout) == b"a\xffb"


def test_arguments_are_not_read_by_a_shell():
    assert run(["printf", "%s", "$(id); `id` *"], timeout=60).stdout == "$(id); `id` *"


def test_lines_are_delivered_as_they_come():
    """The program continues only after its first line was read."""
    read, write = os.pipe()
    os.set_inheritable(read, True)
    lines = []

    def take(line):
        lines.append(line)
        os.write(write, b"go\n")

    done = shell(f"echo one; read < {fifo(read)}; echo two", on_line=take)
    os.close(read)
    os.close(write)
    assert lines == ["one", "two"]
    assert done.stdout == ""


def fifo(fd: int) -> str:
    return f"/proc/{os.getpid()}/fd/{fd}"


def test_a_carriage_return_ends_a_line_and_empty_lines_are_left_out():
    lines = []
    shell(r"printf 'a\r\nb\rc\n\nlast'", on_line=lines.append)
    assert lines == ["a", "b", "c", "last"]


def test_a_line_without_end_is_cut():
    lines = []
    shell(f"head -c {5 * LINE_KEPT} /dev/zero | tr '\\0' x", on_line=lines.append)
    assert "".join(lines) == "x" * 5 * LINE_KEPT
    assert max(map(len, lines)) <= 3 * LINE_KEPT


def test_exception_of_on_line_kills_the_program_and_is_raised():
    def take(line):
        raise LookupError(line)

    with pytest.raises(LookupError, match="hello"):
        shell("echo hello; sleep 99", on_line=take)


def test_bytes_are_delivered_as_they_come():
    """The program continues only after its first bytes were read."""
    read, write = os.pipe()
    os.set_inheritable(read, True)
    found = []

    def take(data):
        if data:
            found.append(bytes(data))
            os.write(write, b"go\n")

    script = f"printf 'a\\0\\377'; read < {fifo(read)}; head -c 300000 /dev/zero"
    done = shell(script, on_data=take)
    os.close(read)
    os.close(write)
    assert found[0] == b"a\0\xff" and b"".join(found[1:]) == bytes(300_000)
    assert done.stdout == ""


def test_exception_of_on_data_kills_the_program_and_is_raised():
    def take(data):
        raise LookupError(bytes(data))

    with pytest.raises(LookupError, match="hello"):
        shell("echo hello; sleep 99", on_data=take)


def test_a_failure_reports_status_and_the_end_of_the_output():
    with pytest.raises(CommandFailed) as caught:
        shell("echo first >&2; echo last >&2; exit 23")
    assert (caught.value.status, caught.value.stderr) == (23, "first\nlast\n")
    assert str(caught.value) == "bash exited with status 23: last"


def test_a_failure_reports_the_output_before_it():
    with pytest.raises(CommandFailed) as caught:
        shell("echo answer; exit 1")
    assert caught.value.stdout == "answer\n"
    assert str(caught.value) == "bash exited with status 1"
    assert pickle.loads(pickle.dumps(caught.value)).stdout == "answer\n"


def test_a_program_with_endless_output_is_killed_before_it_fills_the_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StorageError, match="yes printed more than 16 MiB"):
        run(["yes"], timeout=60)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100 * 1024


def test_death_by_a_signal_is_a_negative_status():
    with pytest.raises(CommandFailed) as caught:
        shell("kill -9 $$")
    assert caught.value.status == -9


def test_only_the_end_of_a_long_stderr_is_kept():
    with pytest.raises(CommandFailed) as caught:
        shell("seq 1000000 >&2; exit 1")
    assert len(caught.value.stderr) == STDERR_KEPT
    assert caught.value.stderr.endswith("\n1000000\n")


def test_a_missing_program_is_named():
    with pytest.raises(StorageError, match="no-such-program is not on PATH"):
        run(["no-such-program"], timeout=60)


def test_a_program_that_cannot_be_run_is_named(tmp_path):
    file = tmp_path / "data"
    file.write_text("")
    with pytest.raises(StorageError, match=f"{file} cannot be started: Permission denied"):
        run([str(file)], timeout=60)


def test_an_argument_with_nul_is_refused():
    with pytest.raises(UnsafePath, match="null byte"):
        run(["true", "a\0b"], timeout=60)


def test_a_command_past_its_time_is_killed_with_all_its_children():
    pids = []
    started = time.monotonic()
    with pytest.raises(CommandTimedOut, match=r"bash did not end within 0\.5 s and was killed"):
        shell(
            "trap '' TERM; (trap '' TERM; sleep 99 & echo $!; wait) & echo $$; while :; do wait; done",
            timeout=0.5,
            on_line=lambda line: pids.append(int(line)),
        )
    assert time.monotonic() - started < 10
    assert len(pids) == 2 and all(map(gone, pids))


def test_a_stopped_command_is_killed_as_well():
    with pytest.raises(CommandTimedOut):
        shell("kill -STOP $$", timeout=0.2)


def test_sigterm_comes_first(tmp_path):
    kept = tmp_path / "kept"
    with pytest.raises(CommandTimedOut):
        shell(f"trap 'echo part > {kept}; exit' TERM; while :; do sleep 0.01; done", timeout=0.3)
    assert kept.read_text() == "part\n"


def test_a_command_is_stopped_when_the_run_is():
    seen = []
    with pytest.raises(Stopped):
        shell("echo; sleep 99", on_line=seen.append, stopping=lambda: True)


def test_a_command_that_is_not_stopped_may_take_longer_than_one_look():
    asked = []

    def stopping():
        asked.append(True)
        return False

    assert shell("sleep 0.7; echo done", stopping=stopping).stdout == "done\n"
    assert 2 <= len(asked) < 20


def test_a_child_that_holds_the_pipe_does_not_block():
    started = time.monotonic()
    done = shell("sleep 99 & echo $!")
    assert time.monotonic() - started < 10
    assert gone(int(done.stdout))


def test_a_child_that_fills_the_pipe_for_ever_does_not_block():
    assert shell("yes & echo $! >&2").stderr != ""


def test_a_child_in_its_own_session_is_left_running():
    """Like the master of shared ssh connections, which holds our pipe and must stay."""
    master = "setsid bash -c 'echo $$; exec sleep 99 >&2'"
    pid = int(shell(f"read pid < <(exec {master}); echo $pid").stdout)
    assert not gone(pid, 0.1)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)


def test_no_descriptor_of_ours_is_inherited(tmp_path):
    fd = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(fd, True)
    try:
        assert shell("ls /proc/$$/fd").stdout.split()[:3] == ["0", "1", "2"]
        assert str(fd) not in shell("ls /proc/$$/fd").stdout.split()
    finally:
        os.close(fd)


CALLER = """
from alpenhorn.fs.command import run
run(["bash", "-c", "echo $$; exec sleep 99"], timeout=None, on_line=lambda line: print(line, flush=True))
"""


def test_a_command_dies_with_the_process_that_runs_it():
    caller = subprocess.Popen([sys.executable, "-c", CALLER], stdout=subprocess.PIPE, text=True)
    pid = int(caller.stdout.readline())
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert gone(pid)
