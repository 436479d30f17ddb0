"""Retirement of nodes: its state, and the requests and releases that follow from it.

Each step is a transaction that first reads the state under a lock, so that nothing is requested or released after a
cancellation.  What is left to do is found by comparing the copies with those elsewhere, so a step that was not done is
done by the next comparison.
"""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from alpenhorn.edits.requests import cancel_selection
from alpenhorn.errors import NotFound
from alpenhorn.index.bulk import chunks, in_chunks, marks, update
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import Progress, SelectionPart, counted
from alpenhorn.listings.stats import FileTally
from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.retirement import PendingRequest, Retirement, RetiringCopy, RetiringFile
from alpenhorn.plan.retirement import RetirementDecision, RetirementPlanner
from alpenhorn.reasons import Code, Reason, Why, code_of
from alpenhorn.record.requests import create
from alpenhorn.record.run import EVENT, FORMAT
from alpenhorn.scan import retirements as scan
from alpenhorn.scan.keepers import KeeperNodes
from alpenhorn.scan.manifest import latest_event

PAGE = 2000
PRESENT = (HasFile.YES, HasFile.MAYBE, HasFile.CORRUPT)

# What the retirement of a node has requested or released, and nobody has changed since then.
OWN_REQUESTS = """
    FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
    WHERE r.completed = 0 AND r.cancelled = 0
      AND EXISTS (SELECT 1 FROM sync_event e WHERE e.file_id = r.file_id AND e.node_id = ? AND +e.at = r.timestamp
                  AND e.code = ?)
"""
OWN_RELEASES = """
    FROM archivefilecopy c LEFT JOIN archivefile f ON f.id = c.file_id
    WHERE c.node_id = ? AND c.has_file IN ({states}) AND c.wants_file = 'N'
      AND EXISTS (SELECT 1 FROM sync_event e WHERE e.file_id = c.file_id AND e.node_id = c.node_id AND e.code = ?)
"""


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
    the number of the run, None for a command; `now`: the time of the changes.
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
    ) -> None:
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

    def pages(self, changes: bool) -> Iterator[list[Stuck]]:
        """Compare page after page; yield the files of each that are not copied elsewhere.

        `changes`: request files and release copies; otherwise only count them.
        """
        releases = self.retirement.releases or self.retirement.declared_lost
        for page in scan.pages(self.index, self.node.id, self.planner.counting, PAGE):
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
        for page in scan.pages(self.index, self.node.id, self.planner.counting, PAGE):
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
        """Record that all copies were compared, and how many files are not copied."""
        self.index.retry(
            lambda: self.index.execute(
                "UPDATE sync_retirement SET compared_at = ?, event_id = ?, stuck = ?, nowhere = ? WHERE node_id = ?",
                (
                    str(self.index.now().replace(microsecond=0)),
                    latest_event(self.index),
                    sum(self.amounts.stuck.values()),
                    self.amounts.nowhere,
                    self.node.id,
                ),
            )
        )


def _is_retired(index: Index, node_id: int) -> bool:
    """Return whether a node is retired, and stays so until the transaction ends."""
    lock = index.dialect.in_share_mode
    sql = f"SELECT 1 FROM sync_retirement WHERE node_id = ? AND cancelled = 0{lock}"
    return index.value(sql, (node_id,)) is not None


def retire(
    index: Index,
    node_id: int,
    groups: Sequence[int],
    releases: bool,
    now: datetime.datetime,
    *,
    declared_lost: bool = False,
) -> None:
    """Retire a node, or add groups and settings to its retirement.  Raises NotFound if it was removed."""
    lock = index.dialect.for_update

    def work() -> None:
        if index.value(f"SELECT id FROM storagenode WHERE id = ?{lock}", (node_id,)) is None:
            raise NotFound("the node was removed in the meantime; nothing was changed")
        before = scan.of_node(index, node_id)
        if before is None or before.cancelled:
            _forget(index, node_id)
            columns = (
                "node_id",
                "began",
                "releases",
                "declared_lost",
                "cancelled",
                "event_id",
                "stuck",
                "nowhere",
            )
            index.execute(
                index.insert_ignore("sync_retirement", columns),
                (node_id, now, int(releases), int(declared_lost), 0, 0, 0, 0),
            )
        else:
            index.execute(
                "UPDATE sync_retirement SET releases = ?, declared_lost = ?, compared_at = NULL WHERE node_id = ?",
                (
                    int(releases or before.releases),
                    int(declared_lost or before.declared_lost),
                    node_id,
                ),
            )
        for group_id in groups:
            index.execute(
                index.insert_ignore("sync_retirement_group", ("node_id", "group_id")), (node_id, group_id)
            )

    index.retry(work)


def _forget(index: Index, node_id: int) -> None:
    index.execute("DELETE FROM sync_retirement WHERE node_id = ?", (node_id,))
    index.execute("DELETE FROM sync_retirement_group WHERE node_id = ?", (node_id,))


class Undone(NamedTuple):
    """Numbers of cancelled requests and releases."""

    requests: int
    releases: int


def cancel(
    index: Index, node_id: int, now: datetime.datetime, progress: Progress = lambda done, of: None
) -> Undone:
    """End the retirement of a node, then cancel those of its requests and releases that are pending.

    If this is interrupted, a second call continues it.
    """
    index.retry(
        lambda: index.execute("UPDATE sync_retirement SET cancelled = 1 WHERE node_id = ?", (node_id,))
    )
    # Copies on a lost medium were not deleted, so they are missing again.
    before = scan.of_node(index, node_id)
    states = "'Y', 'M', 'X', 'N'" if before is not None and before.declared_lost else "'Y', 'M', 'X'"
    requests = SelectionPart(OWN_REQUESTS, (node_id, str(Code.RETIREMENT_REQUEST)))
    releases = SelectionPart(OWN_RELEASES.format(states=states), (node_id, str(Code.RETIREMENT_RELEASE)))
    cancelled = _in_pieces(
        index, requests, "r.id", progress, lambda parts: cancel_selection(index, parts, now)
    )
    state = f"u.has_file IN ({states}) AND u.wants_file = 'N'"
    wanted = {"wants_file": "Y", "last_update": now}
    wanted_again = _in_pieces(
        index,
        releases,
        "c.id",
        progress,
        lambda parts: update(index, "archivefilecopy", wanted, state, "c.id", parts),
    )
    index.retry(lambda: _forget(index, node_id))
    return Undone(cancelled, wanted_again)


def _in_pieces(
    index: Index,
    part: SelectionPart,
    row: str,
    progress: Progress,
    change: Callable[[Sequence[SelectionPart]], int],
) -> int:
    found = counted(index, [part], row, progress)
    done = changed = 0
    for piece in found.pieces:
        progress(done, found.total.files)
        changed += change(piece.parts)
        done += piece.files
    return changed


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
