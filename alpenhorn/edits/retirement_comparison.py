"""The comparison of a retired node's copies with those elsewhere, and the requests and releases that follow from it.

Each step is a transaction that first reads the state under a lock, so that nothing is requested or released after a
cancellation.  A step that was not done is done by the next comparison.
"""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

from alpenhorn.index.bulk import chunks, in_chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import Progress
from alpenhorn.listings.stats import FileTally
from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.retirement import PendingRequest, Retirement, RetiringCopy, RetiringFile
from alpenhorn.plan.retirement import RetirementDecision, RetirementPlanner
from alpenhorn.reasons import Code, Reason, Why, code_of
from alpenhorn.record.index_values import remember
from alpenhorn.record.requests import create
from alpenhorn.record.run import EVENT, FORMAT
from alpenhorn.scan import retirements as scan
from alpenhorn.scan.keepers import KeeperNodes
from alpenhorn.scan.manifest import latest_event

PAGE = 2000
PRESENT = (HasFile.YES, HasFile.MAYBE, HasFile.CORRUPT)
MOST_STUCK = 1000  # files that are remembered


class Stuck(NamedTuple):
    """A file that is not copied elsewhere, and why."""

    file_id: int
    size_b: int | None
    why: Reason


@dataclass
class RetirementAmounts:
    """The result of a comparison.

    `left`: copies on the node, good or not; `enough`: of these, those with enough good copies elsewhere.  `requested`:
    files that are requested now; `waiting`: those that were before.  `released`: copies that are released now.
    `stuck`: files by the reason why they are not copied; `nowhere`: of these, the files without a good copy anywhere.
    """

    left: FileTally = field(default_factory=FileTally)
    enough: int = 0
    requested: FileTally = field(default_factory=FileTally)
    waiting: int = 0
    released: int = 0
    stuck: Counter[Reason] = field(default_factory=Counter)

    @property
    def nowhere(self) -> int:
        return sum(files for why, files in self.stuck.items() if code_of(why) is Code.RETIREMENT_NO_GOOD_COPY)


class Comparison:
    """The comparison of a retired node's copies with those elsewhere.

    `nodes`: all, by id; `evidence`: what counts for deletions, and the number of copies that must be elsewhere.  `run`:
    the number of the run, None for a command; `now`: the time of the changes.  `newest`: the newest event before the
    copies are read.  `made_from`: a digest of all that it depends on beside the copies; `before`: what is remembered of
    the last one.
    """

    def __init__(
        self,
        index: Index,
        node: NodeFact,
        nodes: Mapping[int, NodeFact],
        retirement: Retirement,
        groups: Sequence[int],
        evidence: Evidence,
        now: datetime.datetime,
        run: int | None = None,
        newest: int | None = None,
    ) -> None:
        # First, so that no event of another host is missed that is recorded while the copies are read.
        self.newest = latest_event(index) if newest is None else newest
        self.index = index
        self.node = node
        self.planner = RetirementPlanner(node.id, nodes, groups, evidence.minimum)
        self.retirement = retirement
        self.evidence = evidence
        self.now = now.strftime(FORMAT)
        self.run = run
        self.amounts = RetirementAmounts()
        keepers = KeeperNodes(index, node.id, evidence)
        # Copies are released by what counts for deletions, which decide again.
        self._counting = () if keepers.restored else keepers.counting()
        self.made_from = self._made_from(groups)
        self.before = scan.compared(index, node.id)
        self._file_ids: Sequence[int] | None = None
        self._stuck: dict[int, bool] = {}
        self._began = time.monotonic()

    def _made_from(self, groups: Sequence[int]) -> int:
        columns = [
            (one.id, one.group_id, one.active, one.archive, one.retired)
            for one in sorted(self.planner.nodes.values(), key=lambda one: one.id)
        ]
        state = (self.retirement.releases, self.retirement.declared_lost, self.planner.minimum)
        return crc32(repr((columns, state, tuple(groups), sorted(self._counting))).encode())

    def restrict(self, file_ids: Sequence[int]) -> None:
        """Compare only the copies of these files, if it is remembered which files were not copied elsewhere."""
        if self.before is not None and self.before.stuck is not None:
            self._file_ids = file_ids

    @property
    def restricted(self) -> bool:
        return self._file_ids is not None

    def _pages(self) -> Iterator[list[RetiringCopy]]:
        if self._file_ids is not None:
            return scan.pages_of(self.index, self.node.id, self.planner.counting, self._file_ids)
        return scan.pages(self.index, self.node.id, self.planner.counting, PAGE)

    def pages(self, changes: bool) -> Iterator[list[Stuck]]:
        """Compare page after page; yield the files of each that are not copied elsewhere.

        `changes`: request files and release copies; otherwise only count them.
        """
        releases = self.retirement.releases or self.retirement.declared_lost
        for page in self._pages():
            self._count(page)
            yield self._request(self._few(page), changes)
            if releases and page[0].wants_file != WantsFile.NO and self._may_release(page[0]):
                enough = [copy for copy in page if copy.good >= self.planner.minimum]
                self._release(enough, changes)

    def decisions(
        self, also: Callable[[int], tuple[PendingRequest, ...]]
    ) -> Iterator[list[tuple[RetiringFile, RetirementDecision]]]:
        """Yield the decisions about the files that too few other nodes have, page after page, without a change.

        `also`: returns requests for a file that are not in the index.
        """
        for page in self._pages():
            found = [
                file._replace(requests=(*file.requests, *also(file.copy.file_id))) for file in self._few(page)
            ]
            yield [(file, self.planner.decide(file)) for file in found]

    def _few(self, page: Sequence[RetiringCopy]) -> list[RetiringFile]:
        few = [copy for copy in page if copy.good < self.planner.minimum]
        return scan.files(self.index, self.node.id, few)

    def _may_release(self, copy: RetiringCopy) -> bool:
        """Return whether copies in the state of this one are released: those on a lost medium are not there."""
        return self.retirement.releases or copy.has_file == HasFile.NO

    def _count(self, page: Sequence[RetiringCopy]) -> None:
        if page[0].has_file in PRESENT:
            bytes_ = sum(max(0, copy.size_b or 0) for copy in page)
            self.amounts.left = self.amounts.left.plus(FileTally(len(page), bytes_))
            self.amounts.enough += sum(copy.good >= self.planner.minimum for copy in page)

    def _request(self, files: Sequence[RetiringFile], changes: bool) -> list[Stuck]:
        stuck: list[Stuck] = []
        wanted: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        asked: list[RetiringFile] = []
        for file in files:
            decision: RetirementDecision = self.planner.decide(file)
            for group_id in decision.group_ids:
                wanted[decision.source_id, group_id].append(file.copy.file_id)
            if decision.group_ids:
                asked.append(file)
            elif decision.pending:
                self.amounts.waiting += 1
            if decision.why:
                stuck.append(Stuck(file.copy.file_id, file.copy.size_b, decision.why))
                self.amounts.stuck[decision.why] += 1
                if len(self._stuck) <= MOST_STUCK:
                    self._stuck[file.copy.file_id] = code_of(decision.why) is Code.RETIREMENT_NO_GOOD_COPY
        bytes_ = sum(max(0, file.copy.size_b or 0) for file in asked)
        self.amounts.requested = self.amounts.requested.plus(FileTally(len(asked), bytes_))
        if changes and wanted:
            self.index.retry(lambda: self._write_requests(wanted))
        return stuck

    def _write_requests(self, wanted: Mapping[tuple[int, int], Sequence[int]]) -> None:
        if not _is_retired(self.index, self.node.id):
            return
        why = Code.RETIREMENT_REQUEST(node=self.node.name)
        for (source_id, group_id), file_ids in wanted.items():
            for some_marks, some in in_chunks(file_ids):
                lacking = self.index.values(
                    f"SELECT f.id FROM archivefile f WHERE f.id IN ({some_marks}) AND NOT EXISTS"
                    " (SELECT 1 FROM archivefilecopyrequest q WHERE q.file_id = f.id AND q.group_to_id = ?"
                    " AND q.node_from_id = ? AND +q.completed = 0 AND +q.cancelled = 0) ORDER BY f.id",
                    (*some, group_id, source_id),
                )
                create(self.index, ((file_id, group_id, source_id) for file_id in lacking), self.now)
                self._events("requested", lacking, why)

    def _release(self, copies: Sequence[RetiringCopy], changes: bool) -> None:
        """Release copies of which enough others count for their deletion."""
        sure = self._sure(copies)
        if changes and sure:
            self.amounts.released += self.index.retry(lambda: self._write_releases(sure))
        else:
            self.amounts.released += len(sure)

    def _sure(self, copies: Sequence[RetiringCopy]) -> list[int]:
        """Return the ids of the copies of which enough others count, by the stricter rule of deletions."""
        if set(self._counting) == self.planner.counting:
            return [copy.copy_id for copy in copies]
        counting = set(self._counting)
        good: Counter[int] = Counter()
        for some in chunks(copies):
            for file in scan.files(self.index, self.node.id, some):
                good[file.copy.copy_id] = sum(
                    one.node_id in counting and one.has_file == HasFile.YES and one.wants_file != WantsFile.NO
                    for one in file.elsewhere
                )
        return [copy_id for copy_id, number in good.items() if number >= self.planner.minimum]

    def _write_releases(self, copy_ids: Sequence[int]) -> int:
        if not _is_retired(self.index, self.node.id):
            return 0
        released = 0
        lock = self.index.dialect.for_update
        for some_marks, some in in_chunks(copy_ids):
            rows = self.index.execute(
                "SELECT id, file_id FROM archivefilecopy"
                f" WHERE id IN ({some_marks}) AND node_id = ? AND wants_file <> 'N' ORDER BY id{lock}",
                (*some, self.node.id),
            ).fetchall()
            ids = [copy_id for copy_id, _ in rows]
            self.index.execute(
                f"UPDATE archivefilecopy SET wants_file = 'N', last_update = ? WHERE id IN ({marks(ids)})",
                (self.now, *ids),
            )
            self._events(
                "released", [file_id for _, file_id in rows], Code.RETIREMENT_RELEASE(node=self.node.name)
            )
            released += len(rows)
        return released

    def _events(self, what: str, file_ids: Sequence[int], why: Reason) -> None:
        self.index.executemany(
            EVENT,
            [
                (self.now, self.run, file_id, self.node.id, what, why, str(code_of(why)))
                for file_id in file_ids
            ],
        )

    def finish(self) -> None:
        """Record that the copies were compared, and how many files are not copied."""
        before, seconds = self.before, time.monotonic() - self._began
        values: dict[str, object] = {"event_id": self.newest}
        if self._file_ids is not None and before is not None and before.stuck is not None:
            looked = set(self._file_ids)
            stuck = {id: nowhere for id, nowhere in before.stuck.items() if id not in looked} | self._stuck
            values |= {"stuck": len(stuck), "nowhere": sum(stuck.values())}
            remembered = before._replace(stuck=stuck)
        else:
            values |= {
                "stuck": sum(self.amounts.stuck.values()),
                "nowhere": self.amounts.nowhere,
                "compared_at": str(self.index.now().replace(microsecond=0)),
            }
            remembered = scan.ComparedRetirement(self.made_from, seconds, self._stuck)
        self.index.retry(lambda: self._write(values, remembered))

    def _write(self, values: Mapping[str, object], remembered: scan.ComparedRetirement) -> None:
        settings = ", ".join(f"{column} = ?" for column in values)
        self.index.execute(
            f"UPDATE sync_retirement SET {settings} WHERE node_id = ?", (*values.values(), self.node.id)
        )
        if len(remembered.stuck or ()) > MOST_STUCK:
            remembered = remembered._replace(stuck=None)
        remember(self.index, scan.row_name(self.node.id), json.dumps(remembered._asdict()), self.now)


def _is_retired(index: Index, node_id: int) -> bool:
    """Return whether a node is retired, and stays so until the transaction ends."""
    lock = index.dialect.in_share_mode
    sql = f"SELECT 1 FROM sync_retirement WHERE node_id = ? AND cancelled = 0{lock}"
    return index.value(sql, (node_id,)) is not None


class Named(NamedTuple):
    """A file that is not copied elsewhere, with its path."""

    path: str
    size_b: int | None
    why: Why


def named(index: Index, stuck: Sequence[Stuck]) -> list[Named]:
    """Return the files with their paths."""
    paths: dict[int, str] = {}
    for some_marks, some in in_chunks([one.file_id for one in stuck]):
        rows = index.execute(
            "SELECT f.id, a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
            f" WHERE f.id IN ({some_marks})",
            some,
        )
        paths.update((file_id, f"{acq}/{name}") for file_id, acq, name in rows)
    return [Named(paths.get(one.file_id, f"file {one.file_id}"), one.size_b, one.why) for one in stuck]


def compare(
    comparison: Comparison,
    changes: bool,
    of: int,
    progress: Progress,
    may_go_on: Callable[[], bool] = lambda: True,
) -> bool:
    """Compare all copies; return False if that was stopped before its end.  `of`: the number of copies."""
    for number, _ in enumerate(comparison.pages(changes)):
        progress(min(number * PAGE, of), of)
        if not may_go_on():
            return False
    if changes:
        comparison.finish()
    return True
