import os
import select
import signal
import subprocess
import sys

import pytest

from alpenhorn.fs.processes import die_with_parent, kill_tree, prepare

SOON = 20


def ended(pidfd: int, seconds: float = SOON) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def shell(script: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True, **options)


def watch(*pids: str) -> list[int]:
    return [os.pidfd_open(int(pid)) for pid in pids]


def close(process: subprocess.Popen[str], pidfds: list[int]) -> None:
    for fd in pidfds:
        os.close(fd)
    process.stdout.close()
    process.poll()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("sleep 99 & echo $!; wait", id="child"),
        pytest.param("bash -c 'trap \"\" TERM; sleep 99 & echo $!; wait' & wait", id="grandchild"),
        pytest.param("setsid sleep 99 & echo $!; wait", id="child in a session of its own"),
        pytest.param("set -m; sleep 99 & echo $!; wait", id="child in a group of its own"),
        pytest.param("(sleep 99 & echo $!); sleep 99", id="orphan in the group"),
        pytest.param("(set -m; sleep 99 & echo $!); sleep 99", id="orphan in the session"),
        pytest.param("sleep 99 & echo $!; kill -STOP $$", id="stopped"),
    ],
)
def test_kill_tree_leaves_nothing_of_the_tree(script):
    process = shell(script, start_new_session=True)
    pidfds = watch(process.stdout.readline(), str(process.pid))
    assert kill_tree(process.pid) == []
    assert all(ended(fd) for fd in pidfds)
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, 0)
    close(process, pidfds)


def test_kill_tree_finds_orphans_in_the_session_of_an_ended_process():
    process = shell("set -m; sleep 99 & echo $!", start_new_session=True)
    pidfds = watch(process.stdout.readline())
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert kill_tree(process.pid) == []
    assert ended(pidfds[0])
    close(process, pidfds)


def test_kill_tree_of_a_process_in_our_own_group_spares_us_and_others_of_it():
    other = shell("echo; sleep 99")
    process = shell("echo; sleep 99")
    other.stdout.readline()
    process.stdout.readline()
    assert kill_tree(process.pid) == []
    assert other.poll() is None
    kill_tree(other.pid)
    close(process, [])
    close(other, [])


def test_kill_tree_catches_a_tree_that_keeps_forking():
    process = shell(
        "echo; f() { while :; do (sleep 99 & sleep 99 & wait) & sleep 0.001; done; }; f & f",
        start_new_session=True,
    )
    process.stdout.readline()
    assert not ended(process.stdout.fileno(), 0.2)
    assert kill_tree(process.pid) == []
    # All of them hold the pipe: its end is seen when the last one is gone.
    assert ended(process.stdout.fileno()) and process.stdout.read() == ""
    close(process, [])


def test_grace_lets_a_process_end():
    process = shell("trap 'echo cleaned up; exit' TERM; echo ready; while :; do sleep 0.01; done")
    assert process.stdout.readline() == "ready\n"
    assert kill_tree(process.pid, grace=SOON) == []
    assert process.stdout.read() == "cleaned up\n"
    close(process, [])


def test_grace_is_not_for_ever():
    process = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done")
    process.stdout.readline()
    pidfds = watch(str(process.pid))
    assert kill_tree(process.pid, grace=0.1) == []
    assert ended(pidfds[0])
    close(process, pidfds)


def test_grace_still_finds_the_orphans_of_a_process_that_ended():
    process = shell("(trap '' TERM; sleep 99 & echo $!; wait) & wait", start_new_session=True)
    pidfds = watch(process.stdout.readline())
    assert kill_tree(process.pid, grace=0.1) == []
    assert ended(pidfds[0])
    close(process, pidfds)


def test_kill_tree_of_a_process_that_is_gone_does_nothing():
    process = shell("true")
    process.wait()
    assert kill_tree(process.pid) == []
    close(process, [])


ASKING = """
import os, signal, sys
from alpenhorn.fs.processes import die_with_parent, prepare
prepare()
parent = os.getpid()
child = os.fork()
if child == 0:
    {wish}
    print(os.getpid(), flush=True)
    signal.pause()
signal.pause()
"""


@pytest.mark.parametrize(("wish", "dies"), [("die_with_parent(parent)", True), ("pass", False)])
def test_a_process_that_asked_for_it_dies_with_its_parent(wish, dies):
    process = subprocess.Popen(
        [sys.executable, "-c", ASKING.format(wish=wish)], stdout=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    pidfds = watch(str(child))
    process.kill()
    process.wait()
    assert ended(pidfds[0], SOON if dies else 0.2) == dies
    if not dies:
        signal.pidfd_send_signal(pidfds[0], signal.SIGKILL)
    close(process, pidfds)


def test_a_process_whose_parent_is_already_gone_dies_at_once():
    prepare()
    child = os.fork()
    if child == 0:
        die_with_parent(parent_pid=1 if os.getppid() != 1 else 2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
