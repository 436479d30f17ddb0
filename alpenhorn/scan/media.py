"""What the index knows of itself and of the media of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model import MediumFact

IDENTITY = "identity"
RESTORED = "restored"

MEDIA = """
    SELECT m.node_id, m.medium, m.generation, m.word, m.next_generation, m.next_word, m.seen,
           m.wrong IS NOT NULL, m.distrust, n.name
    FROM sync_medium m JOIN storagenode n ON n.id = m.node_id
"""


class Known(NamedTuple):
    """`media`: by node id; `names`: of these nodes; `identity`: the index's random id, "" before any run;
    `restored`: why nothing may be deleted on this index, "" when it may."""

    media: Mapping[int, MediumFact] = {}
    names: Mapping[int, str] = {}
    identity: str = ""
    restored: str = ""

    def others(self, node_id: int) -> dict[str, str]:
        """The media of all nodes but that one, with the names of their nodes."""
        return {
            fact.medium: self.names[other]
            for other, fact in self.media.items()
            if other != node_id and fact.medium is not None
        }


def load(index: Index) -> Known:
    """Two queries; the rows of nodes that are gone from the index are left out."""
    media, names = {}, {}
    for row in index.execute(MEDIA):
        seen = None if row[6] is None else posix(row[6])
        media[row[0]] = MediumFact._make((*row[:6], seen, bool(row[7]), row[8]))
        names[row[0]] = row[9]
    about = dict(index.execute("SELECT name, value FROM sync_index").fetchall())
    return Known(media, names, about.get(IDENTITY, ""), about.get(RESTORED, ""))
