"""Records the results of pulls, each batch in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.plan.sources import OF_SOURCE
from alpenhorn.reasons import Code, Reason, headed
from alpenhorn.record import digests, verified_status
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.claims import held_claims, release, still_pending
from alpenhorn.record.copies import NEVER_READ, file_facts, good, never_good, once_good, read_as_source
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import Run, events

FOUND = Code.FOUND_AT_ITS_PATH()
CHANGED = Code.CHANGED_SINCE_CHECK()
OUTDATED = Code.FILE_EDITED_WHILE_PULLED()
LOST = Code.PULLED_UNDER_LOST_CLAIM()
DOUBTED = Code.SOURCE_DOUBTED_WHILE_LINKED()


def cancel(index: Index, run: Run, decisions: Sequence[PullDecision]) -> None:
    """Cancel requests that are impossible or needless, unless they were completed or cancelled in the meantime."""

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
    """Record a job's results: copies, completed requests, suspect sources and failed attempts; delete the claims.

    Pulled files were verified against the length and MD5 sum at the start of the job.  If the index has other values
    now, the copy is suspect, and the request waits for its check.  The same applies if this run has lost the claim:
    the request is left to the run that took it over, which may have pulled the file to another node of the group.
    And if the source was linked without reading it, and has been found wrong in the meantime.
    A file is suspect, too, if another run has recorded another SHA-256 sum of it in the meantime.

    `silent`: requests whose source could not be reached; they get no failed attempt, as the back-off counts it.

    Returns False if the node was moved: then only the claims are deleted, since the results are from another place.
    """

    def work() -> bool:
        file_ids = [result.file.file_id for result in results]
        if not node_unmoved(index, node):
            release(index, run, node.group_id, file_ids)
            return False
        fences = {result.file.file_id: result.file.fence for result in results}
        held = held_claims(index, run, "pull", node.group_id, fences)
        pulled = [result for result in results if result.verdict is Verdict.PULLED]
        occupied = [result for result in results if result.verdict is Verdict.OCCUPIED]
        changed = [result for result in occupied if result.file.replace]
        rest = [result for result in results if result.verdict is Verdict.FAILED and not result.advanced]
        advanced = [result for result in results if result.advanced and result.file.file_id in held]
        facts = file_facts(index, [result.file.file_id for result in pulled])
        verified: list[PullResult] = []
        outdated: list[PullResult] = []
        lost: list[PullResult] = []
        doubted: list[PullResult] = []
        unread = [result.file.file_id for result in pulled if result.unread]
        known = verified_status.with_status(index, source.id, unread)
        for result in pulled:
            same = facts.get(result.file.file_id) == (result.file.size_b, result.file.md5sum)
            kind = lost if result.file.file_id not in held else verified if same else outdated
            if kind is verified and result.unread and result.file.file_id not in known:
                kind = doubted
            kind.append(result)
        differ = digests.keep_first(
            index,
            [
                digests.Content(result.file.file_id, result.file.size_b, result.file.md5sum, result.sha256)
                for result in verified
            ],
        )
        colliding = [result for result in verified if result.file.file_id in differ]
        verified = [result for result in verified if result.file.file_id not in differ]
        linked = [result for result in verified if result.unread]
        for some, at in (([result for result in verified if not result.unread], None), (linked, NEVER_READ)):
            copies = [(result.file.file_id, result.space_b) for result in some]
            good(index, run, node, copies, "pulled", [_pulled(result, source) for result in some], read=at)
        read_as_source(index, source.id, node.id, [result.file.file_id for result in linked])
        kept = [
            (result.file.file_id, node.id, Code.CHANGED_FILE_KEPT(path=repr(result.aside)))
            for result in pulled
            if result.aside
        ]
        events(index, run, "kept", kept)
        _keep_statuses(index, source, node, verified)
        _complete(index, verified)
        succeeded(index, "pull", [result.file.request_id for result in (*verified, *advanced)])
        read = [result.file.other_copy for result in (*verified, *advanced) if result.file.other_copy]
        succeeded(index, "source", read)
        _suspect(index, run, node, occupied, FOUND)
        _suspect(index, run, node, changed, CHANGED, states=("X",))
        _suspect(index, run, node, outdated, OUTDATED, states=("N", "X"), pulled_by_run=True)
        _suspect(index, run, node, lost, LOST, states=("N", "X"), pulled_by_run=True)
        _suspect(index, run, node, doubted, DOUBTED, states=("N", "X"), pulled_by_run=True)
        for result in colliding:
            why = Code.COPY_SHA256_WRONG(found=result.sha256, expected=differ[result.file.file_id])
            _suspect(index, run, node, [result], why, states=("N", "X"), pulled_by_run=True)
        _blame(index, run, source, [result for result in rest if result.blame is Blame.SOURCE])
        states = _states(index, node.id, [result.file.file_id for result in occupied])
        corrupt = {file_id for file_id, has in states.items() if has == "X"}
        failures: list[Failure] = []
        of_source: list[Failure] = []
        for result in rest:
            if result.file.file_id not in held or result.file.request_id in silent:
                continue
            # The requested source, and other ones, are not delayed by failures of this one.
            other = result.file.other_copy if result.blame in OF_SOURCE else 0
            failure = Failure(
                other or result.file.request_id,
                str(result.blame or Blame.WORKER),
                result.error,
                result.file.file_id,
                node.id,
            )
            (of_source if other else failures).append(failure)
        failed(index, run, "source", of_source)
        # A failed attempt delays the next pull, so that not every run checks the corrupt file again.
        failures += [
            Failure(result.file.request_id, Blame.UNKNOWN, result.error, result.file.file_id, node.id)
            for result in occupied
            if result.file.file_id in corrupt & held
        ]
        failed(index, run, "pull", failures)
        release(index, run, node.group_id, file_ids)
        return True

    return index.retry(work)


def _pulled(result: PullResult, source: NodeFact) -> Reason:
    request, method = result.file.request_id, f"{result.method}{', unread' if result.unread else ''}"
    requested, why = result.file.instead
    if not requested:
        return Code.PULLED(request=request, method=method, node=source.name)
    return Code.PULLED_FROM_OTHER(
        request=request, method=method, node=source.name, requested=requested, why=why
    )


def _keep_statuses(index: Index, source: NodeFact, node: NodeFact, results: Sequence[PullResult]) -> None:
    """Record the statuses of the copies, and of the sources of hard links, which are the same."""
    placed = [
        verified_status.VerifiedFile(
            result.file.file_id, result.file.md5sum, result.sha256, result.verified_status
        )
        for result in results
        if result.verified_status
    ]
    verified_status.keep(index, node.id, placed)
    links = {result.file.file_id for result in results if result.method is Method.LINK}
    linked = [one for one in placed if one.file_id in links]
    if linked and node_unmoved(index, source):
        verified_status.keep(index, source.id, linked)


def _blame(index: Index, run: Run, source: NodeFact, results: Sequence[PullResult]) -> None:
    """Make the source's copies suspect, unless the source was moved while it was read."""
    if not results or not node_unmoved(index, source):
        return
    states = _states(index, source.id, [result.file.file_id for result in results])
    good_before = sorted(file_id for file_id, has in states.items() if has == "Y")
    once_good(index, source.id, good_before)
    verified_status.forget(index, source.id, [result.file.file_id for result in results])
    for marks, some in in_chunks(good_before):
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'M', last_update = ? WHERE node_id = ? AND file_id IN ({marks})",
            (run.now(), source.id, *some),
        )
    events(index, run, "suspect", [(result.file.file_id, source.id, result.error) for result in results])


def _states(index: Index, node_id: int, file_ids: Sequence[int]) -> dict[int, str]:
    """Return has_file of copies on a node by file id; the rows are locked until the transaction ends."""
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
    by_times: dict[tuple[int, int], list[int]] = {}
    for result in pulled:
        by_times.setdefault((int(result.started), int(result.ended)), []).append(result.file.request_id)
    for (started, ended), request_ids in by_times.items():
        for marks, some in in_chunks(request_ids):
            index.execute(
                "UPDATE archivefilecopyrequest SET completed = 1, transfer_started = ?, transfer_completed = ?"
                f" WHERE completed = 0 AND cancelled = 0 AND id IN ({marks})",
                (naive(started), naive(ended), *some),
            )


def _suspect(
    index: Index,
    run: Run,
    node: NodeFact,
    results: Sequence[PullResult],
    why: Reason,
    states: Collection[str] = ("N",),
    pulled_by_run: bool = False,
) -> None:
    """Make copies suspect whose paths hold files that are not recorded, so that a check reads them.

    `states`: has_file of the copies; `pulled_by_run`: a run wrote these files, also over corrupt copies, so a pull may
    replace them.
    """
    now = run.now()
    columns = ("file_id", "node_id", "has_file", "wants_file", "ready", "last_update")
    there = _states(index, node.id, [result.file.file_id for result in results])
    file_ids = [result.file.file_id for result in results if there.get(result.file.file_id, "N") in states]
    index.executemany(
        index.insert_ignore("archivefilecopy", columns),
        [(file_id, node.id, "M", "Y", 1, now) for file_id in file_ids if file_id not in there],
    )
    for marks, some in in_chunks([file_id for file_id in file_ids if file_id in there]):
        index.execute(
            "UPDATE archivefilecopy SET has_file = 'M', wants_file = 'Y', last_update = ?"
            f" WHERE node_id = ? AND file_id IN ({marks})",
            (now, node.id, *some),
        )
    if pulled_by_run:
        once_good(index, node.id, file_ids)
    elif "N" in states:
        never_good(index, node.id, file_ids)
    events(index, run, "suspect", [(file_id, node.id, why) for file_id in file_ids])
