"""What came of pulls, each batch in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.reasons import Code, Reason, headed
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.claims import held, release, still_pending
from alpenhorn.record.copies import file_facts, good, never_good, once_good
from alpenhorn.record.place import still
from alpenhorn.record.run import Run, events

FOUND = Code.FOUND_AT_ITS_PATH()
OUTDATED = Code.FILE_EDITED_WHILE_PULLED()
LOST = Code.PULLED_UNDER_LOST_CLAIM()


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
                headed(f"request {decision.fact.request_id}", decision.why),
            )
            for decision in decisions
            if decision.fact.request_id in pending
        ]
        events(index, run, "cancelled", rows)
        succeeded(index, "pull", [decision.fact.request_id for decision in decisions])

    index.retry(work)


def settle(
    index: Index,
    run: Run,
    source: NodeFact,
    node: NodeFact,
    results: Sequence[PullResult],
    silent: Collection[int] = (),
) -> bool:
    """Record a job's results: copies, requests, blame, attempts; and give the claims back.

    What was pulled was verified by what the index said of the file when it was handed out.  Where it says
    something else by now the copy is suspect, and the request waits for its check.  Likewise where the claim is not
    this run's any more: the request is left to the run that took it over, which may have brought the file to another
    node of the group.

    `silent`: requests whose source could not be reached, for which that is counted instead.

    Returns whether the node is still where the files were brought.  If not, only the claims are given back: what was
    done elsewhere says nothing about the node, and the requests are no nearer to being done.
    """

    def work() -> bool:
        file_ids = [result.file.file_id for result in results]
        if not still(index, node):
            release(index, run, node.group_id, file_ids)
            return False
        fences = {result.file.file_id: result.file.fence for result in results}
        ours = held(index, run, "pull", node.group_id, fences)
        pulled = [result for result in results if result.verdict is Verdict.PULLED]
        occupied = [result for result in results if result.verdict is Verdict.OCCUPIED]
        rest = [result for result in results if result.verdict is Verdict.FAILED and not result.advanced]
        advanced = [result for result in results if result.advanced and result.file.file_id in ours]
        facts = file_facts(index, [result.file.file_id for result in pulled])
        verified: list[PullResult] = []
        outdated: list[PullResult] = []
        lost: list[PullResult] = []
        for result in pulled:
            same = facts.get(result.file.file_id) == (result.file.size_b, result.file.md5sum)
            kind = lost if result.file.file_id not in ours else verified if same else outdated
            kind.append(result)
        good(
            index,
            run,
            node,
            [(result.file.file_id, result.space_b) for result in verified],
            "pulled",
            [
                Code.PULLED(request=result.file.request_id, method=result.method, node=source.name)
                for result in verified
            ],
        )
        _complete(index, verified)
        succeeded(index, "pull", [result.file.request_id for result in (*verified, *advanced)])
        _suspect(index, run, node, occupied, FOUND)
        _suspect(index, run, node, outdated, OUTDATED, ours=True)
        _suspect(index, run, node, lost, LOST, ours=True)
        _blame(index, run, source, [result for result in rest if result.blame is Blame.SOURCE])
        states = _states(index, node.id, [result.file.file_id for result in occupied])
        corrupt = {file_id for file_id, has in states.items() if has == "X"}
        failures = [
            Failure(result.file.request_id, str(result.blame or Blame.WORKER), result.error)
            for result in rest
            if result.file.file_id in ours and result.file.request_id not in silent
        ]
        # What lies there is not looked at again in each run.
        failures += [
            Failure(result.file.request_id, Blame.UNKNOWN, result.error)
            for result in occupied
            if result.file.file_id in corrupt & ours
        ]
        failed(index, run, "pull", failures)
        release(index, run, node.group_id, file_ids)
        return True

    return index.retry(work)


def _blame(index: Index, run: Run, source: NodeFact, results: Sequence[PullResult]) -> None:
    """Make the source's copies suspect, unless the source was moved while it was read."""
    if not results or not still(index, source):
        return
    states = _states(index, source.id, [result.file.file_id for result in results])
    turned = sorted(file_id for file_id, has in states.items() if has == "Y")
    once_good(index, source.id, turned)
    for marks, some in in_chunks(turned):
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'M', last_update = ? WHERE node_id = ? AND file_id IN ({marks})",
            (run.now(), source.id, *some),
        )
    events(index, run, "suspect", [(result.file.file_id, source.id, result.error) for result in results])


def _states(index: Index, node_id: int, file_ids: Sequence[int]) -> dict[int, str]:
    """has_file of the copies on a node by file id; they stay so until the transaction ends."""
    lock = index.dialect.for_update
    found: dict[int, str] = {}
    for marks, some in in_chunks(file_ids):
        rows = index.execute(
            f"SELECT file_id, has_file FROM archivefilecopy WHERE node_id = ? AND file_id IN ({marks}){lock}",
            (node_id, *some),
        )
        found.update(rows.fetchall())
    return found


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


def _suspect(
    index: Index, run: Run, node: NodeFact, results: Sequence[PullResult], why: Reason, ours: bool = False
) -> None:
    """Something is at the path that the index does not know of: let the check find out what it is.

    `ours`: we have put it there, so that a corrupt copy is not what it was either, and it may be replaced.
    """
    now = run.now()
    columns = ("file_id", "node_id", "has_file", "wants_file", "ready", "last_update")
    turning = ("N", "X") if ours else ("N",)
    states = _states(index, node.id, [result.file.file_id for result in results])
    file_ids = [result.file.file_id for result in results if states.get(result.file.file_id, "N") in turning]
    index.executemany(
        index.insert_ignore("archivefilecopy", columns),
        [(file_id, node.id, "M", "Y", 1, now) for file_id in file_ids if file_id not in states],
    )
    for marks, some in in_chunks([file_id for file_id in file_ids if file_id in states]):
        index.execute(
            "UPDATE archivefilecopy SET has_file = 'M', wants_file = 'Y', last_update = ?"
            f" WHERE node_id = ? AND file_id IN ({marks})",
            (now, node.id, *some),
        )
    (once_good if ours else never_good)(index, node.id, file_ids)
    events(index, run, "suspect", [(file_id, node.id, why) for file_id in file_ids])
