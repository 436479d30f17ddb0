"""The data of the report, read from the index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alpenhorn.config import Config
from alpenhorn.coordinator.run_states import RunState
from alpenhorn.index.connection import Index
from alpenhorn.listings import policy, stats, trends
from alpenhorn.listings.policy import FilesByCopies
from alpenhorn.listings.runs import RunRow
from alpenhorn.listings.stats import FileTally, NodeStats
from alpenhorn.listings.status import NodeStatus
from alpenhorn.listings.trends import CopyChanges, DayOfRuns, FailuresByReason
from alpenhorn.model.nodes import GIB
from alpenhorn.monitoring import attention
from alpenhorn.monitoring.attention import Attention
from alpenhorn.monitoring.report import forecast

WEEKS = 8  # of which changes of copies are shown
GROWTH_WEEKS = 4  # from which growth is computed
DAYS = 28  # of which the work of runs is shown
RUNS = 20
AGES = tuple(timedelta(days=days) for days in (30, 90, 180, 365, 730))
STATES = ("Healthy", "Removable", "Released", "Suspect", "Corrupt", "Missing", "Removed")
BAD = ("Suspect", "Corrupt", "Missing")

Step = Callable[[int, int], None]
"""Called with the number of steps done, and of all."""


@dataclass(frozen=True)
class ReportNode:
    """A node.

    `added`, `removed`: files and bytes in the last `GROWTH_WEEKS`; `growth_b`: bytes a day, None if the history is too
    short; `room_b`: bytes that it still takes, None if unknown; `full_on`: see `forecast.full_on`.  `ages`: numbers of
    good copies by the age of their verification, see `trends.verification_ages`.
    """

    status: NodeStatus
    items: tuple[Attention, ...]
    copies: NodeStats
    added: FileTally
    removed: FileTally
    growth_b: float | None
    room_b: float | None
    full_on: datetime | None
    ages: Sequence[int]

    @property
    def bad(self) -> int:
        return sum(self.copies.files(state) for state in BAD)

    @property
    def free_b(self) -> float | None:
        """The free space last seen, in bytes."""
        gib = self.status.node.avail_gb
        return None if gib is None else gib * GIB


@dataclass(frozen=True)
class ReportWeek:
    """Files and bytes added and removed on all nodes in a week that begins at `began`."""

    began: datetime
    added: FileTally
    removed: FileTally


@dataclass(frozen=True)
class ReportFinding:
    """Copies that became corrupt, missing or suspect (`what`) for a reason with this code; `example`: its text once."""

    what: str
    code: str
    copies: int
    example: str


@dataclass(frozen=True)
class ReportData:
    """What a report shows.  `now`: time of the index's server; `measured`: the time from which growth is computed.

    `host`: the host on which the report is made.
    """

    now: datetime
    host: str
    items: Sequence[Attention]
    nodes: Sequence[ReportNode]
    policy: FilesByCopies
    weeks: Sequence[ReportWeek]
    history_began: datetime | None
    measured: timedelta
    days: Sequence[DayOfRuns]
    failures: Sequence[FailuresByReason]
    findings: Sequence[ReportFinding]
    runs: Sequence[tuple[RunRow, RunState]]

    @property
    def has_archive(self) -> bool:
        """Whether there is a node whose copies count as archived."""
        return any(node.status.node.active and node.status.node.archive for node in self.nodes)

    @property
    def growth_known(self) -> bool:
        return forecast.per_day(0, self.measured) is not None

    @property
    def good(self) -> FileTally:
        """The good copies on all nodes."""
        found = FileTally()
        for node in self.nodes:
            found = found.plus(node.copies.good)
        return found

    @property
    def states(self) -> Mapping[str, FileTally]:
        """Copies on all nodes by state."""
        found = dict.fromkeys(STATES, FileTally())
        for node in self.nodes:
            for state, tally in node.copies.states.items():
                found[state] = found.get(state, FileTally()).plus(tally)
        return found

    @property
    def ages(self) -> Sequence[int]:
        """Good copies on all nodes by the age of their verification."""
        return [sum(numbers) for numbers in zip(*(node.ages for node in self.nodes), strict=True)]


def read(index: Index, config: Config, step: Step) -> ReportData:
    """Read the data of the report.  Raises IndexUnusable, and what `step` raises."""
    every = 7
    step(0, every)
    seen = attention.look(index, config)
    now = seen.found.now
    step(1, every)
    copies = stats.of_nodes(index, [one.node.id for one in seen.found.nodes])
    step(2, every)
    by_copies = policy.files_by_copies(index, config.sync.archive_copy_count)
    step(3, every)
    changes = trends.changes(index, now, WEEKS)
    began = trends.history_began(index)
    step(4, every)
    ages = trends.verification_ages(index, now, AGES)
    step(5, every)
    days = trends.days_of_runs(index, now, DAYS)
    step(6, every)
    failures = trends.failures(index)
    step(7, every)
    measured = min(timedelta(weeks=GROWTH_WEEKS), now - began) if began is not None else timedelta()
    about: dict[str, list[Attention]] = {}
    for item in seen.items:
        about.setdefault(item.node, []).append(item)
    nodes = [
        _node(
            status,
            tuple(about.get(status.node.name, ())),
            copies[status.node.id],
            [one for one in changes if one.node_id == status.node.id],
            measured,
            ages.get(status.node.id, [0] * (len(AGES) + 2)),
            now,
        )
        for status in seen.found.nodes
    ]
    return ReportData(
        now,
        config.sync.host,
        seen.items,
        sorted(nodes, key=_need),
        by_copies,
        _weeks(changes, now),
        began,
        measured,
        days,
        failures,
        _findings(changes),
        [(run, seen.states[run.id]) for run in seen.found.runs[:RUNS]],
    )


def _node(
    status: NodeStatus,
    items: tuple[Attention, ...],
    copies: NodeStats,
    changes: Sequence[CopyChanges],
    measured: timedelta,
    ages: Sequence[int],
    now: datetime,
) -> ReportNode:
    recent = [one for one in changes if one.week >= WEEKS - GROWTH_WEEKS]
    added, removed = _sum(recent, trends.ADDED), _sum(recent, trends.REMOVED)
    room = forecast.room(status.node, copies.good.bytes)
    growth = forecast.per_day(added.bytes - removed.bytes, measured)
    full = forecast.full_on(room, growth, now)
    return ReportNode(status, items, copies, added, removed, growth, room, full, ages)


def _need(node: ReportNode) -> tuple[bool, datetime, float, str]:
    """Return the order of nodes: active ones first, by the day on which they will be full, then the fullest first."""
    return (
        not node.status.node.active,
        node.full_on or datetime.max,
        -(node.status.full or 0.0),
        node.status.node.name,
    )


def _weeks(changes: Sequence[CopyChanges], now: datetime) -> list[ReportWeek]:
    found = []
    for number in range(WEEKS):
        of_week = [one for one in changes if one.week == number]
        began = now - timedelta(weeks=WEEKS - number)
        found.append(ReportWeek(began, _sum(of_week, trends.ADDED), _sum(of_week, trends.REMOVED)))
    return found


def _sum(changes: Sequence[CopyChanges], what: Sequence[str]) -> FileTally:
    some = [one for one in changes if one.what in what]
    return FileTally(sum(one.files for one in some), sum(one.bytes for one in some))


def _findings(changes: Sequence[CopyChanges]) -> list[ReportFinding]:
    numbers: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for one in changes:
        if one.what in trends.FOUND:
            numbers[one.what, one.code] += one.files
            examples[one.what, one.code] = one.example
    return [ReportFinding(*key, number, examples[key]) for key, number in numbers.most_common()]
