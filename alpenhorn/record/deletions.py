"""Records deletions: claims before files are removed, and results afterwards; each batch in one transaction.

    claim (has_file M: no program counts the copy any more) → the file is unlinked → settle (has_file N)

Claims prevent the loss of the last copy: all copies of the files are locked, read and judged by the rule
(`alpenhorn.plan.deletions`) in one transaction.  If two hosts want to delete copies of the same file, the second
decides after the first one's claim.  A crash after a claim leaves a suspect copy, which the next run settles.
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
from alpenhorn.reasons import Code, Reason, Why, code_of, within
from alpenhorn.record import tape_batches, trash
from alpenhorn.record.attempts import Failure, failed, succeeded
from alpenhorn.record.claims import COLUMNS, LEASE, held_claims, lock_files, release
from alpenhorn.record.copies import never_good, once_good
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import Run, events
from alpenhorn.scan.deletions import DeletionReading, read

GONE = (Verdict.DELETED, Verdict.MISSING)
CHANGED = Code.COPY_STATE_CHANGED()


class DecidedDeletions(NamedTuple):
    """Decisions on deletions.

    `granted`: (copy before the claim, with the current facts about it, reason of the deletion); `refused`: (copy,
    reason to keep it); `undone`: refused copies that this run had claimed before; `fences`: fences of the granted
    claims by file id; `archive`: whether the node is an archive node.
    """

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
    """Claim the copies of a node that may be deleted according to the current rows of the index.

    `copies`: as scanned; copies that were changed since are refused.  `now`: POSIX seconds.  `most`: maximum number of
    claims, not counting deletions by rule.  Copies beyond it are neither granted nor refused; if the node was moved,
    none are.
    """

    def work() -> DecidedDeletions:
        if index.galera:
            # Before anything is read: a claim for a pull from a copy changes no other row that is locked here.
            lock_files(index, sorted({copy.file_id for copy in copies}))
        reading = read(index, node.id, copies, run.id, evidence, lock=True)
        if (reading.host, reading.root) != (node.host, node.root):
            return DecidedDeletions([], [], [], {})
        decided = decide_all(copies, reading, evidence.minimum, now, most)
        write_claims(index, run, node, decided, reading)
        return decided

    return index.retry(work)


def decide_all(
    copies: Sequence[DeletionFact], reading: DeletionReading, minimum: int, now: float, most: float = math.inf
) -> DecidedDeletions:
    """Decide on copies that were scanned before, by the current reading."""
    scanned = {copy.copy_id: copy for copy in copies}
    decided = DecidedDeletions([], [], [], {}, reading.archive)
    counted = 0
    for fact in reading.facts:
        before = scanned[fact.copy_id]
        claimed = fact.file_id in reading.own  # claimed by this run; the answer to the commit was lost
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


def write_claims(
    index: Index, run: Run, node: NodeFact, decided: DecidedDeletions, reading: DeletionReading
) -> None:
    """Write claims for the granted deletions; part of the transaction of the decision."""
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
                None,
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
    why: Mapping[int, Reason],
    blame: str,
    fences: Mapping[int, int],
    looked_at: Sequence[NodeFact] = (),
    batch: str = "",
) -> None:
    """Record the results of deletions, and delete the claims.

    `untouched`: files that were not looked at; `why`: copy id to the reason of its deletion; `blame`: the cause of
    failures; `fences`: file id to the fence of its claim; `looked_at`: the nodes of the keepers, as they were when
    the keepers were looked at; `batch`: the batch of the trash that has the files which were moved there.

    Copies whose claims this run has lost are left alone, since another run decides about them; but a deleted file is
    always recorded as deleted.  If the node was moved, all copies stay suspect: the results are from another place.
    """
    files = [result.file for result in results] + list(untouched)

    def work() -> None:
        claimed = {file.file_id: fences[file.file_id] for file in files}
        held = held_claims(index, run, "delete", node.id, claimed)
        _suspect(index, run, results, {keeper.id: keeper for keeper in looked_at})
        if not node_unmoved(index, node):
            release(index, run, node.id, sorted(held), kind="delete")
            return
        gone = [result.file for result in results if result.verdict in GONE]
        by_verdict: dict[Verdict, list[DeleteResult]] = {}
        for result in results:
            if result.file.file_id in held:
                by_verdict.setdefault(result.verdict, []).append(result)
        corrupt = [result.file for result in by_verdict.get(Verdict.CORRUPT, ())]
        left = by_verdict.pop(Verdict.FAILED, []) + by_verdict.pop(Verdict.KEPT, [])
        # A pull may replace what is now in place of a good copy, but not a file at the path of a deleted one.
        never_good(index, node.id, [file.file_id for file in gone])
        once_good(index, node.id, [file.file_id for file in corrupt if file.has_file == HasFile.YES])
        written = [result.file for result in left if code_of(result.error) == Code.RELEASED_COPY_WRITTEN]
        once_good(index, node.id, [file.file_id for file in written])
        _gone(index, run, [file.copy_id for file in gone])
        tape_batches.forget(index, node, [file.file_id for file in gone])
        trash.put(index, node.id, batch, [(one.file.file_id, one.freed_b) for one in results if one.trashed])
        _corrupt(index, run, [file.copy_id for file in corrupt])
        as_before = [result.file for result in left]
        as_before += [file for file in untouched if file.file_id in held]
        _put_back(index, run, [(file.copy_id, file.has_file) for file in as_before])
        for verdict, with_verdict in by_verdict.items():
            texts: dict[Why, list[int]] = {}
            for result in with_verdict:
                text: Why = result.error or why.get(result.file.copy_id, "")
                if result.trashed:
                    text = within(text, f"{text}; moved to the trash")
                texts.setdefault(text, []).append(result.file.file_id)
            for text, file_ids in texts.items():
                events(index, run, str(verdict), [(file_id, node.id, text) for file_id in file_ids])
        settled = gone + corrupt
        succeeded(index, "delete", [file.copy_id for file in settled])
        succeeded(index, "check", [file.copy_id for file in settled if file.has_file == HasFile.MAYBE])
        failures = [
            Failure(result.file.copy_id, blame, result.error, result.file.file_id, node.id) for result in left
        ]
        failed(index, run, "delete", failures)
        release(index, run, node.id, sorted(held), kind="delete")

    index.retry(work)


def _suspect(
    index: Index, run: Run, results: Sequence[DeleteResult], looked_at: Mapping[int, NodeFact]
) -> None:
    """Make keepers suspect that differ from the index, even if this run has lost its claim.

    Results from nodes that were moved in the meantime are ignored.
    """
    wrong: dict[int, dict[int, Reason]] = {}
    for result in results:
        for node_id, error in result.wrong:
            wrong.setdefault(node_id, {})[result.file.file_id] = error
    lock = index.dialect.for_update
    for node_id, errors in wrong.items():
        if node_id in looked_at and not node_unmoved(index, looked_at[node_id]):
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
    """Restore has_file of copies that were not deleted; `copies`: (copy id, former has_file)."""
    for had in sorted({had for _, had in copies} - {HasFile.MAYBE}):
        for marks, some in in_chunks([copy_id for copy_id, was in copies if was == had]):
            index.execute(
                "UPDATE archivefilecopy SET has_file = ?, last_update = ?"
                f" WHERE has_file = 'M' AND id IN ({marks})",
                (str(had), run.now(), *some),
            )


def _gone(index: Index, run: Run, copy_ids: Sequence[int]) -> None:
    """Record copies as deleted; one that was wanted again after the claim is missing, any other removed."""
    for marks, some in in_chunks(copy_ids):
        index.execute(
            "UPDATE archivefilecopy SET has_file = 'N',"
            " wants_file = CASE WHEN wants_file = 'Y' THEN 'Y' ELSE 'N' END, last_update = ?"
            f" WHERE has_file <> 'N' AND id IN ({marks})",
            (run.now(), *some),
        )


def _corrupt(index: Index, run: Run, copy_ids: Sequence[int]) -> None:
    """Record copies as corrupt and no longer released: the file differs from the released one, the user must decide."""
    for marks, some in in_chunks(copy_ids):
        index.execute(
            "UPDATE archivefilecopy SET has_file = 'X',"
            " wants_file = CASE WHEN wants_file = 'Y' THEN 'Y' ELSE 'M' END, last_update = ?"
            f" WHERE has_file = 'M' AND id IN ({marks})",
            (run.now(), *some),
        )
