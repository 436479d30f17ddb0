"""The rule for deletion: whether a copy may go from its node now, and if not, why not.

A copy with wants_file N ("released") goes once that is safe.  A copy with wants_file M ("removable") goes only from
a node that is no archive node, oldest first, and only as many as give it back the free space that it lacks.

Safe means: at least `minimum` other copies on active archive nodes are good (has_file Y), not wanted gone
themselves, not being deleted, and lie on distinct media that were lately seen to be what the index believes
(`alpenhorn.scan.keepers`); the index is not older than the disks; nobody is still to pull from this copy, has asked
for the file here, or has pinned it; no other file of the index lies at its path, and the index has one row for the
copy.  Copies that are released on several archive nodes at once are decided one after the other, so each of them
counts those that are still to be decided: exactly as many go as leave `minimum` behind.

Whoever deletes must decide on facts read in the transaction that claims the copy (`alpenhorn.record.deletions`).
"""

from __future__ import annotations

from collections.abc import Iterable

from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.deletions import DeletionFact
from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.paths import unsafe
from alpenhorn.reasons import Code, Reason, Why, within

MOST_TOLD = 3  # copies that do not count, each with its reason


def decide(fact: DeletionFact, archive: bool, minimum: int, now: float) -> Why:
    """Why a copy may not be deleted now; "" when it may.

    `archive`: whether its node is an archive node; `minimum`: good archive copies that must be left; `now`:
    POSIX seconds, by which failed attempts wait.
    """
    return (
        _not_meant(fact, archive) or wrong(fact) or _not_now(fact, now) or _not_safe(fact, archive, minimum)
    )


def _not_meant(fact: DeletionFact, archive: bool) -> Why:
    if fact.has_file == HasFile.NO:
        return Code.COPY_GONE()
    if fact.wants_file == WantsFile.NO:
        return ""
    if fact.wants_file != WantsFile.MAYBE:
        return Code.COPY_WANTED()
    if archive:
        return Code.ARCHIVE_COPY_NOT_RELEASED()
    if fact.has_file != HasFile.YES:
        return Code.COPY_NOT_GOOD()
    return ""


def wrong(fact: DeletionFact) -> Why:
    """What is wrong with a file's rows, so that somebody must mend them before any copy is deleted; "" if nothing."""
    if fact.fault:
        return fact.fault
    if fact.acq is None or fact.name is None:
        return Code.FILE_ROW_GONE()
    if fact.size_b is None:
        return Code.DELETION_WITHOUT_LENGTH()
    if fact.merely_found:
        return Code.DELETION_OF_FOREIGN_FILE()
    if fact.same_path:
        return Code.DELETION_OF_SHARED_PATH(acq=fact.same_path)
    if fact.twice:
        return Code.COPY_ROWS_DOUBLED()
    return unsafe(fact.acq, fact.name)


def _not_now(fact: DeletionFact, now: float) -> Why:
    if fact.restored:
        return Code.INDEX_OLDER_THAN_DISKS(restored=fact.restored)
    if fact.claimed_by:
        return Code.DELETED_BY_OTHER_RUN(run=fact.claimed_by)
    if waits(fact.attempt, now):
        return WAITS
    return ""


def _not_safe(fact: DeletionFact, archive: bool, minimum: int) -> Why:
    if fact.pinned:
        return Code.COPY_PINNED(pinned=fact.pinned)
    if fact.source_of:
        return Code.COPY_IS_SOURCE_OF_REQUEST()
    if fact.wanted_by:
        return Code.COPY_WANTED_BY_REQUEST()
    left = len(keepers(fact, archive))
    if left < max(minimum, 1):
        needed, remedy = max(minimum, 1), _remedy(fact, archive)
        return Code.TOO_FEW_ARCHIVE_COPIES(needed=needed, left=left, remedy=remedy)
    return ""


def keepers(fact: DeletionFact, archive: bool) -> tuple[int, ...]:
    """The nodes whose copies count for the deletion of this one: where several archive copies are released at once,
    those that are still to be decided as well."""
    if archive and fact.wants_file == WantsFile.NO:
        return fact.other_ids + fact.released_ids
    return fact.other_ids


def _remedy(fact: DeletionFact, archive: bool) -> str:
    """Which good copies do not count, the first few of them; where there are none, how one more is made."""
    uncounted = list(fact.uncounted)
    if not archive or fact.wants_file != WantsFile.NO:
        uncounted += [f"{name}: released as well" for name in fact.released]
    if not uncounted:
        return " (copy it to another with: alpenhorn node sync)"
    more = f"; and {len(uncounted) - MOST_TOLD} more" if len(uncounted) > MOST_TOLD else ""
    return f"; does not count: {'; '.join(uncounted[:MOST_TOLD])}{more}"


def reason(fact: DeletionFact) -> Reason:
    """Why a copy goes, as it is told later: what was wished, and which copies are left."""
    why = Code.COPY_RELEASED() if fact.wants_file == WantsFile.NO else Code.COPY_REMOVED_FOR_ROOM()
    text = str(why)
    if fact.others:
        text += f"; good archive copies are on {', '.join(fact.others)}"
    if fact.released:
        text += f"; good archive copies that are released as well are on {', '.join(fact.released)}"
    return within(why, text)


def lacking(node: NodeFact, free_b: int | None) -> float:
    """Bytes that a node lacks to have min_avail_gb free; free space that is not known lacks nothing."""
    if free_b is None or node.archive:
        return 0.0
    # Not the other way round: no number is more than a limit that is none (NaN).
    lack_b = node.min_avail_gb * GIB - free_b
    return lack_b if lack_b > 0 else 0.0


def frees(fact: DeletionFact) -> int:
    """The room that the deletion of a copy is expected to give, in bytes."""
    return (fact.size_b or 0) if fact.space_b is None else fact.space_b


def enough(facts: Iterable[DeletionFact], lack_b: float) -> list[DeletionFact]:
    """The first of `facts`, as many as are needed to free `lack_b` bytes; one that frees nothing is not needed."""
    chosen = []
    for fact in facts:
        if lack_b <= 0:
            break
        if (freed := frees(fact)) > 0:
            chosen.append(fact)
            lack_b -= freed
    return chosen
