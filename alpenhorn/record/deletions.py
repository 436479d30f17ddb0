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
from alpenhorn.model import DeleteFile, DeleteResult, DeletionFact, Evidence, HasFile, NodeFact, Verdict
from alpenhorn.plan.deletions import decide, reason
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.claims import COLUMNS, LEASE, release
from alpenhorn.record.run import Run, events
from alpenhorn.scan.deletions import Reading, read

GONE = (Verdict.DELETED, Verdict.MISSING)
CHANGED = "its state was changed while it was looked at"


class Decided(NamedTuple):
    """`granted`: (copy as it was before the claim, why it goes); `refused`: (copy, why it stays for now)."""

    granted: list[tuple[DeletionFact, str]]
    refused: list[tuple[DeletionFact, str]]


def claim(
    index: Index,
    run: Run,
    node: NodeFact,
    copies: Sequence[DeletionFact],
    evidence: Evidence,
    now: float,
    most: float = math.inf,
) -> Decided:
    """Claim those of a node's copies that may be deleted on the rows as they are at this moment.

    `copies` are as they were scanned; one that somebody changed since then is refused.  `now`: POSIX seconds.
    `most`: how many may be claimed, beside those that go by rule; what is beyond that is neither granted nor refused.
    """

    def work() -> Decided:
        reading = read(index, node.id, copies, run.id, evidence, lock=True)
        decided = decide_all(copies, reading, evidence.minimum, now, most)
        take(index, run, node, [fact for fact, _ in decided.granted], reading)
        return decided

    return index.retry(work)


def decide_all(
    copies: Sequence[DeletionFact], reading: Reading, minimum: int, now: float, most: float = math.inf
) -> Decided:
    """Decide on what was read now of copies that were scanned before."""
    scanned = {copy.copy_id: copy for copy in copies}
    decided = Decided([], [])
    counted = 0
    for fact in reading.facts:
        before = scanned[fact.copy_id]
        if fact.file_id in reading.ours:  # the answer to the commit got lost
            decided.granted.append((before, reason(fact._replace(wants_file=before.wants_file))))
        elif (fact.has_file, fact.wants_file) != (before.has_file, before.wants_file):
            decided.refused.append((fact, CHANGED))
        elif why_not := decide(fact, reading.archive, minimum, now):
            decided.refused.append((fact, why_not))
        elif fact.by_rule or counted < most:
            counted += not fact.by_rule
            decided.granted.append((fact, reason(fact)))
    return decided


def take(index: Index, run: Run, node: NodeFact, granted: Sequence[DeletionFact], reading: Reading) -> None:
    """Write down that the copies are being deleted; part of the transaction in which that was decided."""
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
                reading.fences.get(fact.file_id, 0) + 1,
            )
            for fact in granted
        ],
    )
    for marks, some in in_chunks([fact.copy_id for fact in granted]):
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'M', last_update = ? WHERE id IN ({marks})",
            (run.now(), *some),
        )


def settle(
    index: Index,
    run: Run,
    node: NodeFact,
    results: Sequence[DeleteResult],
    untouched: Sequence[DeleteFile],
    why: Mapping[int, str],
    blame: str,
) -> None:
    """Record what became of claimed copies, and give the claims back.

    `untouched`: files at which nobody has even looked; `why`: copy id to the reason of its deletion; `blame`: who
    failures are put down to.  What this run has no longer claimed is left as it is, except that a file that is
    gone is recorded as gone whatever anybody says of it.
    """
    files = [result.file for result in results] + list(untouched)

    def work() -> None:
        ours = _ours(index, run, node, [file.file_id for file in files])
        gone = [result.file for result in results if result.verdict in GONE]
        mine: dict[Verdict, list[DeleteResult]] = {}
        for result in results:
            if result.file.file_id in ours:
                mine.setdefault(result.verdict, []).append(result)
        corrupt = [result.file for result in mine.get(Verdict.CORRUPT, ())]
        failures = mine.pop(Verdict.FAILED, [])
        _gone(index, run, [file.copy_id for file in gone])
        _corrupt(index, run, [file.copy_id for file in corrupt])
        _put_back(index, run, [result.file for result in failures])
        _put_back(index, run, [file for file in untouched if file.file_id in ours])
        for verdict, some in mine.items():
            texts: dict[str, list[int]] = {}
            for result in some:
                text = result.error or why.get(result.file.copy_id, "")
                texts.setdefault(text, []).append(result.file.file_id)
            for text, file_ids in texts.items():
                events(index, run, str(verdict), [(file_id, node.id, text) for file_id in file_ids])
        settled = gone + corrupt
        succeeded(index, "delete", [file.copy_id for file in settled])
        succeeded(index, "check", [file.copy_id for file in settled if file.had == HasFile.MAYBE])
        failed(
            index,
            run,
            "delete",
            [Failure(result.file.copy_id, blame, result.error) for result in failures],
        )
        release(index, run, node.id, [file.file_id for file in files], kind="delete")

    index.retry(work)


def _ours(index: Index, run: Run, node: NodeFact, file_ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for marks, some in in_chunks(file_ids):
        # The + keeps SQLite from going through all claims of the run.
        rows = index.execute(
            "SELECT file_id FROM sync_claim"
            f" WHERE kind = 'delete' AND target_id = ? AND +run_id = ? AND file_id IN ({marks})",
            (node.id, run.id, *some),
        )
        found.update(row[0] for row in rows)
    return found


def _put_back(index: Index, run: Run, files: Sequence[DeleteFile]) -> None:
    for had in sorted({file.had for file in files} - {HasFile.MAYBE}):
        for marks, some in in_chunks([file.copy_id for file in files if file.had == had]):
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
