"""The copies that a run may delete from a node, for runs, for the delete limit, and for plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from alpenhorn.config import Sync
from alpenhorn.index.connection import Index
from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.plan import brake
from alpenhorn.plan.deletions import decide, enough, freed_b, lacking_b
from alpenhorn.plan.space import Space
from alpenhorn.reasons import Reason, Why
from alpenhorn.scan import deletions as scan

PAGE = 2500


class DeletionPage(NamedTuple):
    """`may`: copies that may be deleted; `left`: (copy, reason) of released copies that stay."""

    may: list[DeletionFact]
    left: list[tuple[DeletionFact, Reason]]


def evidence(sync: Sync, absent: Mapping[int, Reason]) -> Evidence:
    """Return the settings of this host's deletions.  `absent`: nodes that do not answer, with reasons."""
    return Evidence(sync.archive_copy_count, sync.keeper_seen_within, sync.trust_unseen, absent)


def free_with_trash_b(node: NodeFact, free_b: int | None, space: Space) -> int | None:
    """Return the free bytes of a node; if they are too few, with those in its trash, which is emptied first."""
    if free_b is None or lacking_b(node, free_b) <= 0:
        return free_b
    return free_b + space.trash_b(node.id)


class Deletable:
    """The copies of a node in the order of deletion: released ones, then removable ones until `lack_b` bytes are freed.

    `free_b`: the node's free space, None if unknown; `now`: POSIX seconds; `run_id`: the run whose own claims do not
    count; `make_room`: include removable copies.  If `look` is false, released copies are not decided here, because
    they are decided later in any case.
    """

    def __init__(
        self,
        index: Index,
        node: NodeFact,
        evidence: Evidence,
        free_b: int | None,
        now: float,
        run_id: int,
        make_room: bool = True,
    ) -> None:
        self.index = index
        self.node = node
        self.evidence = evidence
        self.now = now
        self.run_id = run_id
        self.look = True
        self.released = scan.released(index, node.id)
        self.lack_b = lacking_b(node, free_b) if make_room else 0.0

    def __bool__(self) -> bool:
        return bool(self.released) or self.lack_b > 0

    def deleting(self, facts: Sequence[DeletionFact]) -> None:
        """Note that these copies are being deleted, which frees space."""
        self.lack_b -= sum(map(freed_b, facts))

    def pages(self) -> Iterator[DeletionPage]:
        """Yield pages, each read when it is needed; call `deleting` with the copies of the last one before."""
        yield from self.suspect()
        yield from self.rest()

    def suspect(self) -> Iterator[DeletionPage]:
        """Yield released copies that are suspect.

        They come first: claimed copies are suspect until they are deleted, and would be met a second time.
        """
        if "M" in self.released:
            yield from self._released("M")

    def rest(self) -> Iterator[DeletionPage]:
        for has in ("X", "Y"):
            if has in self.released:
                yield from self._released(has)
        if self.lack_b <= 0:
            return
        for copies in self._pages("Y", "M"):
            may = enough(self._decided(copies).may, self.lack_b)
            if may:
                yield DeletionPage(may, [])
            if self.lack_b <= 0:
                return

    def upper_bound(self) -> int:
        """Return an upper bound of the number of copies to delete."""
        removable = scan.count(self.index, self.node.id, "Y", "M") if self.lack_b > 0 else 0
        return sum(self.released.values()) + removable

    def _released(self, has: str) -> Iterator[DeletionPage]:
        for copies in self._pages(has, "N"):
            yield self._decided(copies) if self.look else DeletionPage(copies, [])

    def _pages(self, has: str, wants: str) -> Iterator[list[DeletionFact]]:
        return scan.pages(self.index, self.node.id, has, wants, PAGE)

    def _decided(self, copies: list[DeletionFact]) -> DeletionPage:
        page = DeletionPage([], [])
        reading = scan.read(self.index, self.node.id, copies, self.run_id, self.evidence)
        for fact in reading.facts:
            if why_not := decide(fact, reading.archive, self.evidence.minimum, self.now):
                page.left.append((fact, why_not))
            else:
                page.may.append(fact)
        return page


class Brake(NamedTuple):
    """The outcome of the delete limit.

    `line`: why nothing is deleted on the node; "" if `allowed` copies may be, None for any number.
    """

    allowed: int | None
    line: Why = ""


def apply_limit(deletable: Deletable, sync: Sync, deleted: int) -> Brake:
    """Apply the delete limit to a run that has already deleted `deleted` copies from the node.

    Copies released by an autoclean rule are not counted: a node through which all new files pass is emptied regularly.
    Copies are decided only if their number alone could exceed the limit, and only until it does.  `deletable` is
    consumed.
    """
    wanted = deleted + deletable.upper_bound()
    if wanted <= brake.least(sync.delete_limit):
        return Brake(brake.least(sync.delete_limit) - deleted)
    copies = deleted + scan.present(deletable.index, deletable.node.id)
    allowed = brake.most(copies, sync.delete_limit)
    if allowed is None:
        return Brake(None)
    count = deleted
    if wanted > allowed:
        for page in deletable.pages():
            deletable.deleting(page.may)
            count += sum(not fact.by_rule for fact in page.may)
            if count > allowed:
                released = sum(deletable.released.values())
                return Brake(0, brake.limit_exceeded(deletable.node.name, copies, released, allowed))
    return Brake(allowed - deleted)
