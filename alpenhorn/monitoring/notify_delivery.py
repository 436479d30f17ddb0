"""Deliver the messages of a run, in a process of its own, so that the run stays small and a delivery cannot stop it."""

from __future__ import annotations

import functools

from alpenhorn import formats
from alpenhorn.config import Config
from alpenhorn.errors import BUSY, DONE
from alpenhorn.index.times import posix
from alpenhorn.monitoring.notify_channels import Deliveries, channels, ping, ping_name
from alpenhorn.monitoring.notify_plan import Message, fault_plan, plan, printable
from alpenhorn.monitoring.notify_state import ChannelState, State
from alpenhorn.monitoring.run_end import RunEnd
from alpenhorn.reasons import Code

PING = "ping"  # in the state file


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


def ping_start(url: str) -> str:
    return ping(url, "/start", ())


def deliver(config: Config, run: RunEnd, watched: bool) -> list[str]:
    """Deliver everything that is due after a run; return the notes to print."""
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


def deliver_test(config: Config) -> list[tuple[str, str]]:
    host = config.sync.host
    line = f"This is a test of the notifications of alpenhorn on host {host}."
    message = Message("test", host, f"alpenhorn on {host}: test", (line,), DONE)
    deliveries = Deliveries()
    if url := config.notify.ping:
        deliveries.start(ping_name(url), lambda: ping(url, "/log", message.lines))
    for channel in channels(config.notify):
        deliveries.start(channel.name, functools.partial(channel.deliver, message))
    return list(deliveries.faults().items())
