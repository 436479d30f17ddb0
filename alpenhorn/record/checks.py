"""Records the results of checks, each batch in one transaction.

A verdict applies to the copy and the file as they were when the check was started.  If the row of either was changed in
the meantime, by a run, a user or another program, nothing is recorded.

A good copy that was found good again gets no event, only a new time of verification.  Otherwise millions of events
without a change would hide the few that explain the state of a copy.  The run's row has the number of copies read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.checks import CheckFile, CheckResult
from alpenhorn.model.events import NO_FILE
from alpenhorn.model.links import LookTotals
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.reasons import Code, Reason, code_of
from alpenhorn.record import digests, verified_status
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.copies import became_good, file_facts, never_good, once_good, verified, with_evidence
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import Run, events
from alpenhorn.scan.digests import known_sha256

STATE = {
    Verdict.GOOD: "Y",
    Verdict.MISSING: "N",
    Verdict.CORRUPT: "X",
    Verdict.CHANGED: "X",
    Verdict.UNREADABLE: "M",
}
CONCLUSIVE = (Verdict.GOOD, Verdict.MISSING, Verdict.CORRUPT, Verdict.CHANGED)
SUMS = (
    "node_id",
    "generation",
    "separate",
    "looked",
    "lost",
)  # the columns without a default in the database
LEFT_OVER = Code.RELEASED_COPY_GONE()


class Settled(NamedTuple):
    """`moved`: nothing was recorded, since the node was moved after the copies were read.

    `never_good`: ids of corrupt files whose copies were never recorded as good; `changed`: of files that their owners
    changed.
    """

    moved: bool = False
    never_good: frozenset[int] = frozenset()
    changed: frozenset[int] = frozenset()


class _CheckedCopyNow(NamedTuple):
    """A copy's row in the transaction that records its check."""

    copy_id: int
    has_file: str
    wants_file: str
    space_b: int | None


def settle(index: Index, run: Run, node: NodeFact, results: Sequence[CheckResult]) -> Settled:
    """Record verdicts.

    A copy that could not be read becomes suspect, since it must not count as safe, and gets a failed attempt.  If the
    job itself failed (FAILED), only the attempt is counted.  Nothing is recorded if the node was moved in the meantime.
    """

    def work() -> Settled:
        if not node_unmoved(index, node):
            return Settled(moved=True)
        # A changed copy was settled by another program, or by this run if the answer to the commit was lost.
        now = _unchanged(index, [result.file for result in results])
        current = [result for result in results if result.file.copy_id in now]
        current = _with_first_sha256(index, current)
        current = _changed_or_corrupt(index, node, current)
        conclusive = [result for result in current if result.verdict in CONCLUSIVE]
        for verdict in STATE:
            _change_state(index, run, node, [result for result in current if result.verdict is verdict], now)
        _write_space(index, [result for result in conclusive if _changes(result)], now)
        good = [result for result in conclusive if result.verdict is Verdict.GOOD]
        _verified(index, run, node, good, now)
        verified_status.keep(
            index,
            node.id,
            [
                verified_status.VerifiedFile(
                    result.file.file_id,
                    (result.file.md5sum or "").lower(),
                    result.sha256,
                    result.verified_status,
                )
                for result in good
                if result.verified_status
            ],
        )
        forget(index, node.id, [r.file.file_id for r in conclusive if r.verdict is Verdict.MISSING])
        not_good = [
            result for result in current if result.verdict in STATE and result.verdict is not Verdict.GOOD
        ]
        verified_status.forget(index, node.id, [result.file.file_id for result in not_good])
        bad = [result for result in current if result.verdict in (Verdict.CORRUPT, Verdict.UNREADABLE)]
        once_good(index, node.id, [result.file.file_id for result in bad if result.file.has_file == "Y"])
        # Without the evidence, no pull replaces what the owner of the file has written.
        changed = [result.file.file_id for result in conclusive if result.verdict is Verdict.CHANGED]
        never_good(index, node.id, changed)
        # The same if only the SHA-256 sum differs: the one on record may be that of a forged copy.
        never_good(index, node.id, [result.file.file_id for result in conclusive if _collides(result)])
        succeeded(index, "check", [result.file.copy_id for result in conclusive])
        # A deletion that waited for the reading need not wait any longer.
        succeeded(index, "delete", [result.file.copy_id for result in good], Code.RELEASED_COPY_WRITTEN)
        unread = [result for result in current if result.verdict in (Verdict.UNREADABLE, Verdict.FAILED)]
        failed(index, run, "check", [_failure(node, result) for result in unread])
        corrupt = [result.file.file_id for result in conclusive if result.verdict is Verdict.CORRUPT]
        return Settled(
            never_good=frozenset(corrupt) - with_evidence(index, node.id, corrupt), changed=frozenset(changed)
        )

    return index.retry(work)


def _with_first_sha256(index: Index, results: Sequence[CheckResult]) -> list[CheckResult]:
    """Record the SHA-256 sums of good copies.  Return the results without those whose file has got another one since.

    These copies stay due, so that the next run compares them.
    """
    collided = [result.file for result in results if _collides(result)]
    known = known_sha256(index, [file.file_id for file in collided])
    outdated = {file.file_id for file in collided if known.get(file.file_id) != file.sha256}
    differ = digests.keep_first(
        index,
        [
            digests.Content(
                result.file.file_id,
                result.file.size_b or 0,
                (result.file.md5sum or "").lower(),
                result.sha256,
            )
            for result in results
            if result.verdict is Verdict.GOOD
        ],
    )
    return [result for result in results if result.file.file_id not in outdated | differ.keys()]


def _collides(result: CheckResult) -> bool:
    """Return whether only the SHA-256 sum shows that a copy is not the file."""
    return result.verdict is Verdict.CORRUPT and code_of(result.error) == Code.COPY_SHA256_WRONG


def _changed_or_corrupt(index: Index, node: NodeFact, results: Sequence[CheckResult]) -> list[CheckResult]:
    """Return the results, with the copies that were changed by their owners, and are not corrupt, as such."""
    corrupt = [result for result in results if result.verdict is Verdict.CORRUPT]
    if not corrupt:
        return list(results)
    from alpenhorn.record.changed import changed, is_changed, origins_of  # few copies are corrupt

    origins = origins_of(index, node.id, {result.file.file_id: result.file.has_file for result in corrupt})
    return [
        result._replace(verdict=Verdict.CHANGED, error=changed(result.error, result.modified))
        if result.verdict is Verdict.CORRUPT and is_changed(origins[result.file.file_id], result.modified)
        else result
        for result in results
    ]


def forget(index: Index, node_id: int, file_ids: Sequence[int]) -> None:
    """Delete the verifications of copies that need no more verification, so that they do not delay others.

    Verifications of suspect and corrupt copies are kept: they are the evidence that the copies were once good.
    """

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
    """Record how many copies were looked at on a node, and lost, since it was last found complete."""
    values = (node_id, 0, 0, sums.looked, sums.lost)
    index.retry(
        lambda: index.execute(index.upsert("sync_medium", SUMS, SUMS[:1], ("looked", "lost")), values)
    )


def _unchanged(index: Index, files: Sequence[CheckFile]) -> dict[int, _CheckedCopyNow]:
    """Return the copies whose rows did not change, by copy id; the rows are locked until the transaction ends."""
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


def _change_state(
    index: Index, run: Run, node: NodeFact, results: Sequence[CheckResult], now: dict[int, _CheckedCopyNow]
) -> None:
    """Record the new state of copies with the same verdict, with an event, if it differs from the old state."""
    changed = [result for result in results if _changes(result)]
    if not changed:
        return
    verdict = changed[0].verdict
    for marks, some in in_chunks([result.file.copy_id for result in changed]):
        index.execute(
            f"UPDATE archivefilecopy SET has_file = ?, last_update = ? WHERE id IN ({marks})",
            (STATE[verdict], run.now(), *some),
        )

    what = "suspect" if verdict is Verdict.UNREADABLE else str(verdict)
    events(index, run, what, [(one.file.file_id, node.id, _why(one, now)) for one in changed])


def _failure(node: NodeFact, result: CheckResult) -> Failure:
    # A copy that becomes suspect has an event with the reason already.
    silent = result.verdict is Verdict.UNREADABLE and _changes(result)
    file_id = NO_FILE if silent else result.file.file_id
    return Failure(result.file.copy_id, Blame.UNKNOWN, result.error, file_id, node.id)


def _why(result: CheckResult, now: dict[int, _CheckedCopyNow]) -> Reason:
    if result.verdict is Verdict.MISSING and now[result.file.copy_id].wants_file == "N":
        return LEFT_OVER
    return result.error or Code.COPY_VERIFIED()


def _write_space(index: Index, results: Sequence[CheckResult], now: dict[int, _CheckedCopyNow]) -> None:
    """Record the space that copies use on the medium, where it was not known.

    One statement for all copies of the same size: a statement for each copy would cost a round trip to the server.
    """
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
    if results:
        # What is written during the reading is newer than the copy that was read.
        began = min(result.began for result in results)
        at = run.at(began) if began else run.now()
        verified(index, node.id, [result.file.file_id for result in results], at)
    # The rules apply to copies that became good just now and are wanted.
    became = [
        result.file.file_id
        for result in results
        if _changes(result) and now[result.file.copy_id].wants_file != "N"
    ]
    if became:
        became_good(index, run, node, became)
