"""Records failed attempts and the time of the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive, posix
from alpenhorn.model.events import FAILED, NO_FILE, NO_NODE
from alpenhorn.outside import text
from alpenhorn.plan.backoff import next_attempt
from alpenhorn.reasons import Code, Why, code_of
from alpenhorn.record.run import Run, events

COLUMNS = ("kind", "subject_id", "count", "last", "next", "blame", "error", "code")
ERROR_LENGTH = 2000


class Failure(NamedTuple):
    """A failed attempt.  `subject_id`: id of the request, copy or import request, depending on the kind of work.

    `file_id`, `node_id`: the file, and the node on which the work was done; the end of the run records the failures of
    imports, whose files are not in the index.
    """

    subject_id: int
    blame: str
    error: Why
    file_id: int = NO_FILE
    node_id: int = NO_NODE


def failed(index: Index, run: Run, kind: str, failures: Sequence[Failure]) -> None:
    """Count one more failed attempt for each, with an event if the file is known; call it inside a transaction."""
    if not failures:
        return
    counts = {}
    for marks, some in in_chunks([failure.subject_id for failure in failures]):
        sql = f"SELECT subject_id, count FROM sync_attempt WHERE kind = ? AND subject_id IN ({marks})"
        counts.update(index.execute(sql, (kind, *some)).fetchall())
    now = run.now()
    rng = run.chance(kind, failures[0].subject_id)
    rows = []
    for failure in failures:
        count = counts.get(failure.subject_id, 0) + 1
        later = naive(next_attempt(count, failure.blame, posix(now), rng))
        error, code = text(failure.error, ERROR_LENGTH), str(code_of(failure.error))
        rows.append((kind, failure.subject_id, count, now, later, failure.blame, error, code))
    index.executemany(index.upsert("sync_attempt", COLUMNS, COLUMNS[:2], COLUMNS[2:]), rows)
    known = [(one.file_id, one.node_id, one.error) for one in failures if one.file_id != NO_FILE]
    events(index, run, FAILED, known)


# The kinds of failed attempts whose subjects are rows of a table.
KINDS = {
    "archivefilecopy": ("check", "delete", "source"),
    "archivefilecopyrequest": ("pull",),
    "archivefileimportrequest": ("import",),
}


def succeeded(index: Index, kind: str, subject_ids: Sequence[int], code: Code | None = None) -> None:
    """Delete the records of failed attempts, or only those that failed for one reason; call it inside a transaction."""
    delete = index.dialect.delete_by("sync_attempt_kind_subject_id", "sync_attempt")
    only, values = ("", ()) if code is None else (" AND code = ?", (str(code),))
    for marks, some in in_chunks(subject_ids):
        index.execute(
            f"{delete} WHERE kind = ? AND subject_id IN ({marks}){only}",
            (kind, *some, *values),
        )
