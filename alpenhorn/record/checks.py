"""What came of checks, each batch in one transaction.

A verdict is for the copy as it was when it was handed out, and for the file as the index had it then: where
either was changed meanwhile, by us, by a user or by another program, nothing is recorded.

A good copy that was re-read and found good gets no event, only the time of its verification: a node that is
read through again and again would fill the log with millions of rows that say that nothing happened, and the
few that tell why a copy is what it is could not be found among them.  How many were read is in the run's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.checks import CheckFile, CheckResult
from alpenhorn.model.links import LookTotals
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.reasons import Code, Reason
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.copies import became_good, file_facts, once_good, verified, with_evidence
from alpenhorn.record.place import still
from alpenhorn.record.run import Run, events

STATE = {Verdict.GOOD: "Y", Verdict.MISSING: "N", Verdict.CORRUPT: "X", Verdict.UNREADABLE: "M"}
SUMS = ("node_id", "generation", "separate", "looked", "lost")  # all that have no default in the database
LEFT_OVER = Code.RELEASED_COPY_GONE()


class Settled(NamedTuple):
    """`moved`: nothing was recorded, since the node is not any more where the copies were read.  `never_good`: ids of
    the files whose path holds something that was never recorded as a good copy of them."""

    moved: bool = False
    never_good: frozenset[int] = frozenset()


class _CheckedCopyNow(NamedTuple):
    """A copy's row in the transaction that settles it."""

    copy_id: int
    has_file: str
    wants_file: str
    space_b: int | None


def settle(index: Index, run: Run, node: NodeFact, results: Sequence[CheckResult]) -> Settled:
    """Record verdicts.

    What could not be read is suspect from then on, since what cannot be read must not be counted as safe, and
    counts as an attempt; where the job itself came to nothing (FAILED) only the attempt is counted.  Nothing is
    recorded when the node was moved meanwhile.
    """

    def work() -> Settled:
        if not still(index, node):
            return Settled(moved=True)
        # A copy that is not what it was has been settled by somebody else, or by us when the answer got lost.
        now = _unchanged(index, [result.file for result in results])
        ours = [result for result in results if result.file.copy_id in now]
        told = [
            result for result in ours if result.verdict in (Verdict.GOOD, Verdict.MISSING, Verdict.CORRUPT)
        ]
        for verdict in STATE:
            _turn(index, run, node, [result for result in ours if result.verdict is verdict], now)
        _write_space(index, [result for result in told if _changes(result)], now)
        _verified(index, run, node, [result for result in told if result.verdict is Verdict.GOOD], now)
        forget(index, node.id, [r.file.file_id for r in told if r.verdict is Verdict.MISSING])
        bad = [result for result in ours if result.verdict in (Verdict.CORRUPT, Verdict.UNREADABLE)]
        once_good(index, node.id, [result.file.file_id for result in bad if result.file.has_file == "Y"])
        succeeded(index, "check", [result.file.copy_id for result in told])
        failures = [
            Failure(result.file.copy_id, Blame.UNKNOWN, result.error)
            for result in ours
            if result.verdict in (Verdict.UNREADABLE, Verdict.FAILED)
        ]
        failed(index, run, "check", failures)
        corrupt = [result.file.file_id for result in told if result.verdict is Verdict.CORRUPT]
        return Settled(never_good=frozenset(corrupt) - with_evidence(index, node.id, corrupt))

    return index.retry(work)


def forget(index: Index, node_id: int, file_ids: Sequence[int]) -> None:
    """Forget the verifications of copies that are not to be verified any more; they would be in the way of
    those whose turn has come.  Not those of suspect and corrupt copies, which say that the copies were once good."""

    def work() -> None:
        for marks, some in in_chunks(file_ids):
            index.execute(
                f"DELETE FROM sync_verification WHERE node_id = ? AND file_id IN ({marks})"
                " AND NOT EXISTS (SELECT 1 FROM archivefilecopy c WHERE c.file_id = sync_verification.file_id"
                " AND c.node_id = sync_verification.node_id AND c.has_file IN ('M', 'X'))",
                (node_id, *some),
            )

    if file_ids:
        index.retry(work)


def keep_sums(index: Index, node_id: int, sums: LookTotals) -> None:
    """Keep what was looked at on a node since it was last seen whole."""
    values = (node_id, 0, 0, sums.looked, sums.lost)
    index.retry(
        lambda: index.execute(index.upsert("sync_medium", SUMS, SUMS[:1], ("looked", "lost")), values)
    )


def _unchanged(index: Index, files: Sequence[CheckFile]) -> dict[int, _CheckedCopyNow]:
    """Those of the copies that are what they were, by copy id; they stay so until the transaction ends."""
    own = index.dialect.for_update
    facts = file_facts(index, [file.file_id for file in files])
    rows: dict[int, _CheckedCopyNow] = {}
    for marks, some in in_chunks([file.copy_id for file in files]):
        sql = (
            "SELECT id AS copy_id__id, has_file, wants_file, size_b AS space_b__size_b"
            f" FROM archivefilecopy WHERE id IN ({marks}){own}"
        )
        rows.update((copy.copy_id, copy) for copy in index.facts(_CheckedCopyNow, sql, some))
    found = {}
    for file in files:
        row = rows.get(file.copy_id)
        same_file = facts.get(file.file_id) == (file.size_b, file.md5sum and file.md5sum.lower())
        if row is not None and row.has_file == file.has_file and same_file:
            found[file.copy_id] = row
    return found


def _changes(result: CheckResult) -> bool:
    return result.file.has_file != STATE[result.verdict]


def _turn(
    index: Index, run: Run, node: NodeFact, results: Sequence[CheckResult], now: dict[int, _CheckedCopyNow]
) -> None:
    """Give copies, all with one verdict, their new state, where that is another one, and say so in the log."""
    turned = [result for result in results if _changes(result)]
    if not turned:
        return
    verdict = turned[0].verdict
    for marks, some in in_chunks([result.file.copy_id for result in turned]):
        index.execute(
            f"UPDATE archivefilecopy SET has_file = ?, last_update = ? WHERE id IN ({marks})",
            (STATE[verdict], run.now(), *some),
        )

    what = "suspect" if verdict is Verdict.UNREADABLE else str(verdict)
    events(index, run, what, [(one.file.file_id, node.id, _why(one, now)) for one in turned])


def _why(result: CheckResult, now: dict[int, _CheckedCopyNow]) -> Reason:
    if result.verdict is Verdict.MISSING and now[result.file.copy_id].wants_file == "N":
        return LEFT_OVER
    return result.error or Code.COPY_VERIFIED()


def _write_space(index: Index, results: Sequence[CheckResult], now: dict[int, _CheckedCopyNow]) -> None:
    """Write down what the copies take on the medium, where that was not known.  Together for those that take
    the same, as a statement a copy is a round trip to a server a copy."""
    alike: dict[int | None, list[int]] = {}
    for result in results:
        if result.space_b != now[result.file.copy_id].space_b:
            alike.setdefault(result.space_b, []).append(result.file.copy_id)
    for space_b, copy_ids in alike.items():
        for marks, some in in_chunks(copy_ids):
            index.execute(f"UPDATE archivefilecopy SET size_b = ? WHERE id IN ({marks})", (space_b, *some))


def _verified(
    index: Index, run: Run, node: NodeFact, results: Sequence[CheckResult], now: dict[int, _CheckedCopyNow]
) -> None:
    verified(index, node.id, [result.file.file_id for result in results], run.now())
    # A copy that was good before did not become good, and one that nobody wants brings nothing about.
    became = [
        result.file.file_id
        for result in results
        if _changes(result) and now[result.file.copy_id].wants_file != "N"
    ]
    if became:
        became_good(index, run, node, became)
