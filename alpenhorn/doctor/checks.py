"""Check everything that a run on this host needs, in the order in which a run needs it.

Nothing is changed, neither in the index nor on a disk.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from alpenhorn.config import Config, Transfer
from alpenhorn.coordinator.nodes import make_ios
from alpenhorn.coordinator.run_states import RunState, run_states
from alpenhorn.doctor import (
    cluster as doctor_cluster,
)
from alpenhorn.doctor import (
    config as doctor_config,
)
from alpenhorn.doctor import (
    hosts as doctor_hosts,
)
from alpenhorn.doctor import (
    index as doctor_index,
)
from alpenhorn.doctor import (
    media as doctor_media,
)
from alpenhorn.doctor import (
    nodes as doctor_nodes,
)
from alpenhorn.doctor import (
    tools as doctor_tools,
)
from alpenhorn.errors import BUSY, DONE, ConfigError, IndexUnusable
from alpenhorn.index.check import Finding, Level
from alpenhorn.index.times import ago
from alpenhorn.listings.doctor import HostFacts
from alpenhorn.listings.runs import RunRow
from alpenhorn.model.conditions import IMPORTS, Condition
from alpenhorn.model.pulls import Method
from alpenhorn.plan.conditions import WHOLE
from alpenhorn.reasons import Code, recorded

IDLE_WARN = datetime.timedelta(days=1)


class Progress(NamedTuple):
    """The check that is in progress, for display on a terminal; not a result."""

    text: str


class Doctor:
    """All checks of a host.

    `explicit` is the file given with -c, `now` naive UTC.  `unusable`, once `findings` is exhausted: the configuration
    or the index cannot be used.
    """

    def __init__(self, explicit: Path | None, environ: Mapping[str, str], now: datetime.datetime) -> None:
        self._explicit = explicit
        self._environ = environ
        self._now = now
        self.unusable = False

    def findings(self) -> Iterator[Finding | Progress]:
        """Yield each finding as soon as it is known; skip checks whose prerequisites failed."""
        config = yield from doctor_config.configuration(self._explicit, self._environ)
        facts = None
        if config is None:
            self.unusable = True
        else:
            yield Progress("the index")
            try:
                facts = yield from doctor_index.index(config, self._environ)
            except (ConfigError, IndexUnusable) as error:
                self.unusable = True
                yield Finding(Level.FAIL, error.reason)
        if config is None or facts is None:
            transfer = Transfer() if config is None else config.transfer
            yield from doctor_tools.tools(transfer, needed=False)
            return
        usable = yield from doctor_tools.tools(config.transfer, _tools_needed(config, facts))
        yield from self._storage(config, facts, usable)

    def _storage(
        self, config: Config, facts: HostFacts, usable: frozenset[str]
    ) -> Iterator[Finding | Progress]:
        host = config.sync.host
        yield from doctor_media.index(facts.media)
        here = facts.topology.here(host)
        if here:
            yield Progress("the nodes of this host")
        # Workers are forked, and a fork while threads run may deadlock: so before the hosts.
        busy = yield from doctor_nodes.nodes(
            facts.topology, host, facts.marks, facts.media, self._now, config.sync.stuck_after
        )
        sources = doctor_hosts.sources(facts, host)
        if sources:
            yield Progress(f"asking {', '.join(source.name for source in sources)} by ssh")
        yield from doctor_hosts.hosts(sources, config.transfer, usable)
        yield from doctor_hosts.services(facts, config)
        yield from doctor_hosts.own_address(facts, host)
        if config.sync.scheduler:
            yield Progress(f"asking the Dask scheduler {config.sync.scheduler}")
            yield from doctor_cluster.cluster(config)
        for one in facts.conditions:
            yield lasting(host, one)
        if here:
            yield last_run(facts.last_run, host, self._now, busy, config.log.file)


def lasting(host: str, condition: Condition) -> Finding:
    """Return the finding for a condition that runs on the host report, with what to do about it."""
    since = f"{datetime.datetime.fromtimestamp(int(condition.began), datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
    text = recorded(f"runs on {host} have reported since {since}: {condition.why}", condition.code)
    if "alpenhorn " in condition.why:
        remedy = ""  # the text already names a command
    elif condition.code in WHOLE:
        remedy = "see its checks above"
    elif condition.subject.startswith(IMPORTS):
        remedy = "correct or remove the file; then: alpenhorn sync"
    else:
        remedy = "alpenhorn plan"
    return Finding(Level.WARN, text, remedy)


def _tools_needed(config: Config, facts: HostFacts) -> bool:
    """Return whether a run on this host may start rsync."""
    ios, _ = make_ios(facts.topology.here(config.sync.host))
    return bool(facts.sources) or any(io.local_method is Method.RSYNC for io in ios.values())


def last_run(run: RunRow | None, host: str, now: datetime.datetime, busy: bool, log: Path | None) -> Finding:
    """Report when the last run of a host with active nodes began, and how it ended.  `busy`: a run is in progress."""
    regularly = "to run regularly: alpenhorn crontab; to run now: alpenhorn sync"
    if run is None:
        return Finding(Level.WARN, Code.NO_RUN_KNOWN(host=host), regularly)
    text = f"the last run on {host} began {run.started.isoformat(' ', 'seconds')} UTC, {ago(now - run.started)} ago"
    if now - run.started > IDLE_WARN:
        return Finding(Level.WARN, Code.LAST_RUN_LONG_AGO(detail=text), regularly)
    if run.ended is None and (busy or run_states([run], host)[run.id] is RunState.RUNNING):
        return Finding(Level.PASS, f"{text}, and is still running")
    if run.ended is None:
        return Finding(Level.WARN, Code.LAST_RUN_KILLED(run=text), "alpenhorn sync")
    if run.exit_status in (DONE, BUSY):
        return Finding(Level.PASS, f"{text}, and succeeded")
    more = "" if log is None else f", and the log {log}"
    return Finding(
        Level.WARN,
        Code.LAST_RUN_ENDED_WITH_FAILURES(
            run=text, status=run.exit_status, why=run.ending or "something failed"
        ),
        f"alpenhorn status; alpenhorn request list --state failing{more}",
    )
