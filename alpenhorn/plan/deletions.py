"""Rules for deletions: whether a copy may be deleted now, and if not, why.

A released copy (wants_file N) is deleted once that is safe.  Removable copies (wants_file M) are deleted only from
nodes that are not archive nodes, oldest first, until the node has min_avail_gb free.

A deletion is safe if all of these hold:

- at least `minimum` other copies on active archive nodes are good (has_file Y), not released, not being deleted, and on
  separate media that were recently seen as the index records them (`alpenhorn.scan.keepers`);
- those copies are all that each policy for the file asks for: copies, sites and groups;
- the index is not older than the disks;
- no run pulls from this copy, no batch puts it on tape now, no pending request will read it, or wants the file in this
  group, and the file is not pinned;
- no other file of the index has the same path, and the index has one row for the copy.

Copies released on several archive nodes are decided one after the other, and each decision counts the copies that are
still to be decided.  So exactly `minimum` copies stay, or those that the policies need.

The facts must be read in the transaction that claims the copy (`alpenhorn.record.deletions`).
"""

from __future__ import annotations

from collections.abc import Iterable

from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.deletions import DeletionFact
from alpenhorn.model.nodes import NodeFact
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.paths import unsafe
from alpenhorn.plan.policies import lack, shown, spare
from alpenhorn.plan.space import below_min_avail_b
from alpenhorn.reasons import Code, Reason, Why, within

MOST_SHOWN = 3  # copies that do not count, each with its reason


def decide(fact: DeletionFact, archive: bool, minimum: int, now: float) -> Why:
    """Return why a copy may not be deleted now, "" if it may.

    `archive`: its node is an archive node; `minimum`: the number of good archive copies that must stay; `now`: POSIX
    seconds.
    """
    return (
        _not_released(fact, archive)
        or row_fault(fact)
        or _not_now(fact, now)
        or _not_safe(fact, archive, minimum)
    )


def _not_released(fact: DeletionFact, archive: bool) -> Why:
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


def row_fault(fact: DeletionFact) -> Why:
    """Return the fault in a file's rows that must be corrected before a copy is deleted, "" if none."""
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
    if fact.pulled_by:
        return Code.COPY_BEING_PULLED(run=fact.pulled_by)
    if fact.batch:
        return Code.COPY_GOING_TO_TAPE(batch=fact.batch)
    if fact.wanted_by:
        return Code.COPY_WANTED_BY_REQUEST()
    left = len(keepers(fact, archive))
    if left < max(minimum, 1):
        needed, remedy = max(minimum, 1), _remedy(fact, archive)
        return Code.TOO_FEW_ARCHIVE_COPIES(needed=needed, left=left, remedy=remedy)
    counted = keepers(fact, archive)
    for policy in fact.policies:
        if policy.fault:
            return policy.fault
        if short := lack(policy, counted, fact.places):
            return Code.POLICY_NEEDS_COPY(name=policy.name, lack=shown(policy, short))
    return ""


def spare_keepers(fact: DeletionFact, archive: bool, minimum: int) -> int:
    """Return how many of the keepers may turn out to be bad, whichever they are, while the copy may still go."""
    counted = keepers(fact, archive)
    spares = (spare(policy, counted, fact.places) for policy in fact.policies)
    return min((len(counted) - max(minimum, 1), *spares))


def keepers(fact: DeletionFact, archive: bool) -> tuple[int, ...]:
    """Return the nodes whose copies count for the deletion of this one.

    If several archive copies are released at once, those still to be decided count as well.
    """
    if archive and fact.wants_file == WantsFile.NO:
        return fact.other_ids + fact.released_ids
    return fact.other_ids


def _remedy(fact: DeletionFact, archive: bool) -> str:
    """Return the first good copies that do not count; if there are none, the command that creates one more."""
    uncounted = list(fact.uncounted)
    if not archive or fact.wants_file != WantsFile.NO:
        uncounted += [f"{name}: released as well" for name in fact.released]
    if not uncounted:
        return " (copy it to another with: alpenhorn node sync NODE GROUP)"
    more = f"; and {len(uncounted) - MOST_SHOWN} more" if len(uncounted) > MOST_SHOWN else ""
    return f"; does not count: {'; '.join(uncounted[:MOST_SHOWN])}{more}"


def reason(fact: DeletionFact) -> Reason:
    """Return the reason for a deletion, for the history: why it was wanted, and which copies stay."""
    why = Code.COPY_RELEASED() if fact.wants_file == WantsFile.NO else Code.COPY_REMOVED_FOR_ROOM()
    text = str(why)
    if fact.others:
        text += f"; good archive copies are on {', '.join(fact.others)}"
    if fact.released:
        text += f"; good archive copies that are released as well are on {', '.join(fact.released)}"
    return within(why, text)


def lacking_b(node: NodeFact, free_b: int | None) -> float:
    """Return the bytes that a node lacks and that deletions must free; 0 for archive nodes, which keep their copies."""
    return 0.0 if node.archive else below_min_avail_b(node, free_b)


def freed_b(fact: DeletionFact) -> int:
    """Return the bytes that the deletion of a copy is expected to free."""
    return (fact.size_b or 0) if fact.space_b is None else fact.space_b


def enough(facts: Iterable[DeletionFact], lack_b: float) -> list[DeletionFact]:
    """Return the first of `facts` whose deletion frees `lack_b` bytes, without those that free nothing."""
    chosen = []
    for fact in facts:
        if lack_b <= 0:
            break
        if (freed := freed_b(fact)) > 0:
            chosen.append(fact)
            lack_b -= freed
    return chosen
