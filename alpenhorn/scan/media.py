"""What the index knows of itself and of the media of nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment, posix
from alpenhorn.model.nodes import MediumFact

IDENTITY = "identity"
RESTORED = "restored"
PRUNED = "pruned"

MEDIA = """
    SELECT m.node_id, m.medium, m.generation, m.word, m.next_generation, m.next_word, m.seen,
           m.wrong IS NOT NULL AS is_wrong, m.distrust, n.name
    FROM sync_medium m JOIN storagenode n ON n.id = m.node_id
"""


# Of nodes that are in use: what keeps their copies from being relied on, and what changed on them.
STATES = """
    SELECT m.node_id, n.name, h.name AS host__name, m.wrong, m.why, m.distrust, m.changed, m.changed_why
    FROM sync_medium m JOIN storagenode n ON n.id = m.node_id LEFT JOIN storagehost h ON h.id = n.host_id
    WHERE n.active = 1 AND (m.wrong IS NOT NULL OR m.distrust IS NOT NULL OR m.changed IS NOT NULL)
    ORDER BY n.name
"""


class _MediumRow(NamedTuple):
    node_id: int
    medium: str | None
    generation: int
    word: str | None
    next_generation: int | None
    next_word: str | None
    seen: Any
    is_wrong: bool
    distrust: str | None
    name: str

    @property
    def fact(self) -> MediumFact:
        return MediumFact(
            self.node_id,
            self.medium,
            self.generation,
            self.word,
            self.next_generation,
            self.next_word,
            None if moment(self.seen) is None else posix(self.seen),
            self.is_wrong,
            self.distrust,
        )


class KnownMedia(NamedTuple):
    """`media`: by node id; `names`: of these nodes; `identity`: the index's random id, "" before any run;
    `restored`: why nothing may be deleted on this index, "" when it may; `pruned`: runs up to that number may have been
    removed from the history."""

    media: Mapping[int, MediumFact] = {}
    names: Mapping[int, str] = {}
    identity: str = ""
    restored: str = ""
    pruned: int = 0

    def knows(self, node_id: int) -> bool:
        """Whether a run has found the node right before."""
        fact = self.media.get(node_id)
        return fact is not None and fact.medium is not None

    def others(self, node_id: int) -> dict[str, str]:
        """The media of all nodes but that one, with the names of their nodes."""
        return {
            fact.medium: self.names[other]
            for other, fact in self.media.items()
            if other != node_id and fact.medium is not None
        }


def load(index: Index) -> KnownMedia:
    """Two queries; the rows of nodes that are gone from the index are left out."""
    rows = index.facts(_MediumRow, MEDIA, is_wrong=bool)
    media = {row.node_id: row.fact for row in rows}
    names = {row.node_id: row.name for row in rows}
    about = dict(index.execute("SELECT name, value FROM sync_index").fetchall())
    return KnownMedia(
        media, names, about.get(IDENTITY, ""), about.get(RESTORED, ""), int(about.get(PRUNED, "0"))
    )


class MediumState(NamedTuple):
    """A node that is, or was, not as the index believed it to be; the columns are those of sync_medium."""

    node_id: int
    name: str
    host: str | None
    wrong: datetime | None
    why: str | None
    distrust: str | None
    changed: datetime | None
    changed_why: str | None


def states(index: Index) -> list[MediumState]:
    return index.facts(MediumState, STATES, wrong=moment, changed=moment)


def restored(index: Index) -> str:
    """Why nothing may be deleted on the index, "" when it may."""
    why = index.value("SELECT value FROM sync_index WHERE name = ?", (RESTORED,))
    return "" if why is None else str(why)


def known_runs(index: Index, run_ids: Collection[int]) -> dict[tuple[int, str], bool]:
    """(id, host) of those of the runs that the index knows, and whether their rows hold neither end nor ending."""
    found: dict[tuple[int, str], bool] = {}
    for marks, some in in_chunks(sorted(run_ids)):
        sql = f"SELECT id, host, ended IS NULL AND ending IS NULL FROM sync_run WHERE id IN ({marks})"
        found.update(
            ((run_id, host), bool(unfinished)) for run_id, host, unfinished in index.execute(sql, some)
        )
    return found
