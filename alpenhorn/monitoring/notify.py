"""Notify people and a dead man's switch of runs, as configured in [notify]."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from alpenhorn.config import Config
from alpenhorn.errors import AlpenhornError
from alpenhorn.kinds import load
from alpenhorn.monitoring.notify_process import Separately
from alpenhorn.monitoring.run_start import RunStart

if TYPE_CHECKING:
    from alpenhorn.index.connection import Index
    from alpenhorn.monitoring.run_end import RunEnd

HARD_SECONDS = 15.0  # for everything at the end of a run; each delivery has less
DELIVERY = "alpenhorn.monitoring.notify_delivery"  # imported only in the process that delivers
START_SECONDS = 2.0  # at the end of a run, for the ping of its start


def begin(config: Config, start: RunStart) -> Callable[[Index | None, RunEnd], list[str]]:
    """Ping the start of a run, without waiting for the answer; return what to call at its end.

    That function returns the notes to print.  A run of a part of the work pings no start: its end would not count, and
    the switch would wait for another one.
    """
    ping = config.notify.ping
    started = None
    if ping and not start.partial:
        with suppress(OSError):  # no more processes, which the end of the run reports
            started = Separately(lambda: load(f"{DELIVERY}:ping_start")(ping), HARD_SECONDS)

    def end(index: Index | None, run: RunEnd) -> list[str]:
        if started is not None:
            with suppress(AlpenhornError):  # the end is pinged nevertheless
                started.result(START_SECONDS)  # so that the start arrives first

        def work() -> list[str]:
            return list(load(f"{DELIVERY}:deliver")(config, run, start.watched))

        try:
            separately = Separately(work, HARD_SECONDS)
        except OSError:  # no more processes, which may be why the run failed
            return work()
        return list(separately.result())

    return end


def send_test(config: Config) -> list[tuple[str, str]]:
    """Send a test message through each channel; return their names, and why each failed, "" if it did not.

    Raises CommandTimedOut if they do not end in time, CommandFailed.
    """
    found = Separately(lambda: load(f"{DELIVERY}:deliver_test")(config), HARD_SECONDS).result()
    return [(name, why) for name, why in found]
