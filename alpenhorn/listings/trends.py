"""What happened in the last weeks: changes of nodes and copies by week, work of runs by day; and the ages of
verifications, and failed attempts by reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.index.times import EPOCH, moment
from alpenhorn.listings.runs import COLUMNS, run_rows
from alpenhorn.listings.states import HEALTHY, REQUEST_PENDING
from alpenhorn.listings.stats import FileTally

ADDED = ("imported", "pulled")
REMOVED = ("deleted",)
FOUND = ("corrupt", "missing", "suspect")
KINDS = ("import", "pull", "check", "delete")
OTHER = "other"
LARGEST = 2**63 - 1  # of a column

# The number of limits that an event has passed is the week.
EVENTS = """
    SELECT e.node_id, {passed} AS week, e.what, e.code, COUNT(*) AS files__count, SUM(f.size_b) AS bytes__sum,
           MIN(e.why) AS example__why
    FROM sync_event e LEFT JOIN archivefile f ON f.id = e.file_id
    WHERE e.at >= ? AND e.what IN ({marks}) GROUP BY e.node_id, week, e.what, e.code
"""
RUNS = f"SELECT {COLUMNS} FROM sync_run WHERE started >= ? AND (done > 0 OR failed > 0 OR bytes > 0)"
VERIFIED = f"""
    SELECT c.node_id, {{passed}} AS band, COUNT(*) AS copies__count
    FROM archivefilecopy c LEFT JOIN sync_verification v ON v.node_id = c.node_id AND v.file_id = c.file_id
    WHERE {HEALTHY} GROUP BY c.node_id, band
"""
# Attempts at a request that was cancelled or completed by another program are left over, and so are those to pull from
# other sources.
FAILURES = f"""
    SELECT t.kind, t.code, t.blame, COUNT(*) AS subjects__count, SUM(t.count) AS attempts__sum, MAX(t.last) AS last,
           MIN(t.error) AS example__error
    FROM sync_attempt t
    WHERE t.kind NOT IN ('pull', 'source') OR t.kind = 'pull' AND EXISTS (
        SELECT 1 FROM archivefilecopyrequest r WHERE r.id = t.subject_id AND {REQUEST_PENDING}
    )
    GROUP BY t.kind, t.code, t.blame ORDER BY subjects__count DESC, t.kind, t.code, t.blame
"""


class CopyChanges(NamedTuple):
    """Events of one kind on a node in a week.

    `week`: 0 is the first one; `code`: of the reason, "" if unknown; `example`: the text of one of the reasons.
    """

    node_id: int
    week: int
    what: str
    code: str
    files: int
    bytes: int
    example: str


class DayOfRuns(NamedTuple):
    """The work of all runs that began on a day (UTC).  `done`: by kind of work, one of KINDS or OTHER."""

    day: date
    done: dict[str, FileTally]
    failed: int

    @property
    def bytes(self) -> int:
        return sum(tally.bytes for tally in self.done.values())

    @property
    def files(self) -> int:
        return sum(tally.files for tally in self.done.values())


class FailuresByReason(NamedTuple):
    """Pending work with failed attempts.  `code`: None if it is unknown; `example`: the text of one of the reasons."""

    kind: str
    code: str | None
    blame: str
    subjects: int
    attempts: int
    last: datetime | None
    example: str


class _Band(NamedTuple):
    node_id: int
    band: int
    copies: int


def changes(index: Index, now: datetime, weeks: int) -> list[CopyChanges]:
    """Return the events of the last `weeks` weeks before `now`, with one pass over the events of that time."""
    limits = [now - timedelta(weeks=number) for number in range(weeks, 0, -1)]
    what = (*ADDED, *REMOVED, *FOUND)
    sql = EVENTS.format(passed=_passed("e.at", limits[1:]), marks=", ".join("?" * len(what)))
    return index.facts(
        CopyChanges, sql, (*limits[1:], limits[0], *what), week=whole, code=_or_empty, bytes=whole
    )


def history_began(index: Index) -> datetime | None:
    """Return the time of the oldest event; None if there is none."""
    return moment(index.value("SELECT MIN(at) FROM sync_event"))


def days_of_runs(index: Index, now: datetime, days: int) -> list[DayOfRuns]:
    """Return the last `days` days up to that of `now`, oldest first, with one pass over the runs."""
    first = now.date() - timedelta(days=days - 1)
    found = {day: DayOfRuns(day, {}, 0) for day in (first + timedelta(days=number) for number in range(days))}
    for run in run_rows(index, RUNS, (datetime.combine(first, datetime.min.time()),)):
        day = found.get(run.started.date())
        if day is None:  # in the future: clocks differ
            continue
        for kind, count in run.counts.items():
            name = kind if kind in KINDS else OTHER
            tally = FileTally(_number(count.get("done", 0)), _number(count.get("bytes", 0)))
            day.done[name] = day.done.get(name, FileTally()).plus(tally)
        found[day.day] = day._replace(failed=day.failed + run.failed)
    return list(found.values())


def verification_ages(index: Index, now: datetime, ages: Sequence[timedelta]) -> dict[int, list[int]]:
    """Return the numbers of good copies by node id and age of their verification.

    `ages`: rising limits.  The numbers are: not older than the first one, older than the first but not than the second,
    and so on; older than the last; never read in full.
    """
    limits = [EPOCH + timedelta(seconds=1), *(now - age for age in reversed(ages))]
    sql = VERIFIED.format(passed=_passed("v.verified", limits, never=True))
    found: dict[int, list[int]] = {}
    for row in index.facts(_Band, sql, tuple(limits), band=whole):
        counts = found.setdefault(row.node_id, [0] * (len(ages) + 2))
        counts[len(limits) - row.band] += row.copies
    return found


def failures(index: Index) -> list[FailuresByReason]:
    """Return the failed attempts at pending work by reason, the most frequent first."""
    return index.facts(FailuresByReason, FAILURES, attempts=whole, last=moment)


def _passed(column: str, limits: Sequence[datetime], never: bool = False) -> str:
    """Return an expression for the number of limits, each a ?, that a time has passed.

    `never`: null has passed none; otherwise the result for null is null.
    """
    terms = " + ".join(f"({column} >= ?)" for _ in limits) or "0"
    return f"COALESCE({terms}, 0)" if never else terms


def _number(number: int) -> int:
    """Limit a number from JSON, which may be larger than any float."""
    return min(max(0, number), LARGEST)


def _or_empty(code: str | None) -> str:
    return code or ""
