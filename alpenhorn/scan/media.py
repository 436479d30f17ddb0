"""Recorded state of the index itself and of the media of nodes."""

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
MEDIUM = f"{MEDIA} WHERE m.node_id = ?"

# Active nodes whose copies do not count for now, or whose media have changed.
STATES = """
    SELECT m.node_id, n.name, h.name AS host__name, m.wrong, m.why, m.code, m.distrust, m.changed, m.changed_why
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
    """The recorded media.

    `media`: by node id; `names`: of these nodes; `identity`: the index's random id, "" before the first run;
    `restored`: why deletions are suspended on this index, "" if they are not; `pruned`: runs up to this number may have
    been removed from the history.
    """

    media: Mapping[int, MediumFact] = {}
    names: Mapping[int, str] = {}
    identity: str = ""
    restored: str = ""
    pruned: int = 0

    def knows(self, node_id: int) -> bool:
        """Return whether an earlier run has found the node valid."""
        fact = self.media.get(node_id)
        return fact is not None and fact.medium is not None

    def others(self, node_id: int) -> dict[str, str]:
        """Return the media of all other nodes, with the names of these."""
        return {
            fact.medium: self.names[other]
            for other, fact in self.media.items()
            if other != node_id and fact.medium is not None
        }


def load(index: Index) -> KnownMedia:
    """Read the recorded media, with two queries; rows of removed nodes are left out."""
    rows = index.facts(_MediumRow, MEDIA, is_wrong=bool)
    media = {row.node_id: row.fact for row in rows}
    names = {row.node_id: row.name for row in rows}
    about = dict(index.execute("SELECT name, value FROM sync_index").fetchall())
    return KnownMedia(
        media, names, about.get(IDENTITY, ""), about.get(RESTORED, ""), int(about.get(PRUNED, "0"))
    )


def medium_of(index: Index, node_id: int) -> MediumFact | None:
    """Return the recorded medium of a node; None without one."""
    row = index.fact(_MediumRow, MEDIUM, (node_id,), is_wrong=bool)
    return None if row is None else row.fact


def identity(index: Index) -> str:
    """Return the index's random id, "" before the first run."""
    found = index.value("SELECT value FROM sync_index WHERE name = ?", (IDENTITY,))
    return "" if found is None else str(found)


class MediumState(NamedTuple):
    """A node that is not, or was not, in the expected state; the fields are columns of sync_medium."""

    node_id: int
    name: str
    host: str | None
    wrong: datetime | None
    why: str | None
    code: str | None
    distrust: str | None
    changed: datetime | None
    changed_why: str | None


def states(index: Index) -> list[MediumState]:
    return index.facts(MediumState, STATES, wrong=moment, changed=moment)


def restored(index: Index) -> str:
    """Return why deletions are suspended on the index; "" if they are not."""
    why = index.value("SELECT value FROM sync_index WHERE name = ?", (RESTORED,))
    return "" if why is None else str(why)


def known_runs(index: Index, run_ids: Collection[int]) -> dict[tuple[int, str], bool]:
    """Return (id, host) of the runs that are in the index, and whether their rows have neither end nor ending."""
    found: dict[tuple[int, str], bool] = {}
    for marks, some in in_chunks(sorted(run_ids)):
        sql = f"SELECT id, host, ended IS NULL AND ending IS NULL FROM sync_run WHERE id IN ({marks})"
        found.update(
            ((run_id, host), bool(unfinished)) for run_id, host, unfinished in index.execute(sql, some)
        )
    return found
