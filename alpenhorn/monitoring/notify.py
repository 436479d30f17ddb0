"""Notify people and a dead man's switch of runs, as configured in [notify]."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from alpenhorn.config import Config
from alpenhorn.errors import BUSY, DONE, AlpenhornError
from alpenhorn.monitoring.notify_process import Separately
from alpenhorn.monitoring.run_start import RunStart
from alpenhorn.reasons import Code

if TYPE_CHECKING:
    from alpenhorn.index.connection import Index
    from alpenhorn.monitoring.run_end import RunEnd

HARD_SECONDS = 15.0  # for everything at the end of a run; each delivery has less
PING = "ping"  # in the state file
START_SECONDS = 2.0  # at the end of a run, for the ping of its start


def begin(config: Config, start: RunStart) -> Callable[[Index | None, RunEnd], list[str]]:
    """Ping the start of a run, without waiting for the answer; return what to call at its end.

    That function returns the notes to print.  A run of a part of the work pings no start: its end would not count, and
    the switch would wait for another one.
    """
    ping = config.notify.ping
    started = None
    if ping and not start.partial:
        with suppress(
            OSError
        ):  # no more processes; the end is pinged nevertheless, and then this is reported
            started = Separately(functools.partial(_ping_start, ping), HARD_SECONDS)

    def end(index: Index | None, run: RunEnd) -> list[str]:
        if started is not None:
            with suppress(AlpenhornError):  # the end is pinged nevertheless
                started.result(START_SECONDS)  # so that the start arrives first
        work = functools.partial(_notify, config, run, start.watched)
        try:
            separately = Separately(work, HARD_SECONDS)
        except OSError:  # no more processes, which may be why the run failed
            return work()
        return list(separately.result())

    return end


def ping_suffix(run: RunEnd) -> str:
    """Return what a dead man's switch is told of a run: success only if it did all work of its host.

    Neither success nor failure is "/log": a part of the work, nodes that were left out or held by another run.  If that
    lasts, the switch misses a success.
    """
    if run.worked:
        return ""
    return "/log" if run.partial or run.exit_status in (DONE, BUSY) else "/fail"


def summary(run: RunEnd) -> list[str]:
    """Return the lines of a run's summary."""
    from alpenhorn import formats

    number = "" if run.run_id is None else f" {run.run_id}"
    seconds = (run.ended - run.began).total_seconds()
    lines = [
        f"{run.command} run{number} on {run.host} ended with status {run.exit_status} after {seconds:.0f} s"
    ]
    if run.why:
        lines[0] += f": {run.why}"
    lines += [
        f"{kind}: {one.done} done, {one.failed} failed, {formats.size(one.bytes)}"
        for kind, one in run.amounts.items()
    ]
    lines.append(f"nodes: {', '.join(run.nodes) or 'none'}")
    if run.left_out:
        lines.append(f"left out: {', '.join(run.left_out)}")
    return [*lines, *run.lines]


def send_test(config: Config) -> list[tuple[str, str]]:
    """Send a test message through each channel; return their names, and why each failed, "" if it did not.

    Raises CommandTimedOut if they do not end in time, CommandFailed.
    """
    found = Separately(lambda: _test(config), HARD_SECONDS).result()
    return [(name, why) for name, why in found]


# --- in a process of its own ---------------------------------------------------------------------------


def _ping_start(url: str) -> str:
    from alpenhorn.monitoring.notify_channels import ping

    return ping(url, "/start", ())


def _notify(config: Config, run: RunEnd, watched: bool) -> list[str]:
    """Deliver everything that is due after a run; return the notes to print."""
    from alpenhorn.index.times import posix
    from alpenhorn.monitoring.notify_channels import Deliveries, channels, ping, ping_name
    from alpenhorn.monitoring.notify_plan import fault_plan, plan, printable
    from alpenhorn.monitoring.notify_state import ChannelState, State

    settings, remind = config.notify, config.sync.remind_after
    now = posix(run.ended)
    deliveries = Deliveries()
    if url := settings.ping:  # before the lock, for which it need not wait
        deliveries.start(
            ping_name(url), lambda: ping(url, ping_suffix(run), list(map(printable, summary(run))))
        )
    # People at a terminal see the report.
    used = [] if watched else list(channels(settings))
    notes: list[str] = []
    with State(config) as state:
        before = {channel.name: state.channels.get(channel.id, ChannelState()) for channel in used}
        planned = {name: plan(one, run, settings, remind, now) for name, one in before.items()}
        for channel in used:
            if (message := planned[channel.name].message) is not None:
                deliveries.start(channel.name, functools.partial(channel.deliver, message))
        faults = deliveries.faults()
        for channel in used:
            one = planned[channel.name]
            state.channels[channel.id] = one.undelivered if faults.get(channel.name) else one.state
        ids = {channel.name: channel.id for channel in used}
        for name, why in faults.items():
            stored = state.channels.get(ids.get(name, PING), ChannelState())
            said = Code.NOTIFICATION_FAILED(channel=name, why=why) if why else ""
            fault, note = fault_plan(stored.fault, name, said, now, remind)
            state.channels[ids.get(name, PING)] = stored._replace(fault=fault)
            if note := note or (said if watched else ""):
                notes.append(note)
        if not watched:
            known = {PING, *(channel.id for channel in used)}
            state.channels = {name: one for name, one in state.channels.items() if name in known}
        state.save()
        if state.fault:
            notes.append(state.fault)
    return notes


def _test(config: Config) -> list[tuple[str, str]]:
    from alpenhorn.monitoring.notify_channels import Deliveries, channels, ping, ping_name
    from alpenhorn.monitoring.notify_plan import Message

    host = config.sync.host
    line = f"This is a test of the notifications of alpenhorn on host {host}."
    message = Message("test", host, f"alpenhorn on {host}: test", (line,), DONE)
    deliveries = Deliveries()
    if url := config.notify.ping:
        deliveries.start(ping_name(url), lambda: ping(url, "/log", message.lines))
    for channel in channels(config.notify):
        deliveries.start(channel.name, functools.partial(channel.deliver, message))
    return list(deliveries.faults().items())
