"""Records the requests that policies want, and how far a host has compared the files with the policies."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.index.times import moment
from alpenhorn.model.policies import Destinations, PolicyRequest
from alpenhorn.plan.filing import requests_of_page
from alpenhorn.reasons import Code, Why
from alpenhorn.record.index_values import remember
from alpenhorn.record.priorities import give
from alpenhorn.record.requests import create
from alpenhorn.record.run import Run, events
from alpenhorn.scan import policy_files
from alpenhorn.scan.policies import Policies


class Sweep(NamedTuple):
    """How far a host is; see `alpenhorn.index.tables.SyncPolicySweep`."""

    made_from: str
    event_id: int
    news_at: datetime.datetime | None
    swept: datetime.datetime | None
    place: int = 0
    begun_at: int = 0
    part: int = 0
    fault: Why = ""

    def changed(self, made_from: str, now: datetime.datetime) -> Sweep:
        """Return this with a new comparison of all files, which goes on from here and ends here."""
        return self._replace(made_from=made_from, news_at=now, begun_at=self.place, part=1)

    def after_page(self, last: int | None, full: bool, now: datetime.datetime) -> Sweep:
        """Return this after a page of files was looked at.

        `last`: the id of its last file, None for an empty page; `full`: whether there may be more.
        """
        here = self if last is None else self._replace(place=last)
        if full:
            return here
        if here.part == 1 and here.begun_at:
            return here._replace(part=2, place=0)
        return here._replace(part=0, place=0, begun_at=0, swept=now)

    @property
    def bounds(self) -> tuple[int, int]:
        """The ids of files that are still to be looked at in this part: above the first, up to the second one."""
        end = policy_files.LAST_ID if self.part == 1 else self.begun_at
        return min(self.place, end), end


COLUMNS = Sweep._fields[:-1]  # without the fault


def progress(index: Index, key: str) -> Sweep | None:
    """Return how far a host is, None if it has not begun, or if its row is invalid."""
    found = index.fact(
        Sweep,
        f"SELECT {', '.join(COLUMNS)} FROM sync_policy_sweep WHERE host = ?",
        (key,),
        news_at=moment,
        swept=moment,
    )
    if found is None or found.fault or found.part not in (0, 1, 2) or min(found.place, found.begun_at) < 0:
        return None
    return found


def keep_progress(index: Index, key: str, sweep: Sweep) -> None:
    columns = ("host", *COLUMNS)
    values: tuple[Any, ...] = tuple(
        str(value) if isinstance(value, datetime.datetime) else value for value in sweep[:-1]
    )
    sql = index.upsert("sync_policy_sweep", columns, columns[:1], columns[1:])
    index.retry(lambda: index.execute(sql, (key, *values)))


def _give_priorities(index: Index, policies: Policies, found: Sequence[PolicyRequest], highest: int) -> None:
    """Give the new requests, those above an id, the priorities of their policies."""
    priorities = {policy.name: policy.priority for policy in policies.every}
    alike: dict[tuple[int, int], list[int]] = {}
    for one in found:
        if priorities[one.policy]:
            alike.setdefault((priorities[one.policy], one.group_to), []).append(one.file_id)
    for (priority, group_to), file_ids in alike.items():
        parts = [
            SelectionPart(
                "FROM archivefilecopyrequest r WHERE r.completed = 0 AND r.cancelled = 0 AND r.id > ?"
                f" AND +r.group_to_id = ? AND +r.file_id IN ({marks})",
                (highest, group_to, *some),
            )
            for marks, some in in_chunks(file_ids)
        ]
        give(index, parts, priority)


def request(
    index: Index,
    run: Run,
    files: Sequence[int],
    policies: Policies,
    to: Destinations,
    group_names: Mapping[int, str],
) -> list[PolicyRequest]:
    """Create the requests that policies want for files, by the rows of the index as they are now.

    Only one run at a time does this, so that two hosts cannot both request the last copy that is lacking.
    """

    def work() -> list[PolicyRequest]:
        # A row that every such transaction changes: a lock on one server, and a conflict between those of a Galera
        # cluster.  It is the first statement, since rows that are read before a lock is granted may be outdated.
        remember(index, "policy requests", str(run.id), run.now())
        rows = policy_files.named(index, files)
        found = requests_of_page(policy_files.whole(index, rows, index.now()), policies.of, to)
        highest = index.value("SELECT MAX(id) FROM archivefilecopyrequest") or 0
        create(index, ((one.file_id, one.group_to, one.node_from) for one in found), run.now())
        _give_priorities(index, policies, found, highest)
        why = {
            (one.policy, one.group_to): Code.POLICY_REQUEST(
                name=one.policy, group=group_names.get(one.group_to, "?")
            )
            for one in found
        }
        events(
            index,
            run,
            "requested",
            [(one.file_id, one.node_from, why[one.policy, one.group_to]) for one in found],
        )
        return found

    return index.retry(work)
