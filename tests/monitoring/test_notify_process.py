from __future__ import annotations

import os
import select
import signal
import threading
import time

import pytest

from alpenhorn.errors import CommandFailed, CommandTimedOut
from alpenhorn.monitoring.notify_channels import Deliveries
from alpenhorn.monitoring.notify_process import Separately


def forever() -> None:
    """Block as a name server that never answers does: no signal that Python handles ends this."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    threading.Event().wait()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_result_is_that_of_the_call() -> None:
    separately = Separately(lambda: ["a", os.getpid()], 30)
    name, pid = separately.result()
    assert name == "a" and pid == separately._pid and gone(pid)


def test_a_long_result_is_complete() -> None:
    assert Separately(lambda: "x" * 1_000_000, 30).result() == "x" * 1_000_000


@pytest.mark.parametrize("seconds", [(0.3, None), (30, 0.3)])
def test_a_call_that_never_ends_is_given_up(seconds: tuple[float, float | None]) -> None:
    separately = Separately(forever, seconds[0])
    began = time.monotonic()
    with pytest.raises(CommandTimedOut, match=r"did not end within 0\.3 s and was killed"):
        separately.result(seconds[1])
    assert time.monotonic() - began < 10 and gone(separately._pid)


def test_the_kernel_ends_it_although_nobody_waits() -> None:
    separately = Separately(forever, 0.3)
    pidfd = os.pidfd_open(separately._pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000)
    os.close(pidfd)
    with pytest.raises(CommandTimedOut):
        separately.result()


def fails() -> None:
    raise KeyError("a secret")


def test_the_error_of_a_call_is_told_without_its_text() -> None:
    with pytest.raises(CommandFailed, match=r"KeyError, raised in line \d+ of test_notify_process") as found:
        Separately(fails, 30).result()
    assert "secret" not in str(found.value)


def test_one_delivery_that_hangs_or_fails_stops_no_other() -> None:
    deliveries = Deliveries(0.3)
    deliveries.start("a", threading.Event().wait)
    deliveries.start("b", lambda: f"{1 / 0}")
    deliveries.start("c", lambda: "")
    assert deliveries.faults() == {
        "a": "no answer within 0.3 s",
        "b": "failed (ZeroDivisionError)",
        "c": "",
    }
