"""Pending copy requests, as facts in pages, in the order of their ids."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.model.pulls import OtherSource, PullFact
from alpenhorn.reasons import Code, Reason, Why, recorded
from alpenhorn.scan.attempts import ATTEMPT, AttemptRow, Stored, attempt_fact
from alpenhorn.scan.good_since import TO_REPLACE, good_since
from alpenhorn.scan.priorities import PLAIN, PriorityLevel
from alpenhorn.scan.same_path import sharing_in_group

NOT_KNOWN = Reason("", Code.UNKNOWN)
PENDING = "r.completed = 0 AND r.cancelled = 0 AND r.group_to_id = ?"
TOTAL = f"""
    SELECT COUNT(*), SUM(f.size_b)
    FROM archivefilecopyrequest r JOIN archivefile f ON f.id = r.file_id
    WHERE {PENDING}
"""
WHY_CORRUPT = """
    SELECT file_id, node_id, why, code FROM sync_event WHERE id IN (
        SELECT MAX(id) FROM sync_event WHERE what IN ('corrupt', 'changed') AND file_id IN ({marks})
        GROUP BY file_id, node_id
    )
"""
OTHERS = f"""
    SELECT c.file_id, c.node_id, c.id AS copy_id__id, c.ready, c.wants_file, {ATTEMPT}
    FROM archivefilecopy c LEFT JOIN sync_attempt t ON t.kind = 'source' AND t.subject_id = c.id
    WHERE c.has_file = 'Y' AND c.file_id IN ({{marks}})
"""


class _Statements(NamedTuple):
    """The statements for a page of requests.

    The values of `requests` are those of the level, the id after which the page begins, and the number of requests;
    those of the others are the level's, and the ids after which the page begins and at which it ends.  `claims` has the
    run and the time before them.
    """

    requests: str
    at_group: str
    attempts: str
    claims: str


def _statements(requests: str, pending: str, id_: str, join: str = "JOIN") -> _Statements:
    """`requests`: the tables that hold the requests of a level; `pending`: the condition; `id_`: the id, for ranges;
    `join`: how tables are joined in which most requests have no row.
    """
    in_page = f"{pending} AND {id_} > ? AND {id_} <= ?"
    return _Statements(
        requests=f"""
            SELECT r.id AS request_id__id, r.file_id, a.name AS acq__name, f.name, f.size_b, f.md5sum,
                   r.node_from_id, c.has_file AS source_has__has_file, c.ready AS source_ready__ready, r.group_to_id
            FROM {requests}
            LEFT JOIN archivefile f ON f.id = r.file_id
            LEFT JOIN archiveacq a ON a.id = f.acq_id
            LEFT JOIN archivefilecopy c ON c.file_id = r.file_id AND c.node_id = r.node_from_id
            WHERE {pending} AND {id_} > ? ORDER BY {id_} LIMIT ?
        """,
        at_group=f"""
            SELECT r.id, c.node_id, c.has_file, v.verified, c.file_id
            FROM {requests}
            JOIN archivefilecopy c ON c.file_id = r.file_id
            JOIN storagenode n ON n.id = c.node_id AND n.group_id = r.group_to_id
              AND n.id NOT IN (SELECT node_id FROM sync_retirement WHERE cancelled <> 1)
            LEFT JOIN sync_verification v ON v.node_id = c.node_id AND v.file_id = c.file_id AND c.has_file = 'X'
            WHERE {in_page}
        """,
        attempts=f"""
            SELECT t.subject_id, {ATTEMPT}
            FROM {requests} {join} sync_attempt t ON t.kind = 'pull' AND t.subject_id = r.id
            WHERE {in_page}
        """,
        claims=f"""
            SELECT r.id, k.host, k.run_id
            FROM {requests}
            {join} sync_claim k ON k.kind = 'pull' AND k.file_id = r.file_id AND k.target_id = r.group_to_id
            WHERE k.run_id <> ? AND k.expires > ? AND {in_page}
        """,
    )


# In a group without priorities.
PLAIN_LEVEL = _statements("archivefilecopyrequest r", PENDING, "r.id")._replace(
    attempts=f"""
        SELECT t.subject_id, {ATTEMPT}
        FROM sync_attempt t JOIN archivefilecopyrequest r ON r.id = t.subject_id
        WHERE t.kind = 'pull' AND {PENDING} AND t.subject_id > ? AND t.subject_id <= ?
    """,
    claims=f"""
        SELECT r.id, k.host, k.run_id
        FROM sync_claim k JOIN archivefilecopyrequest r ON r.file_id = k.file_id
        WHERE k.kind = 'pull' AND k.target_id = r.group_to_id AND k.run_id <> ? AND k.expires > ?
          AND {PENDING} AND r.id > ? AND r.id <= ?
    """,
)
# Those of a group with priorities that have none.  The other statements may read more, and cost less so.
REST = PLAIN_LEVEL._replace(
    requests=_statements(
        "archivefilecopyrequest r",
        f"{PENDING} AND NOT EXISTS (SELECT 1 FROM sync_priority p WHERE p.request_id = r.id)",
        "r.id",
    ).requests
)


@cache
def _of_level(lookup_join: str) -> _Statements:
    """Return the statements for requests with one priority; `lookup_join`: see `Dialect`.

    Without it, and with an index on the state of requests, all pending requests of the group may be read for a few.
    """
    return _statements(
        f"sync_priority p {lookup_join} archivefilecopyrequest r ON r.id = p.request_id",
        "p.group_id = ? AND p.priority = ? AND r.group_to_id = p.group_id AND r.completed = 0 AND r.cancelled = 0",
        "p.request_id",
        lookup_join,
    )


class _OtherRow(NamedTuple):
    """A good copy of a file, with the failed attempts to pull from it."""

    file_id: int
    node_id: int
    copy_id: int
    ready: bool
    wants_file: str
    tries: int | None
    last: Stored
    next: Stored
    blame: str | None
    error: str | None
    fault: Why = ""


def page(
    index: Index,
    group_id: int,
    after: int,
    limit: int,
    run_id: int,
    now: datetime.datetime,
    lacks_source: Callable[[PullFact], bool] | None = None,
    level: PriorityLevel = PLAIN,
) -> list[PullFact]:
    """Return up to `limit` pending requests of a level into a group with ids above `after`.

    `now`: the time of the index's server, by which leases expire; `run_id`: the run whose own claims do not count.
    `lacks_source`: returns whether the other good copies of a request's file are needed.
    """
    facts = _page(index, group_id, level, after, limit, run_id, now)
    lacking = [] if lacks_source is None else [fact for fact in facts if lacks_source(fact)]
    if not lacking:
        return facts
    others = _others(index, [fact.file_id for fact in lacking])
    needed = {fact.request_id for fact in lacking}
    return [
        fact._replace(others=tuple(others.get(fact.file_id, ()))) if fact.request_id in needed else fact
        for fact in facts
    ]


def _others(index: Index, file_ids: Sequence[int]) -> defaultdict[int, list[OtherSource]]:
    found: defaultdict[int, list[OtherSource]] = defaultdict(list)
    for marks, some in in_chunks(sorted(set(file_ids))):
        for row in index.facts(_OtherRow, OTHERS.format(marks=marks), some, ready=bool):
            if row.fault:
                continue
            found[row.file_id].append(
                OtherSource(row.node_id, row.copy_id, row.ready, row.wants_file == "N", attempt_fact(row))
            )
    return found


def _page(
    index: Index,
    group_id: int,
    level: PriorityLevel,
    after: int,
    limit: int,
    run_id: int,
    now: datetime.datetime,
) -> list[PullFact]:
    statements = REST if level.mixed else PLAIN_LEVEL
    rows: tuple[int, ...] = (group_id,)
    if level.priority:
        statements = _of_level(index.dialect.lookup_join)
        rows = (group_id, level.priority)
    facts = index.facts(PullFact, statements.requests, (*rows, after, limit))
    if not facts:
        return []
    if level.priority:
        facts = [fact._replace(priority=level.priority) for fact in facts]
    bounds = (*rows, after, facts[-1].request_id)
    at_group: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    once_good: list[tuple[int, int, int]] = []
    aside: defaultdict[int, list[int]] = defaultdict(list)
    never_good: list[tuple[int, int, int]] = []
    for request_id, node_id, has, evidence, file_id in index.execute(statements.at_group, bounds).fetchall():
        at_group[request_id].append((node_id, has))
        if has == "X":
            (never_good if evidence is None else once_good).append((request_id, file_id, node_id))
            if moment(evidence) == TO_REPLACE:
                aside[request_id].append(node_id)
    since = _since(index, once_good)
    why = why_corrupt(index, [(file_id, node_id) for _, file_id, node_id in never_good])
    found: defaultdict[int, list[tuple[int, Reason]]] = defaultdict(list)
    for request_id, file_id, node_id in never_good:
        found[request_id].append((node_id, why.get((file_id, node_id), NOT_KNOWN)))
    same_path = sharing_in_group(index, group_id, [(fact.file_id, fact.acq, fact.name) for fact in facts])
    attempts = {
        row.subject_id: attempt_fact(row) for row in index.facts(AttemptRow, statements.attempts, bounds)
    }
    claims = {
        request_id: f"{host} (run {holder})"
        for request_id, host, holder in index.execute(statements.claims, (run_id, now, *bounds))
    }
    if not (at_group or attempts or claims or same_path):
        return facts
    return [
        fact._replace(
            at_group=tuple(at_group.get(fact.request_id, ())),
            attempt=attempts.get(fact.request_id),
            claimed_by=claims.get(fact.request_id),
            once_good=tuple(node_id for node_id, _ in since.get(fact.request_id, ())),
            since=tuple(since.get(fact.request_id, ())),
            aside=tuple(aside.get(fact.request_id, ())),
            found=tuple(found.get(fact.request_id, ())),
            same_path=tuple(same_path.get(fact.file_id, ())),
        )
        for fact in facts
    ]


def why_corrupt(index: Index, copies: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Reason]:
    """Return the last recorded reason for corrupt copies, by (file id, node id); copies without one are left out."""
    wanted = set(copies)
    found: dict[tuple[int, int], Reason] = {}
    for marks, some in in_chunks(sorted({file_id for file_id, _ in wanted})):
        for file_id, node_id, why, code in index.execute(WHY_CORRUPT.format(marks=marks), some):
            if (file_id, node_id) in wanted:
                found[file_id, node_id] = recorded(why, code)
    return found


def _since(
    index: Index, once_good: Iterable[tuple[int, int, int]]
) -> defaultdict[int, list[tuple[int, float]]]:
    """Return (node id, since when the copy is known to be good) by request id; see `good_since`."""
    by_node: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for request_id, file_id, node_id in once_good:
        by_node[node_id].append((request_id, file_id))
    found: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for node_id, copies in by_node.items():
        since = good_since(index, node_id, [file_id for _, file_id in copies])
        for request_id, file_id in copies:
            found[request_id].append((node_id, since.get(file_id, 0.0)))
    return found


def pages(
    index: Index,
    group_id: int,
    limit: int,
    run_id: int,
    now: datetime.datetime,
    lacks_source: Callable[[PullFact], bool] | None = None,
    level: PriorityLevel = PLAIN,
) -> Iterator[list[PullFact]]:
    """Yield pages of all pending requests of a level into a group, as `page` does; each page is read on demand."""
    after = 0
    while facts := page(index, group_id, after, limit, run_id, now, lacks_source, level):
        yield facts
        after = facts[-1].request_id


PENDING = "r.completed = 0 AND r.cancelled = 0"


def every_pending(index: Index) -> str:
    """Return the condition for the pending requests `r`, with which those that are done are not read."""
    # By constants: MariaDB takes another index for groups that it finds by a join.
    groups = ", ".join(map(str, groups_with_requests(index))) or "NULL"
    return f"r.group_to_id IN ({groups}) AND {PENDING}"


def groups_with_requests(index: Index) -> list[int]:
    """Return the ids of the groups with pending requests, also of groups that are not in the index."""
    groups = index.dialect.distinct("archivefilecopyrequest", "group_to_id")
    # Not EXISTS, for which MariaDB reads the requests of all groups.
    first = (
        f"SELECT 1 FROM archivefilecopyrequest r WHERE r.group_to_id = q.group_to_id AND {PENDING} LIMIT 1"
    )
    return index.values(f"SELECT q.group_to_id FROM {groups} q WHERE ({first}) = 1")


def group_of(index: Index, request_id: int) -> int | None:
    """Return the destination group of a request; None if there is no such request."""
    group_id: int | None = index.value(
        "SELECT group_to_id FROM archivefilecopyrequest WHERE id = ?", (request_id,)
    )
    return group_id


def pending_total(index: Index, group_ids: Iterable[int]) -> tuple[int, int]:
    """Return (files, bytes) of all pending requests into the groups."""
    files = bytes_ = 0
    for group_id in group_ids:
        of_group, length = index.execute(TOTAL, (group_id,)).fetchone()
        files += of_group
        bytes_ += int(length or 0)
    return files, bytes_


def reserved_by_others(
    index: Index, node_ids: Iterable[int], run_id: int, now: datetime.datetime
) -> dict[int, int]:
    """Return the bytes that other runs' current claims have reserved, by node."""
    rows = index.execute(
        "SELECT node_id, SUM(reserved_b) FROM sync_claim WHERE run_id <> ? AND expires > ? GROUP BY node_id",
        (run_id, now),
    )
    wanted = set(node_ids)
    return {node_id: int(total) for node_id, total in rows if node_id in wanted}
