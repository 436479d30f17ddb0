"""What a run may delete from a node: the same for the run, for its brake, and for a plan that is only shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from alpenhorn.config import Sync
from alpenhorn.index.connection import Index
from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.plan import brake
from alpenhorn.plan.deletions import decide, enough, freed_b, lacking_b
from alpenhorn.reasons import Reason, Why
from alpenhorn.scan import deletions as scan

PAGE = 2500


class Page(NamedTuple):
    """`left`: (copy, why it stays) of copies that are wanted gone."""

    may: list[DeletionFact]
    left: list[tuple[DeletionFact, Reason]]


def evidence(sync: Sync, absent: Mapping[int, Reason]) -> Evidence:
    """What this host's deletions rely on; `absent`: nodes that the run knows not to answer, and why."""
    return Evidence(sync.archive_copy_count, sync.keeper_seen_within, sync.trust_unseen, absent)


class Deletable:
    """The copies of a node in the order in which they go: released ones, then, as long as `lack_b` bytes of free
    space are lacking, removable ones, oldest first.

    `free_b`: the node's free space, None unknown; `now`: POSIX seconds; `run_id`: the run whose own claims do not
    count; `make_room` off: removable copies are left alone.  With `look` off, pages of released copies hold them all,
    unlooked at, where they are decided about later in any case.
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

    def going(self, facts: Sequence[DeletionFact]) -> None:
        """These copies are being deleted, which gives room."""
        self.lack_b -= sum(map(freed_b, facts))

    def pages(self) -> Iterator[Page]:
        """Each page is read when it is asked for; before that, `going` tells what came of the last one."""
        yield from self.suspect()
        yield from self.rest()

    def suspect(self) -> Iterator[Page]:
        """Released copies that are suspect, first: those that are claimed are so until they are gone, and must not
        be met a second time."""
        if "M" in self.released:
            yield from self._released("M")

    def rest(self) -> Iterator[Page]:
        for has in ("X", "Y"):
            if has in self.released:
                yield from self._released(has)
        if self.lack_b <= 0:
            return
        for copies in self._pages("Y", "M"):
            may = enough(self._decided(copies).may, self.lack_b)
            if may:
                yield Page(may, [])
            if self.lack_b <= 0:
                return

    def most_wanted(self) -> int:
        """How many copies could go at the very most."""
        removable = scan.count(self.index, self.node.id, "Y", "M") if self.lack_b > 0 else 0
        return sum(self.released.values()) + removable

    def _released(self, has: str) -> Iterator[Page]:
        for copies in self._pages(has, "N"):
            yield self._decided(copies) if self.look else Page(copies, [])

    def _pages(self, has: str, wants: str) -> Iterator[list[DeletionFact]]:
        return scan.pages(self.index, self.node.id, has, wants, PAGE)

    def _decided(self, copies: list[DeletionFact]) -> Page:
        page = Page([], [])
        reading = scan.read(self.index, self.node.id, copies, self.run_id, self.evidence)
        for fact in reading.facts:
            if why_not := decide(fact, reading.archive, self.evidence.minimum, self.now):
                page.left.append((fact, why_not))
            else:
                page.may.append(fact)
        return page


class Brake(NamedTuple):
    """`line`: why nothing is deleted on the node; "": `allowed` copies may be, None for any number."""

    allowed: int | None
    line: Why = ""


def put_brake(deletable: Deletable, sync: Sync, deleted: int) -> Brake:
    """Find out whether a run that has deleted so many copies of the node already would delete too many.

    What an autoclean edge releases is not counted: it was meant when the edge was made, and a node through which
    all new files pass is emptied again and again.
    Copies are looked at only where their number alone does not tell, and no more of them than that takes.
    `deletable` is used up by it.
    """
    wanted = deleted + deletable.most_wanted()
    if wanted <= brake.least(sync.delete_limit):
        return Brake(brake.least(sync.delete_limit) - deleted)
    copies = deleted + scan.present(deletable.index, deletable.node.id)
    allowed = brake.most(copies, sync.delete_limit)
    if allowed is None:
        return Brake(None)
    going = deleted
    if wanted > allowed:
        for page in deletable.pages():
            deletable.going(page.may)
            going += sum(not fact.by_rule for fact in page.may)
            if going > allowed:
                released = sum(deletable.released.values())
                return Brake(0, brake.limit_exceeded(deletable.node.name, copies, released, allowed))
    return Brake(allowed - deleted)
