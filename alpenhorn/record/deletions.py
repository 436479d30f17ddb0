"""Deletions: claimed before anything is removed, and recorded after; each batch in one transaction.

    claim (has_file M: no program counts the copy any more) → the file is unlinked → settle (has_file N)

Claiming is what keeps an archive whole: all copies of the files are locked, read and decided by the rule
(`alpenhorn.plan.deletions`) in one transaction, so that of two hosts that would delete copies of one file the second
decides on what the first has left.  A crash after it leaves a copy that is not counted, which the next run settles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.copies import HasFile
from alpenhorn.model.deletions import DeleteFile, DeleteResult, DeletionFact, Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Verdict
from alpenhorn.plan.deletions import decide, reason
from alpenhorn.reasons import Code, Reason, Why
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.claims import COLUMNS, LEASE, held, release
from alpenhorn.record.copies import never_good, once_good
from alpenhorn.record.place import still
from alpenhorn.record.run import Run, events
from alpenhorn.scan.deletions import DeletionReading, read

GONE = (Verdict.DELETED, Verdict.MISSING)
CHANGED = Code.COPY_STATE_CHANGED()


class DecidedDeletions(NamedTuple):
    """`granted`: (copy as it was before the claim, with what counts for it now, and why it goes); `refused`: (copy, why
    it stays for now); `undone`: those of them that this run had claimed before.  `fences`: those of the claims on what
    is granted, by file id.  `archive`: whether the node is an archive node."""

    granted: list[tuple[DeletionFact, Reason]]
    refused: list[tuple[DeletionFact, Reason]]
    undone: list[DeletionFact]
    fences: dict[int, int]
    archive: bool = False


def claim(
    index: Index,
    run: Run,
    node: NodeFact,
    copies: Sequence[DeletionFact],
    evidence: Evidence,
    now: float,
    most: float = math.inf,
) -> DecidedDeletions:
    """Claim those of a node's copies that may be deleted on the rows as they are at this moment.

    `copies` are as they were scanned; one that somebody changed since then is refused.  `now`: POSIX seconds.
    `most`: how many may be claimed, beside those that go by rule; what is beyond that is neither granted nor refused,
    and nor is anything where the node is not where `node` says any more.
    """

    def work() -> DecidedDeletions:
        reading = read(index, node.id, copies, run.id, evidence, lock=True)
        if (reading.host, reading.root) != (node.host, node.root):
            return DecidedDeletions([], [], [], {})
        decided = decide_all(copies, reading, evidence.minimum, now, most)
        take(index, run, node, decided, reading)
        return decided

    return index.retry(work)


def decide_all(
    copies: Sequence[DeletionFact], reading: DeletionReading, minimum: int, now: float, most: float = math.inf
) -> DecidedDeletions:
    """Decide on what was read now of copies that were scanned before."""
    scanned = {copy.copy_id: copy for copy in copies}
    decided = DecidedDeletions([], [], [], {}, reading.archive)
    counted = 0
    for fact in reading.facts:
        before = scanned[fact.copy_id]
        claimed = fact.file_id in reading.ours  # and the answer to the commit got lost
        if claimed and fact.has_file == HasFile.MAYBE:
            fact = fact._replace(has_file=before.has_file)
        if (fact.has_file, fact.wants_file) != (before.has_file, before.wants_file):
            why_not: Why = CHANGED
        else:
            why_not = decide(fact, reading.archive, minimum, now)
        if why_not:
            decided.refused.append((fact, why_not))
            if claimed:
                decided.undone.append(fact)
        elif fact.by_rule or counted < most:
            counted += not fact.by_rule
            decided.granted.append((fact, reason(fact)))
            decided.fences[fact.file_id] = reading.fences.get(fact.file_id, 0) + 1
    return decided


def take(index: Index, run: Run, node: NodeFact, decided: DecidedDeletions, reading: DeletionReading) -> None:
    """Write down that the copies are being deleted; part of the transaction in which that was decided."""
    _put_back(index, run, [(fact.copy_id, fact.has_file) for fact in decided.undone])
    release(index, run, node.id, [fact.file_id for fact in decided.undone], kind="delete")
    granted = [fact for fact, _ in decided.granted]
    if not granted:
        return
    expires = str(index.now() + LEASE)
    index.executemany(
        index.upsert("sync_claim", COLUMNS, COLUMNS[:3], COLUMNS[3:]),
        [
            (
                "delete",
                fact.file_id,
                node.id,
                node.id,
                0,
                run.host,
                run.id,
                expires,
                decided.fences[fact.file_id],
            )
            for fact in granted
        ],
    )
    if index.galera:
        _meet(index, granted)
    for marks, some in in_chunks([fact.copy_id for fact in granted]):
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'M', last_update = ? WHERE id IN ({marks})",
            (run.now(), *some),
        )


def _meet(index: Index, granted: Sequence[DeletionFact]) -> None:
    """Write a row that every claim on the same file writes.

    The locks of one server of a Galera cluster mean nothing to the others: two claims on two copies of one file change
    different rows, and both would be certified.  With one row in common the second fails with a deadlock as it
    commits, and is decided anew on what the first has left.
    """
    index.executemany(
        "INSERT INTO sync_file_claim (file_id, fence) VALUES (?, 1) ON DUPLICATE KEY UPDATE fence = fence + 1",
        [(fact.file_id,) for fact in granted],
    )


def settle(
    index: Index,
    run: Run,
    node: NodeFact,
    results: Sequence[DeleteResult],
    untouched: Sequence[DeleteFile],
    why: Mapping[int, Reason],
    blame: str,
    fences: Mapping[int, int],
    looked_at: Sequence[NodeFact] = (),
) -> None:
    """Record what became of claimed copies, and give the claims back.

    `untouched`: files at which nobody has even looked; `why`: copy id to the reason of its deletion; `blame`: who
    failures are put down to; `fences`: file id to the fence of its claim; `looked_at`: the nodes of the keepers, as
    they were when these were looked at.

    What this run does not hold any more under that fence is left as it is, since somebody else decides about it now;
    except that a file that is gone is recorded as gone whatever anybody says of it.  Where the node is not where `node`
    says any more, all copies stay suspect: what was done was done at another place.
    """
    files = [result.file for result in results] + list(untouched)

    def work() -> None:
        ours = held(index, run, "delete", node.id, {file.file_id: fences[file.file_id] for file in files})
        _suspect(index, run, results, {keeper.id: keeper for keeper in looked_at})
        if not still(index, node):
            release(index, run, node.id, sorted(ours), kind="delete")
            return
        gone = [result.file for result in results if result.verdict in GONE]
        mine: dict[Verdict, list[DeleteResult]] = {}
        for result in results:
            if result.file.file_id in ours:
                mine.setdefault(result.verdict, []).append(result)
        corrupt = [result.file for result in mine.get(Verdict.CORRUPT, ())]
        left = mine.pop(Verdict.FAILED, []) + mine.pop(Verdict.KEPT, [])
        # What lies at the path of a copy that is gone is not ours; what is there instead of a good one is.
        never_good(index, node.id, [file.file_id for file in gone])
        once_good(index, node.id, [file.file_id for file in corrupt if file.has_file == HasFile.YES])
        _gone(index, run, [file.copy_id for file in gone])
        _corrupt(index, run, [file.copy_id for file in corrupt])
        as_before = [result.file for result in left]
        as_before += [file for file in untouched if file.file_id in ours]
        _put_back(index, run, [(file.copy_id, file.has_file) for file in as_before])
        for verdict, some in mine.items():
            texts: dict[Why, list[int]] = {}
            for result in some:
                text: Why = result.error or why.get(result.file.copy_id, "")
                texts.setdefault(text, []).append(result.file.file_id)
            for text, file_ids in texts.items():
                events(index, run, str(verdict), [(file_id, node.id, text) for file_id in file_ids])
        settled = gone + corrupt
        succeeded(index, "delete", [file.copy_id for file in settled])
        succeeded(index, "check", [file.copy_id for file in settled if file.has_file == HasFile.MAYBE])
        failed(index, run, "delete", [Failure(result.file.copy_id, blame, result.error) for result in left])
        release(index, run, node.id, sorted(ours), kind="delete")

    index.retry(work)


def _suspect(
    index: Index, run: Run, results: Sequence[DeleteResult], looked_at: Mapping[int, NodeFact]
) -> None:
    """A keeper that is not what the index says counts no more until it was read; whatever became of our own claim.

    One that was looked at where its node is not any more says nothing."""
    wrong: dict[int, dict[int, Reason]] = {}
    for result in results:
        for node_id, error in result.wrong:
            wrong.setdefault(node_id, {})[result.file.file_id] = error
    lock = index.dialect.for_update
    for node_id, errors in wrong.items():
        if node_id in looked_at and not still(index, looked_at[node_id]):
            continue
        for marks, some in in_chunks(sorted(errors)):
            copies = index.execute(
                "SELECT id, file_id FROM archivefilecopy"
                f" WHERE node_id = ? AND has_file = 'Y' AND file_id IN ({marks}){lock}",
                (node_id, *some),
            ).fetchall()
            file_ids = list(dict.fromkeys(file_id for _, file_id in copies))
            once_good(index, node_id, sorted(file_ids))
            for copy_marks, copy_ids in in_chunks([copy_id for copy_id, _ in copies]):
                index.execute(
                    f"UPDATE archivefilecopy SET has_file = 'M', last_update = ? WHERE id IN ({copy_marks})",
                    (run.now(), *copy_ids),
                )
            events(
                index,
                run,
                "suspect",
                [(file_id, node_id, errors[file_id]) for file_id in file_ids],
            )


def _put_back(index: Index, run: Run, copies: Sequence[tuple[int, str]]) -> None:
    """`copies`: (copy id, what has_file was)."""
    for had in sorted({had for _, had in copies} - {HasFile.MAYBE}):
        for marks, some in in_chunks([copy_id for copy_id, was in copies if was == had]):
            index.execute(
                "UPDATE archivefilecopy SET has_file = ?, last_update = ?"
                f" WHERE has_file = 'M' AND id IN ({marks})",
                (str(had), run.now(), *some),
            )


def _gone(index: Index, run: Run, copy_ids: Sequence[int]) -> None:
    """A copy that somebody came to want again after it was claimed is missing; any other is removed."""
    for marks, some in in_chunks(copy_ids):
        index.execute(
            "UPDATE archivefilecopy SET has_file = 'N',"
            " wants_file = CASE WHEN wants_file = 'Y' THEN 'Y' ELSE 'N' END, last_update = ?"
            f" WHERE has_file <> 'N' AND id IN ({marks})",
            (run.now(), *some),
        )


def _corrupt(index: Index, run: Run, copy_ids: Sequence[int]) -> None:
    """What was found is not what was released, so it is not released any more: somebody should look at it."""
    for marks, some in in_chunks(copy_ids):
        index.execute(
            "UPDATE archivefilecopy SET has_file = 'X',"
            " wants_file = CASE WHEN wants_file = 'Y' THEN 'Y' ELSE 'M' END, last_update = ?"
            f" WHERE has_file = 'M' AND id IN ({marks})",
            (run.now(), *some),
        )
