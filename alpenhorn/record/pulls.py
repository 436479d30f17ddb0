"""What came of pulls, each batch in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.model import Blame, NodeFact, PullResult, Verdict
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.claims import release, still_pending
from alpenhorn.record.copies import file_facts, good
from alpenhorn.record.run import Run, events


def cancel(index: Index, run: Run, decisions: Sequence[PullDecision]) -> None:
    """Cancel requests that the rules say can or need not be done, unless somebody settled them meanwhile."""

    def work() -> None:
        pending = still_pending(index, [decision.fact.request_id for decision in decisions])
        for marks, some in in_chunks(sorted(pending)):
            index.execute(
                "UPDATE archivefilecopyrequest SET cancelled = 1"
                f" WHERE completed = 0 AND cancelled = 0 AND id IN ({marks})",
                some,
            )
        rows = [
            (
                decision.fact.file_id,
                decision.fact.node_from_id,
                f"request {decision.fact.request_id}: {decision.why}",
            )
            for decision in decisions
            if decision.fact.request_id in pending
        ]
        events(index, run, "cancelled", rows)
        succeeded(index, "pull", [decision.fact.request_id for decision in decisions])

    index.retry(work)


def settle(index: Index, run: Run, source: NodeFact, node: NodeFact, results: Sequence[PullResult]) -> None:
    """Record a job's results: copies, requests, blame, attempts; and give the claims back.

    What was pulled was verified by what the index said of the file when it was handed out.  Where it says
    something else by now the copy is suspect, and the request waits for its check.
    """
    pulled = [result for result in results if result.verdict is Verdict.PULLED]
    occupied = [result for result in results if result.verdict is Verdict.OCCUPIED]
    rest = [result for result in results if result.verdict is Verdict.FAILED]
    bad_source = [result for result in rest if result.blame is Blame.SOURCE]

    def work() -> None:
        facts = file_facts(index, [result.file.file_id for result in pulled])
        verified: list[PullResult] = []
        outdated: list[PullResult] = []
        for result in pulled:
            same = facts.get(result.file.file_id) == (result.file.size_b, result.file.md5sum)
            (verified if same else outdated).append(result)
        good(
            index,
            run,
            node,
            [(result.file.file_id, result.space_b) for result in verified],
            "pulled",
            [f"request {result.file.request_id}: {result.method} from {source.name}" for result in verified],
        )
        _complete(index, verified)
        succeeded(index, "pull", [result.file.request_id for result in verified])
        _suspect(index, run, node, occupied, "found at its path, not in the index")
        _suspect(
            index, run, node, outdated, "its length or MD5 sum was changed in the index while it was pulled"
        )
        index.executemany(
            "UPDATE archivefilecopy SET has_file = 'M', last_update = ?"
            " WHERE file_id = ? AND node_id = ? AND has_file = 'Y'",
            [(run.now(), result.file.file_id, source.id) for result in bad_source],
        )
        events(
            index, run, "suspect", [(result.file.file_id, source.id, result.error) for result in bad_source]
        )
        failed(
            index,
            run,
            "pull",
            [
                Failure(result.file.request_id, str(result.blame or Blame.WORKER), result.error)
                for result in rest
            ],
        )
        release(index, run, node.group_id, [result.file.file_id for result in results])

    index.retry(work)


def _complete(index: Index, pulled: Sequence[PullResult]) -> None:
    together: dict[tuple[int, int], list[int]] = {}
    for result in pulled:
        together.setdefault((int(result.started), int(result.ended)), []).append(result.file.request_id)
    for (started, ended), request_ids in together.items():
        for marks, some in in_chunks(request_ids):
            index.execute(
                "UPDATE archivefilecopyrequest SET completed = 1, transfer_started = ?, transfer_completed = ?"
                f" WHERE completed = 0 AND cancelled = 0 AND id IN ({marks})",
                (naive(started), naive(ended), *some),
            )


def _suspect(index: Index, run: Run, node: NodeFact, results: Sequence[PullResult], why: str) -> None:
    """Something is at the path that the index does not know of: let the check find out what it is."""
    now = run.now()
    columns = ("file_id", "node_id", "has_file", "wants_file", "ready", "last_update")
    index.executemany(
        index.insert_ignore("archivefilecopy", columns),
        [(result.file.file_id, node.id, "M", "Y", 1, now) for result in results],
    )
    index.executemany(
        "UPDATE archivefilecopy SET has_file = 'M', wants_file = 'Y', last_update = ?"
        " WHERE file_id = ? AND node_id = ? AND has_file = 'N'",
        [(now, result.file.file_id, node.id) for result in results],
    )
    rows = [(result.file.file_id, node.id, why) for result in results]
    events(index, run, "suspect", rows)
