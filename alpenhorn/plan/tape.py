"""Which copies come back from tape, which leave the disk, and what follows from where one is found.

What a pending request wants comes first, in the order of the requests, then what is to be checked; never more are on
their way at once than the node's `restore_limit`, and none is asked for that its disk has no room for.  A run asks,
and the next one looks; nobody waits.

The disk is for what is ready to be read.  When less than the node's headroom is free, the copies used longest ago are
left to the tape, but none that a pending request wants, or it would come and go for ever.
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

DID_NOT_COME = Code.TAPE_COPY_DID_NOT_COME()


class Restores(NamedTuple):
    """`later`: those for which the disk has no room now."""

    chosen: list[RestoreCandidate]
    later: list[RestoreCandidate]


class After(NamedTuple):
    """What becomes of a copy and of its row in sync_restore.

    `ready`: None leaves it as it is.  `suspect`: a good copy is to be checked.  `state`: None for no row any more;
    `as_it_is`: the row is not touched.
    """

    ready: bool | None
    suspect: bool
    state: RestoreState | None
    error: Why = ""
    as_it_is: bool = False


def restores(
    wanted: Iterable[RestoreCandidate], under_way: Sequence[TapeFile], limit: int, free_b: int | None
) -> Restores:
    """Choose from `wanted`, in its order.

    `under_way`: those that were asked back and have not come; `limit`: how many may be on their way at once;
    `free_b`: what is free on disk, None when that is not known.
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
    """The first of `files`, as many as are needed to give `lack_b` (> 0) bytes of the disk back."""
    chosen: list[TapeFile] = []
    for file in files:
        chosen.append(file)
        lack_b -= file.held_b
        if lack_b <= 0:
            break
    return chosen


def after(verb: TapeAction, result: TapeResult, row: RestoreFact | None) -> After:
    """`row`: the copy's row in sync_restore as it is now, None for none."""
    where = result.where
    if where is None:
        # Nothing is known of the copy; whether it comes, a later look tells.
        return After(
            None, False, RestoreState.FAILED if row or verb is TapeAction.RESTORE else None, result.error
        )
    if where is Location.GONE:
        # It is let be found missing by the check, which doubts the storage before it believes that of many.
        return After(None, True, RestoreState.BACK)
    if where is Location.COMING:
        return After(False, False, RestoreState.ASKED if row or verb is TapeAction.RESTORE else None)
    if where is Location.TAPE:
        return _on_tape(verb, result, row)
    if row is not None and row.purpose is Purpose.CHECK and not row.requested and not _is_over(verb, row):
        return After(
            None, False, RestoreState.CHECKED if row.state is RestoreState.CHECKED else RestoreState.BACK
        )
    return After(True, False, None)


def _on_tape(verb: TapeAction, result: TapeResult, row: RestoreFact | None) -> After:
    if verb is TapeAction.RESTORE:
        return After(False, False, RestoreState.FAILED, result.error)
    if row is None or row.state is RestoreState.CHECKED:
        return After(False, False, None)
    if row.state is RestoreState.FAILED:
        return After(False, False, RestoreState.FAILED, as_it_is=True)  # it waits for its next try
    return After(False, False, RestoreState.FAILED, DID_NOT_COME)


def _is_over(verb: TapeAction, row: RestoreFact) -> bool:
    """Whether a copy that was checked could not be left to the tape, and so is just on disk."""
    return verb is TapeAction.LEAVE and row.state is RestoreState.CHECKED
