"""Tells copies that their owners changed from corrupt ones, and from files that were merely found."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from alpenhorn.index.connection import Index
from alpenhorn.reasons import Code, Reason, Why, code_of
from alpenhorn.record.copies import with_evidence
from alpenhorn.scan.pulls import why_corrupt


class Origin(Enum):
    """What the index knows of a file that differs from it."""

    FOUND = "found"  # it was never recorded as a good copy
    GOOD = "good"  # it was once a good copy
    CHANGED = "changed"  # its owner has changed it before


def origins_of(index: Index, node_id: int, states: Mapping[int, str | None]) -> dict[int, Origin]:
    """Return the origins of files on a node that differ from the index.  `states`: file id to has_file before."""
    good = {file_id for file_id, has in states.items() if has == "Y"}
    good |= with_evidence(index, node_id, sorted(states.keys() - good))
    why = why_corrupt(index, [(file_id, node_id) for file_id, has in states.items() if has in ("M", "X")])
    return {
        file_id: Origin.GOOD
        if file_id in good
        else Origin.CHANGED
        if code_of(why.get((file_id, node_id), "")) == Code.COPY_CHANGED
        else Origin.FOUND
        for file_id in states
    }


def is_changed(origin: Origin, modified: str) -> bool:
    """Return whether a file that differs from the index is the work of its owner.

    `modified`: when it was written, if that was after the copy was last known to be good; "" otherwise.  One that was
    changed before stays changed, though its times may be older since the contents of another copy were accepted.
    """
    return origin is Origin.CHANGED or (origin is Origin.GOOD and bool(modified))


def changed(difference: Why, modified: str) -> Reason:
    """Return the reason for not taking a file that differs from the index for a corrupt copy."""
    if modified:
        return Code.COPY_CHANGED(difference=difference, modified=modified)
    return Reason(difference, Code.COPY_CHANGED)
