"""Compare the files of the index with the policies, and create the requests that this host can serve.

Files with new events are looked at in each run; all files after a change of policies, nodes or sites, and once a day,
because other programs and people change rows without events.  A run looks at no more than MOST files, and the next one
goes on from there.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Sequence

from alpenhorn.config import Sync
from alpenhorn.coordinator.context import Context
from alpenhorn.model.policies import DEFAULT, MOST_AGE, Destinations
from alpenhorn.plan.filing import places, receivers, requests
from alpenhorn.reasons import Code, Reason
from alpenhorn.record.policies import Sweep, keep_progress, progress, request
from alpenhorn.scan import policy_files
from alpenhorn.scan.manifest import latest_event
from alpenhorn.scan.policies import Policies, load
from alpenhorn.scan.policy_files import ComparedFile
from alpenhorn.scan.pulls import pending_total

PAGE = 2500  # files in one transaction, about half a second
MOST = 100_000  # files that a run looks at for one of these reasons
ANY_LENGTH = 2**60  # bytes
EVERY = datetime.timedelta(days=1)
# Events get their numbers before they are committed: one with a lower number may appear after one with a higher number.
OVERLAP = 1000


def file_requests(context: Context, may_start: Callable[[], bool]) -> None:
    """Create the requests of this round; stop once `may_start` returns False."""
    context.whole.policies = policies = load(context.index)
    if not context.whole.swept:  # the first round: others would count the same problem again
        _report_problems(context, policies)
    _Filing(context, policies, may_start).work()


def _report_problems(context: Context, policies: Policies) -> None:
    for policy in policies.every:
        if policy.fault:
            context.report.failures.lasting(policy.fault, subject=policy.name)
    if why := disagreement(policies, context.config.sync):
        context.report.warnings.lasting(why)


def disagreement(policies: Policies, sync: Sync) -> Reason | None:
    """Return how the policy `default` and the configuration of this host disagree, None if they do not."""
    for policy in policies.every:
        if policy.name == DEFAULT and not policy.fault and policy.copies != sync.archive_copy_count:
            return Code.DEFAULT_POLICY_DIFFERS(
                copies=policy.copies, count=sync.archive_copy_count, host=sync.host
            )
    return None


class _Filing:
    def __init__(self, context: Context, policies: Policies, may_start: Callable[[], bool]) -> None:
        self.context = context
        self.may_start = may_start
        self.policies = policies
        self.nodes = context.topology.nodes
        self.receivers = self._receivers()
        self.room: dict[int, int] = {}  # by group, beside what is requested already
        self.to = Destinations(
            self.nodes,
            places(self.nodes.values()),
            self.receivers,
            frozenset(self._open()),
            self._fits,
            self._room,
            context.config.sync.host,
        )

    def _receivers(self) -> dict[int, tuple[int, ...]]:
        """Return the nodes that receive files, those of this host with the most room first."""
        ios, gone = self.context.ios, self.context.gone

        def order(node_id: int) -> tuple[bool, int]:
            here = node_id in ios and node_id not in gone
            return not here, -(self.context.space.left_b(node_id) or 0) if here else 0

        return {group: tuple(sorted(ids, key=order)) for group, ids in receivers(self.nodes.values()).items()}

    def _open(self) -> list[int]:
        ios, gone = self.context.ios, self.context.gone
        return [
            group
            for group, ids in self.receivers.items()
            if group in self.context.groups and ids[0] in ios and ids[0] not in gone
        ]

    def _room(self, group: int) -> int:
        """Return the bytes that a group can take beside what is requested already."""
        if group not in self.room:
            node_id = self.receivers[group][0]
            if (
                self.context.space.obstacle(node_id, ANY_LENGTH) is None
            ):  # a class that reserves nothing, as of tapes
                self.room[group] = ANY_LENGTH
            else:
                _, coming = pending_total(self.context.index, [group])
                self.room[group] = (self.context.space.left_b(node_id) or 0) - coming
        return self.room[group]

    def _fits(self, group: int, size_b: int) -> bool:
        return self.context.space.obstacle(self.receivers[group][0], size_b) is None

    def work(self) -> None:
        index = self.context.index
        key, made_from = self._key(), self._made_from()
        before = progress(index, key)
        newest, now = latest_event(index), index.now()
        sweep = before or Sweep(made_from, newest, now, None, part=1)
        # Counted anew from here, and in the next runs, until every file was looked at.
        stale = sweep.swept is None or not datetime.timedelta() <= now - sweep.swept < EVERY
        if sweep.made_from != made_from or (stale and not sweep.part):
            sweep = sweep.changed(made_from, now)
        sweep = self._news(sweep, newest, now)
        if not self.context.whole.swept:
            self.context.whole.swept = True
            sweep = self._sweep(sweep, now)
        if sweep != before:
            keep_progress(index, key, sweep)

    def _key(self) -> str:
        """Return the name under which the progress is kept; runs on other sets of nodes keep another one."""
        asked = self.context.asked.nodes
        host = self.context.config.sync.host
        return _digest((host, sorted(asked))) if asked else host

    def _made_from(self) -> str:
        """Return a digest of all that the requests depend on, beside the files."""
        columns = [
            (
                node.id,
                node.group_id,
                node.host,
                node.active,
                node.archive,
                node.retired,
                node.site,
                node.medium,
            )
            for node in sorted(self.nodes.values(), key=lambda node: node.id)
        ]
        with_room = sorted(
            group
            for group in self.to.open
            if self.context.space.obstacle(self.receivers[group][0], 1) is None
        )
        wanted = [
            (*policy[:7], sorted(policy.groups), policy.required)
            for policy in sorted(self.policies.every, key=lambda policy: policy.id)
        ]
        return _digest((columns, with_room, wanted))

    def _news(self, sweep: Sweep, newest: int, now: datetime.datetime) -> Sweep:
        """Look at files with new events, and at those that have reached the least age of a policy."""
        index = self.context.index
        # After a restored backup of the index, the newest event may have a lower number.
        if newest != sweep.event_id:
            after = max(0, min(sweep.event_id, newest) - OVERLAP)
            found = policy_files.news(index, after, newest, MOST)
            if self._look(policy_files.named(index, found.file_ids)):
                sweep = sweep._replace(event_id=found.last)
        if sweep.news_at is None or sweep.news_at > now:  # of an invalid row, or of a clock that was wrong
            sweep = sweep._replace(news_at=now)
        news_at = sweep.news_at or now
        grown: set[int] = set()
        for age in {policy.min_age for policy in self.policies.every if policy.min_age}:
            since = datetime.timedelta(seconds=min(age, MOST_AGE))
            grown.update(policy_files.grown(index, news_at - since, now - since, MOST))
        # An idle run writes nothing.
        if grown and self._look(policy_files.named(index, sorted(grown))):
            sweep = sweep._replace(news_at=now)
        return sweep

    def _sweep(self, sweep: Sweep, now: datetime.datetime) -> Sweep:
        """Look at further files, if a comparison of all files is under way."""
        left = MOST
        while sweep.part and left > 0:
            rows = policy_files.page(self.context.index, *sweep.bounds, PAGE)
            if not self._look(rows):
                break
            left -= len(rows)
            sweep = sweep.after_page(rows[-1].file_id if rows else None, len(rows) == PAGE, now)
        return sweep

    def _look(self, rows: Sequence[ComparedFile]) -> bool:
        """Create the requests for these files, in transactions of a bounded length; return False if stopped."""
        index, context = self.context.index, self.context
        names = {group.id: group.name for group in context.topology.groups.values()}
        for start in range(0, len(rows), PAGE):
            if not self.may_start():
                return False
            some = [row for row in rows[start : start + PAGE] if self.policies.of(row.acq)]
            files = policy_files.whole(index, some, index.now())
            lacking = [file.file_id for file in files if requests(file, self.policies.of(file.acq), self.to)]
            if not lacking:
                continue
            made = request(index, context.run, lacking, self.policies, self.to, names)
            for one in made:
                self.room[one.group_to] = self._room(one.group_to) - one.size_b
        return True


def _digest(value: object) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=24).hexdigest()
