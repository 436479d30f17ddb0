"""The rule for deletion: whether a copy may go from its node now, and if not, why not.

A copy with wants_file N ("released") goes once that is safe.  A copy with wants_file M ("removable") goes only from
a node that is no archive node, oldest first, and only as many as give it back the free space that it lacks.

Safe means: at least `minimum` other copies on active archive nodes are good (has_file Y), not wanted gone
themselves, and not being deleted; nobody is still to pull from this copy, has asked for the file here, or has pinned
it; and no other file of the index lies at its path.  Copies that are released on several archive nodes at once are
decided one after the other, so each of them counts those that are still to be decided: exactly as many go as leave
`minimum` behind.

Whoever deletes must decide on facts read in the transaction that claims the copy (`alpenhorn.record.deletions`).
"""

from __future__ import annotations

from collections.abc import Iterable

from alpenhorn.model import GIB, DeletionFact, HasFile, NodeFact, WantsFile
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.paths import unsafe


def decide(fact: DeletionFact, archive: bool, minimum: int, now: float) -> str:
    """Why a copy may not be deleted now; "" when it may.

    `archive`: whether its node is an archive node; `minimum`: good archive copies that must be left; `now`:
    POSIX seconds, by which failed attempts wait.
    """
    return (
        _not_meant(fact, archive) or wrong(fact) or _not_now(fact, now) or _not_safe(fact, archive, minimum)
    )


def _not_meant(fact: DeletionFact, archive: bool) -> str:
    if fact.has_file == HasFile.NO:
        return "it is not there any more"
    if fact.wants_file == WantsFile.NO:
        return ""
    if fact.wants_file != WantsFile.MAYBE:
        return "it is wanted"
    if archive:
        return (
            "from an archive node only what is released is deleted (alpenhorn file clean --now --archive-ok)"
        )
    if fact.has_file != HasFile.YES:
        return "only a good copy is deleted to make room"
    return ""


def wrong(fact: DeletionFact) -> str:
    """What is wrong with a file's rows, so that somebody must mend them before any copy is deleted; "" if nothing."""
    if fact.acq is None or fact.name is None:
        return "the file's row is gone from the index"
    if fact.size_b is None:
        return "the index has no length for the file, so that nobody can tell whether it is this file that would go"
    if fact.same_path:
        return (
            f"a file of acquisition {fact.same_path} lies at the same path, and would go with it; remove one of the"
            " two rows from the index"
        )
    return unsafe(fact.acq, fact.name)


def _not_now(fact: DeletionFact, now: float) -> str:
    if fact.claimed_by:
        return f"it is being deleted by {fact.claimed_by}"
    if waits(fact.attempt, now):
        return WAITS
    return ""


def _not_safe(fact: DeletionFact, archive: bool, minimum: int) -> str:
    if fact.pinned:
        return f"{fact.pinned} (release it with: alpenhorn file unpin)"
    if fact.source_of:
        return "a pending request is still to pull from it (see: alpenhorn request list)"
    if fact.wanted_by:
        return "a pending request wants the file in this node's group (see: alpenhorn request list)"
    left = len(fact.others)
    if archive and fact.wants_file == WantsFile.NO:
        left += len(fact.released)
    if left < max(minimum, 1):
        return (
            f"it is safe once {max(minimum, 1)} other good copies are on active archive nodes, and there"
            f" {'is' if left == 1 else 'are'} {left} (copy it to another with: alpenhorn node sync)"
        )
    return ""


def reason(fact: DeletionFact) -> str:
    """Why a copy goes, as it is told later: what was wished, and which copies are left."""
    why = "released" if fact.wants_file == WantsFile.NO else "removed to make room"
    if fact.others:
        why += f"; good archive copies are on {', '.join(fact.others)}"
    if fact.released:
        why += f"; good archive copies that are released as well are on {', '.join(fact.released)}"
    return why


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
