"""Comparison of a node's medium with the index (CONTRIBUTING.md, "The identity of media")."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from alpenhorn.model.nodes import Identity, MediumFact

SEEN_EVERY = 3600.0  # seconds; a node is not recorded as seen more often


class Standing(StrEnum):
    """The state of a medium relative to the index."""

    AS_LEFT = "as left"
    NEW = "new"
    UNCONFIRMED = "has a generation that was never confirmed"
    EXCHANGED = "exchanged, or initialised again"
    BEHIND = "restored or cloned"
    AHEAD = "ahead of the index"
    CLONE = "another node's"
    FOREIGN = "of another index"


def judge(
    known: MediumFact | None, found: Identity | None, index_id: str, others: Mapping[str, str]
) -> Standing:
    """Compare the record of a node's medium with the identity file found there.

    `others`: the media of the other nodes of the index, with the names of their nodes.
    """
    confirmed = known is not None and known.medium is not None and known.generation > 0
    if found is None:
        return Standing.EXCHANGED if confirmed else Standing.NEW
    if found.index_id != index_id:
        return Standing.FOREIGN
    if found.medium in others:
        return Standing.CLONE
    if known is None or known.medium is None:
        return Standing.AHEAD
    if found.medium != known.medium:
        # An intent recorded for another medium says nothing about this one.
        return Standing.EXCHANGED if confirmed else Standing.AHEAD
    at = (found.generation, found.word)
    if confirmed and at == (known.generation, known.word):
        return Standing.AS_LEFT
    if at == (known.next_generation, known.next_word):
        return Standing.UNCONFIRMED
    # The index cannot be ahead of a medium that it never confirmed.
    newest = max(known.generation, known.next_generation or 0) if confirmed else 0
    return Standing.AHEAD if found.generation > newest else Standing.BEHIND


def worth_noting(known: MediumFact | None, now: float) -> bool:
    """Return whether a node in order is recorded as seen.  `now`: POSIX seconds, by the server's clock."""
    return known is None or known.wrong or known.seen is None or not 0 <= now - known.seen < SEEN_EVERY


def next_generation(known: MediumFact | None, found: Identity | None) -> int:
    """Return a number above every generation that index and medium know."""
    return 1 + max(
        known.generation if known else 0,
        (known.next_generation or 0) if known else 0,
        found.generation if found else 0,
    )
