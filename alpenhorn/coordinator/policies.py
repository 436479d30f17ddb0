"""Compare the files of the index with the policies, and create the requests that this host can serve.

Files with new events are looked at in each run; all files after a change of policies, nodes or sites, and once a day,
because other programs and people change rows without events.  A run looks at no more than MOST files, and the next one
goes on from there.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence

from alpenhorn.config import Sync
from alpenhorn.coordinator.context import Context
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.policies import DEFAULT, MOST_AGE, Destinations, PolicyFile, PolicyRequest
from alpenhorn.plan.filing import places, receivers, requests
from alpenhorn.plan.space import Space
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


def file_requests(context: Context, may_start: Callable[[], bool]) -> None:
    """Create the requests of this round; stop once `may_start` returns False."""
    context.whole.policies = policies = load(context.index)
    sweeps = not context.whole.swept
    if sweeps:  # the first round: others would count the same problem again
        _report_problems(context, policies)
    names = {group.id: group.name for group in context.topology.groups.values()}
    here = context.ios.keys() - context.gone.keys()
    host = context.config.sync.host
    room = PolicyRoom(context.index, context.topology.nodes, here, context.groups, context.space, host)

    def file(files: Sequence[PolicyFile]) -> list[PolicyRequest]:
        ids = [one.file_id for one in files]
        return request(context.index, context.run, ids, policies, room.to, names)

    comparison = PolicyComparison(context.index, policies, room, host, context.asked.nodes, file, may_start)
    context.whole.swept = True
    for _ in comparison.requests(sweeps):
        pass
    if comparison.progress is not None and comparison.progress != comparison.before:
        keep_progress(context.index, comparison.key, comparison.progress)


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


class PolicyRoom:
    """Where the nodes of this host let policies request copies: `to`.

    `here`: ids of the nodes that are worked on; `groups`: ids of their groups that can be used.
    """

    def __init__(
        self,
        index: Index,
        nodes: Mapping[int, NodeFact],
        here: Collection[int],
        groups: Collection[int],
        space: Space,
        host: str,
    ) -> None:
        self._index = index
        self._here = here
        self._space = space
        self._free: dict[int, int] = {}  # by group, beside what is requested already
        self._receivers = {
            group: tuple(sorted(ids, key=self._order)) for group, ids in receivers(nodes.values()).items()
        }
        self.to = Destinations(
            nodes,
            places(nodes.values()),
            self._receivers,
            frozenset(group for group, ids in self._receivers.items() if group in groups and ids[0] in here),
            self._fits,
            self.free_b,
            host,
        )

    def _order(self, node_id: int) -> tuple[bool, int]:
        """The order of the nodes that receive files: those of this host with the most room first."""
        here = node_id in self._here
        return not here, -(self._space.usable_b(node_id) or 0) if here else 0

    def free_b(self, group: int) -> int:
        """Return the bytes that a group can take beside what is requested already."""
        if group not in self._free:
            node_id = self._receivers[group][0]
            if self._space.usable(node_id, ANY_LENGTH):  # a class that reserves nothing, as of tapes
                self._free[group] = ANY_LENGTH
            else:
                _, coming = pending_total(self._index, [group])
                self._free[group] = (self._space.usable_b(node_id) or 0) - coming
        return self._free[group]

    def take(self, requests: Iterable[PolicyRequest]) -> None:
        """Note what was requested."""
        for one in requests:
            self._free[one.group_to] = self.free_b(one.group_to) - one.size_b

    def _fits(self, group: int, size_b: int) -> bool:
        return self._space.usable(self._receivers[group][0], size_b)

    @property
    def with_room(self) -> list[int]:
        """Ids of the groups that can take anything."""
        return sorted(group for group in self.to.open if self._fits(group, 1))


File = Callable[[Sequence[PolicyFile]], Sequence[PolicyRequest]]
"""Creates the requests for files that lack something, or only returns them."""


class PolicyComparison:
    """The comparison of files with the policies on one host.

    `asked`: the names of the only nodes to work on, if any.  `file`: is called with the files of a page for which there
    are requests to create.  `before`, `progress`: how far the host was, and is; None if it has not begun.
    """

    def __init__(
        self,
        index: Index,
        policies: Policies,
        room: PolicyRoom,
        host: str,
        asked: Sequence[str],
        file: File,
        may_start: Callable[[], bool],
    ) -> None:
        self.index = index
        self.policies = policies
        self.room = room
        self.file = file
        self.may_start = may_start
        # Runs on other sets of nodes keep another progress.
        self.key = _digest((host, sorted(asked))) if asked else host
        self.before = self.progress = progress(index, self.key)

    def requests(self, sweeps: bool) -> Iterator[Sequence[PolicyRequest]]:
        """Look at the files that may lack something; yield the requests for each page; then set `progress`.

        `sweeps`: also look at further files, if a comparison of all files is under way or due.
        """
        index, made_from = self.index, self._made_from()
        newest, now = latest_event(index), index.now()
        sweep = self.before or Sweep(made_from, newest, now, None, part=1)
        # Counted anew from here, and in the next runs, until every file was looked at.
        stale = sweep.swept is None or not datetime.timedelta() <= now - sweep.swept < EVERY
        if sweep.made_from != made_from or (stale and not sweep.part):
            sweep = sweep.changed(made_from, now)
        sweep = yield from self._news(sweep, newest, now)
        if sweeps:
            sweep = yield from self._sweep(sweep, now)
        self.progress = sweep

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
            for node in sorted(self.room.to.nodes.values(), key=lambda node: node.id)
        ]
        wanted = [
            (*policy[:7], sorted(policy.groups), policy.required)
            for policy in sorted(self.policies.every, key=lambda policy: policy.id)
        ]
        return _digest((columns, self.room.with_room, wanted))

    def _news(
        self, sweep: Sweep, newest: int, now: datetime.datetime
    ) -> Generator[Sequence[PolicyRequest], None, Sweep]:
        """Look at files with new events, and at those that have reached the least age of a policy."""
        index = self.index
        # After a restored backup of the index, the newest event may have a lower number.
        if newest != sweep.event_id:
            after = max(0, min(sweep.event_id, newest) - policy_files.OVERLAP)
            found = policy_files.news(index, after, newest, MOST)
            if (yield from self._look(policy_files.named(index, found.file_ids))):
                sweep = sweep._replace(event_id=found.last)
        if sweep.news_at is None or sweep.news_at > now:  # of an invalid row, or of a clock that was wrong
            sweep = sweep._replace(news_at=now)
        news_at = sweep.news_at or now
        grown: set[int] = set()
        for age in {policy.min_age for policy in self.policies.every if policy.min_age}:
            since = datetime.timedelta(seconds=min(age, MOST_AGE))
            grown.update(policy_files.grown(index, news_at - since, now - since, MOST))
        # An idle run writes nothing.
        if grown and (yield from self._look(policy_files.named(index, sorted(grown)))):
            sweep = sweep._replace(news_at=now)
        return sweep

    def _sweep(self, sweep: Sweep, now: datetime.datetime) -> Generator[Sequence[PolicyRequest], None, Sweep]:
        """Look at further files, if a comparison of all files is under way."""
        left = MOST
        while sweep.part and left > 0:
            rows = policy_files.page(self.index, *sweep.bounds, PAGE)
            if not (yield from self._look(rows)):
                break
            left -= len(rows)
            sweep = sweep.after_page(rows[-1].file_id if rows else None, len(rows) == PAGE, now)
        return sweep

    def _look(self, rows: Sequence[ComparedFile]) -> Generator[Sequence[PolicyRequest], None, bool]:
        """Yield the requests for these files, in pages of a bounded length; return False if stopped."""
        for start in range(0, len(rows), PAGE):
            if not self.may_start():
                return False
            some = [row for row in rows[start : start + PAGE] if self.policies.of(row.acq)]
            files = policy_files.whole(self.index, some, self.index.now())
            lacking = [file for file in files if requests(file, self.policies.of(file.acq), self.room.to)]
            if lacking:
                made = self.file(lacking)
                self.room.take(made)
                yield made
        return True


def _digest(value: object) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=24).hexdigest()
