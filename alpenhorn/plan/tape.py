"""Rules for tape: which copies are restored, which leave the disk, and how their records change.

Copies wanted by pending requests are restored first, in the order of the requests, then those to be checked; at most
the node's `restore_limit` at once, and only if the disk has room.  One run starts a restore, and the next one looks for
the copy; no run waits.

When less than the node's headroom is free, the least recently used copies leave the disk, except those wanted by
pending requests, which would be restored again at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.model.tape import (
    Location,
    Purpose,
    RestoreCandidate,
    RestoreFact,
    RestoreState,
    TapeAction,
    TapeFile,
    TapeResult,
)
from alpenhorn.reasons import Code, Why

NOT_RESTORED = Code.TAPE_COPY_DID_NOT_COME()


class Restores(NamedTuple):
    """`chosen`: copies to restore; `later`: copies for which the disk has no room now."""

    chosen: list[RestoreCandidate]
    later: list[RestoreCandidate]


class TapeUpdate(NamedTuple):
    """The update of a copy and its row in sync_restore.

    `ready`: None for no change.  `suspect`: a good copy becomes suspect.  `state`: None deletes the row; `as_it_is`:
    the row is not changed.
    """

    ready: bool | None
    suspect: bool
    state: RestoreState | None
    error: Why = ""
    as_it_is: bool = False


def restores(
    wanted: Iterable[RestoreCandidate], under_way: Sequence[TapeFile], limit: int, free_b: int | None
) -> Restores:
    """Choose copies to restore from `wanted`, in its order.

    `under_way`: copies being restored; `limit`: the most restores at once; `free_b`: free bytes on disk, None if
    unknown.
    """
    found = Restores([], [])
    slots = limit - len(under_way)
    room_b = None if free_b is None else free_b - sum(file.held_b for file in under_way)
    if slots <= 0:
        return found
    for one in wanted:
        if room_b is not None and one.file.held_b > room_b:
            found.later.append(one)
            if len(found.later) >= limit:
                break
            continue
        found.chosen.append(one)
        if room_b is not None:
            room_b -= one.file.held_b
        if len(found.chosen) >= slots:
            break
    return found


def enough(files: Iterable[TapeFile], lack_b: int) -> list[TapeFile]:
    """Return the first of `files` that free `lack_b` (> 0) bytes of the disk."""
    chosen: list[TapeFile] = []
    for file in files:
        chosen.append(file)
        lack_b -= file.held_b
        if lack_b <= 0:
            break
    return chosen


def tape_update(verb: TapeAction, result: TapeResult, row: RestoreFact | None) -> TapeUpdate:
    """Return the update for the result of a verb.  `row`: the copy's row in sync_restore, None if there is none."""
    where = result.where
    if where is None:
        # The location is unknown; a later run looks again.
        return TapeUpdate(
            None, False, RestoreState.FAILED if row or verb is TapeAction.RESTORE else None, result.error
        )
    if where is Location.GONE:
        # Only a check may record it as missing, since checks doubt the storage if many are.
        return TapeUpdate(None, True, RestoreState.BACK)
    if where is Location.COMING:
        return TapeUpdate(False, False, RestoreState.ASKED if row or verb is TapeAction.RESTORE else None)
    if where is Location.TAPE:
        return _on_tape(verb, result, row)
    if row is not None and row.purpose is Purpose.CHECK and not row.requested and not _is_over(verb, row):
        return TapeUpdate(
            None, False, RestoreState.CHECKED if row.state is RestoreState.CHECKED else RestoreState.BACK
        )
    return TapeUpdate(True, False, None)


def _on_tape(verb: TapeAction, result: TapeResult, row: RestoreFact | None) -> TapeUpdate:
    if verb is TapeAction.RESTORE:
        return TapeUpdate(False, False, RestoreState.FAILED, result.error)
    if row is None or row.state is RestoreState.CHECKED:
        return TapeUpdate(False, False, None)
    if row.state is RestoreState.FAILED:
        return TapeUpdate(False, False, RestoreState.FAILED, as_it_is=True)  # waits for its next attempt
    return TapeUpdate(False, False, RestoreState.FAILED, NOT_RESTORED)


def _is_over(verb: TapeAction, row: RestoreFact) -> bool:
    """Return whether a checked copy could not leave the disk, so its row is finished."""
    return verb is TapeAction.LEAVE and row.state is RestoreState.CHECKED
