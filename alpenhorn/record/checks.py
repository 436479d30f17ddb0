"""What came of checks, each batch in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model import Blame, CheckResult, NodeFact, Verdict
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.copies import became_good, verified
from alpenhorn.record.run import Run, events

STATE = {Verdict.GOOD: "Y", Verdict.MISSING: "N", Verdict.CORRUPT: "X"}


def settle(index: Index, run: Run, node: NodeFact, results: Sequence[CheckResult]) -> None:
    """Record verdicts on copies that are still suspect; what could not be read stays so and counts as an attempt."""

    def work() -> None:
        now = run.now()
        # A copy that is no longer suspect was settled by somebody else, or by us when the answer got lost.
        suspect = _suspect(index, [result.file.copy_id for result in results])
        for verdict, state in STATE.items():
            some = [
                result for result in results if result.verdict is verdict and result.file.copy_id in suspect
            ]
            if not some:
                continue
            index.executemany(
                "UPDATE archivefilecopy SET has_file = ?, size_b = ?, last_update = ? WHERE id = ?",
                [(state, result.space_b, now, result.file.copy_id) for result in some],
            )
            rows = [
                (result.file.file_id, node.id, result.error or "read in full, MD5 equal") for result in some
            ]
            events(index, run, str(verdict), rows)
            succeeded(index, "check", [result.file.copy_id for result in some])
            if verdict is Verdict.GOOD:
                file_ids = [result.file.file_id for result in some]
                verified(index, node.id, file_ids, now)
                became_good(index, node, file_ids, now)
        failed(
            index,
            run,
            "check",
            [
                Failure(result.file.copy_id, Blame.UNKNOWN, result.error)
                for result in results
                if result.verdict is Verdict.UNREADABLE and result.file.copy_id in suspect
            ],
        )

    index.retry(work)


def _suspect(index: Index, copy_ids: Sequence[int]) -> set[int]:
    """Those of the copies that are suspect now, and stay so until the transaction ends."""
    lock = "" if index.sqlite else " FOR UPDATE"
    found: set[int] = set()
    for marks, some in in_chunks(copy_ids):
        rows = index.execute(
            f"SELECT id FROM archivefilecopy WHERE has_file = 'M' AND id IN ({marks}){lock}", some
        )
        found.update(row[0] for row in rows)
    return found
