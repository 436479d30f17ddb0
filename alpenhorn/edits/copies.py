"""The recorded state of one copy, set by hand."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.record.copies import never_good, once_good

COLUMNS = ("has_file", "wants_file", "ready")

# What `file state --set` writes: has_file and wants_file.  A copy that is there and Removable stays Removable.
SETTINGS = {
    "Healthy": ("Y", "Y"),
    "Suspect": ("M", "Y"),
    "Corrupt": ("X", "Y"),
    "Missing": ("N", "Y"),
    "Absent": ("N", "N"),
}


def set_state(
    index: Index, file_id: int, node_id: int, state: str | None, ready: bool | None, now: datetime.datetime
) -> bool:
    """Set the state (a key of SETTINGS) and the ready bit, where given; return whether anything differed.

    Raises Refused when `ready` is to be set on a copy that is not there.
    """

    def work() -> bool:
        before = _copy(index, file_id, node_id)
        has, wants, was_ready = before or ("N", "N", 0)
        if state is not None:
            has, wanted = SETTINGS[state]
            wants = wanted if has == "N" or wants == "N" else wants
        now_ready = bool(was_ready) if ready is None else ready
        if ready and has != "Y":
            raise Refused("only a healthy copy can be ready; nothing was changed")
        after = (has, wants, int(now_ready))
        if before is None:
            never_good(index, node_id, [file_id])
            # A row that says nothing would only be in the way.
            return after != ("N", "N", 0) and _insert(index, file_id, node_id, after, now)
        if after == before:
            return False
        _keep_evidence(index, file_id, node_id, before.has_file, has)
        settings = ", ".join(f"{column} = ?" for column in COLUMNS)
        index.execute(
            f"UPDATE archivefilecopy SET {settings}, last_update = ? WHERE file_id = ? AND node_id = ?",
            (*after, now, file_id, node_id),
        )
        return True

    return index.retry(work)


def suspect(index: Index, file_id: int, node_id: int, now: datetime.datetime) -> str:
    """Ask for a check: set has_file M.  Return what has_file was; M: it was asked for already.

    Raises Refused when there is no copy, or it is released.
    """

    def work() -> str:
        before = _copy(index, file_id, node_id)
        if before is None or (before[0] == "N" and before[1] != "Y"):
            raise Refused("there is no copy of this file on that node; nothing was changed")
        has, wants, _ = before
        if wants == "N":
            raise Refused("the copy is released for removal and is not checked any more; nothing was changed")
        if has != "M":
            _keep_evidence(index, file_id, node_id, has, "M")
            index.execute(
                "UPDATE archivefilecopy SET has_file = 'M', last_update = ?"
                " WHERE file_id = ? AND node_id = ?",
                (now, file_id, node_id),
            )
        return has

    return index.retry(work)


def _keep_evidence(index: Index, file_id: int, node_id: int, before: str, after: str) -> None:
    """A good copy that is bad from now on may be replaced by a pull, anything that was not there before may not."""
    if before == "Y" and after in ("M", "X"):
        once_good(index, node_id, [file_id])
    elif "N" in (before, after):
        never_good(index, node_id, [file_id])


class _CopyState(NamedTuple):
    """COLUMNS."""

    has_file: str
    wants_file: str
    ready: int


def _copy(index: Index, file_id: int, node_id: int) -> _CopyState | None:
    """The copy's row as it is now, locked for the rest of the transaction."""
    lock = index.dialect.for_update
    sql = f"SELECT {', '.join(COLUMNS)} FROM archivefilecopy WHERE file_id = ? AND node_id = ?{lock}"
    return index.fact(_CopyState, sql, (file_id, node_id), ready=int)


def _insert(
    index: Index, file_id: int, node_id: int, values: tuple[Any, ...], now: datetime.datetime
) -> bool:
    columns = ("file_id", "node_id", *COLUMNS, "last_update")
    cursor = index.execute(index.insert_ignore("archivefilecopy", columns), (file_id, node_id, *values, now))
    if cursor.rowcount != 1:
        raise Refused("another program recorded this copy at the same moment; look at it, and try again")
    return True
