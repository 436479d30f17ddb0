"""Released copies that runs do not delete, and why.

The copies are counted with the index on states.  The reasons are found for the first copies of each node, by the rules
that a run uses (`alpenhorn.plan.deletions`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model.copies import WantsFile
from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.plan.deletions import decide
from alpenhorn.reasons import Code, Why, code_of
from alpenhorn.scan import deletions

SAMPLE = 50  # copies of a node whose reasons are found

# Reasons that end without anyone's action, or that are reported for the whole index or for the run.
PASSING = frozenset(
    {
        Code.COPY_BEING_PULLED,
        Code.COPY_GONE,
        Code.COPY_IS_SOURCE_OF_REQUEST,
        Code.COPY_WANTED_BY_REQUEST,
        Code.DELETED_BY_OTHER_RUN,
        Code.INDEX_OLDER_THAN_DISKS,
        Code.WAITS_AFTER_FAILURE,
    }
)
RELEASED = """
    SELECT c.node_id, COUNT(*) FROM archivefilecopy c
    WHERE c.node_id IN ({marks}) AND c.has_file IN ('Y', 'M', 'X') AND c.wants_file = 'N' GROUP BY c.node_id
"""


class Kept(NamedTuple):
    """Released copies of a node that stay.  `exact`: whether `copies` is not only a lower bound.

    `why`: the most frequent reason; `example`: the path of a copy that stays because of it.
    """

    copies: int
    exact: bool
    why: Why
    example: str


def load(index: Index, node_ids: Sequence[int], evidence: Evidence) -> dict[int, Kept]:
    """Return the released copies that stay, by node, for the nodes that have some."""
    counts: dict[int, int] = {}
    for some in chunks(node_ids):
        counts.update(index.execute(RELEASED.format(marks=marks(some)), tuple(some)).fetchall())
    now = posix(index.now()) if counts else 0.0
    found = {node_id: _kept(index, node_id, count, evidence, now) for node_id, count in counts.items()}
    return {node_id: kept for node_id, kept in found.items() if kept is not None}


def _kept(index: Index, node_id: int, count: int, evidence: Evidence, now: float) -> Kept | None:
    reading = deletions.read(index, node_id, _first(index, node_id), 0, evidence)
    stay = [
        (fact, why)
        for fact in reading.facts
        if (why := decide(fact, reading.archive, evidence.minimum, now)) and code_of(why) not in PASSING
    ]
    if not stay:
        return None
    (code, _), *_ = Counter(code_of(why) for _, why in stay).most_common(1)
    fact, why = next(one for one in stay if code_of(one[1]) is code)
    return Kept(len(stay), count <= SAMPLE, why, f"{fact.acq}/{fact.name}")


def _first(index: Index, node_id: int) -> list[DeletionFact]:
    pages: Iterable[list[DeletionFact]] = (
        next(deletions.pages(index, node_id, has, WantsFile.NO, SAMPLE), []) for has in ("Y", "M", "X")
    )
    return [fact for page in pages for fact in page][:SAMPLE]
