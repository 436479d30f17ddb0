"""Changes of the recorded state of one copy by the user."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from alpenhorn.edits import files
from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.record.copies import never_good, once_good
from alpenhorn.scan.names import FileName

COLUMNS = ("has_file", "wants_file", "ready")

# has_file and wants_file for `file state --set`.  A copy that is Removable keeps wants_file M.
SETTINGS = {
    "Healthy": ("Y", "Y"),
    "Suspect": ("M", "Y"),
    "Corrupt": ("X", "Y"),
    "Missing": ("N", "Y"),
    "Absent": ("N", "N"),
}


def set_state(
    index: Index, file: FileName, node_id: int, state: str | None, ready: bool | None, now: datetime.datetime
) -> bool:
    """Set the state (a key of SETTINGS) and the flag `ready`, unless None; return whether anything changed.

    Raises Refused if `ready` is set for a copy that is not good, NotFound if the file was deleted in the meantime.
    """
    file_id = file.id

    def work() -> bool:
        files.lock_row(index, file)
        before = _copy(index, file_id, node_id)
        has, wants, was_ready = before or ("N", "N", 0)
        if state is not None:
            has, wanted = SETTINGS[state]
            wants = wanted if has == "N" or wants == "N" else wants
        now_ready = bool(was_ready) if ready is None else ready
        if ready and has != "Y":
            raise Refused("copy is not healthy, so it cannot be ready; nothing was changed")
        after = (has, wants, int(now_ready))
        if before is None:
            never_good(index, node_id, [file_id])
            # Absent, as without a row: do not create one.
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
    """Request a check: set has_file to M.  Return the former has_file; M: a check was already requested.

    Raises Refused if there is no copy, or it is released.
    """

    def work() -> str:
        before = _copy(index, file_id, node_id)
        if before is None or (before[0] == "N" and before[1] != "Y"):
            raise Refused("no copy of this file on that node; nothing was changed")
        has, wants, _ = before
        if wants == "N":
            raise Refused("copy is released, so it is not checked any more; nothing was changed")
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
    """Keep the evidence of a copy that was good, so that a pull may replace it; delete that of an absent copy."""
    if before == "Y" and after in ("M", "X"):
        once_good(index, node_id, [file_id])
    elif "N" in (before, after):
        never_good(index, node_id, [file_id])


class _CopyState(NamedTuple):
    """The columns COLUMNS of a copy."""

    has_file: str
    wants_file: str
    ready: int


def _copy(index: Index, file_id: int, node_id: int) -> _CopyState | None:
    """Return the copy's row, and lock it until the transaction ends."""
    lock = index.dialect.for_update
    sql = f"SELECT {', '.join(COLUMNS)} FROM archivefilecopy WHERE file_id = ? AND node_id = ?{lock}"
    return index.fact(_CopyState, sql, (file_id, node_id), ready=int)


def _insert(
    index: Index, file_id: int, node_id: int, values: tuple[Any, ...], now: datetime.datetime
) -> bool:
    columns = ("file_id", "node_id", *COLUMNS, "last_update")
    cursor = index.execute(index.insert_ignore("archivefilecopy", columns), (file_id, node_id, *values, now))
    if cursor.rowcount != 1:
        raise Refused("another program recorded this copy at the same time; check it, and try again")
    return True
