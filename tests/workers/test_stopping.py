from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from alpenhorn.workers.stopping import StopRequest

PROGRAM = """
import os, select, sys
from alpenhorn.workers.stopping import StopRequest
woken, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
with StopRequest(wakeup) as stop:
    print("ready", flush=True)
    while not stop():
        select.select([woken], [], [])
    print("asked", flush=True)
    while True:
        select.select([], [], [])
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_cleanly_and_the_second_ends_at_once(
    first: signal.Signals, second: signal.Signals
) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(first)
            assert process.stdout.readline() == "asked\n"
            process.send_signal(second)
            assert process.wait(30) == 128 + second
        finally:
            process.kill()


def test_a_signal_wakes_whoever_waits_and_the_handlers_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    woken, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with StopRequest(wakeup) as stop:
            assert not stop()
            os.kill(os.getpid(), signal.SIGTERM)
            assert select.select([woken], [], [], 30)[0] == [woken]
            assert stop()
            assert stop.asked
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        os.close(woken)
        os.close(wakeup)
