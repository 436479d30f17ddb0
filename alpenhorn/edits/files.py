"""Changes of a file's own row: creation, and correction of its length and MD5 sum.

A new length or MD5 sum makes every good copy suspect, also released ones: the rule for deletion counts released good
copies on archive nodes, and a copy that may have the wrong bytes must not permit the deletion of another.  wants_file
is kept, so released copies stay released and are deleted once that is safe.
Corrupt copies become suspect, too, since they may match the new values; released ones stay corrupt, as no check reads
them.

A deletion in progress would restore the old state of a copy that it cannot delete.  So the claims on the file's copies
are deleted, and these copies stay suspect until a check has read them.
"""

from __future__ import annotations

import datetime
from shlex import quote
from typing import NamedTuple

from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.record import digests
from alpenhorn.record.attempts import succeeded
from alpenhorn.record.copies import NEVER_READ, once_good
from alpenhorn.record.tallies import forget_files
from alpenhorn.scan.digests import known_sha256
from alpenhorn.scan.names import FileName

COLUMNS = ("acq_id", "name", "size_b", "md5sum", "registered")
THERE = "SELECT name, size_b, md5sum FROM archivefile WHERE acq_id = ? AND name = ?"
ID = "SELECT id FROM archivefile WHERE acq_id = ? AND name = ?"
FACTS = "SELECT size_b, md5sum FROM archivefile WHERE id = ?"
NAMED = """
    SELECT f.id, a.name AS acq__name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id WHERE f.id = ?
"""
COPIES = "SELECT id, node_id, has_file, wants_file FROM archivefilecopy WHERE file_id = ? ORDER BY node_id"


class _Named(NamedTuple):
    name: str
    size_b: int | None
    md5sum: str | None


class _Facts(NamedTuple):
    size_b: int | None
    md5sum: str | None


class AcceptedCopy(NamedTuple):
    """A copy that its owner changed, and whose contents become those of the file.

    `registered`: when its reading began (naive UTC); what is written later is another change.
    """

    node_id: int
    registered: datetime.datetime


class Modified(NamedTuple):
    """The result of a change.

    `size_b` and `md5sum`: the current values; `suspect`: ids of the nodes whose copies became suspect; `corrupt`: ids
    of the nodes whose wanted copies stay recorded as corrupt, by the old values.
    """

    changed: bool
    size_b: int | None
    md5sum: str | None
    suspect: list[int]
    corrupt: list[int]


def create(
    index: Index,
    acq_id: int,
    acq: str,
    name: str,
    size_b: int,
    md5sum: str,
    now: datetime.datetime,
    sha256: str = "",
) -> None:
    """Create a file without copies.

    `md5sum`, `sha256`: hex, lower case; the latter is "" if it is not known.  Raises Refused if its name exists.
    """
    refuse_taken(index, acq_id, acq, name)

    def work() -> None:
        sql = index.insert_ignore("archivefile", COLUMNS)
        index.execute(sql, (acq_id, name, size_b, md5sum, now))
        there = index.fact(_Named, THERE, (acq_id, name))
        # An equal row was created by this command, if the answer to the commit was lost.
        if there is None or there != (name, size_b, md5sum):
            raise _taken(acq, name, name if there is None else there.name)
        if sha256:
            file_id = index.value(ID, (acq_id, name))
            digests.keep_first(index, [digests.Content(file_id, size_b, md5sum, sha256)])

    index.retry(work)


def refuse_taken(index: Index, acq_id: int, acq: str, name: str) -> None:
    """Raise Refused if the acquisition has a file of that name, or one whose name compares as equal."""
    there = index.fact(_Named, THERE, (acq_id, name))
    if there is not None:
        raise _taken(acq, name, there.name)


def _taken(acq: str, name: str, there: str) -> Refused:
    path = f"{acq}/{name}"
    if there == name:
        return Refused(
            f"file {path!r}: exists already; nothing was changed"
            f" (to change its length or MD5 sum: alpenhorn file modify {quote(path)}"
            " --size SIZE --md5 HASH)"
        )
    return Refused(
        f"file {path!r}: same name as {there!r} in the index, whose collation does not compare bytes;"
        " nothing was changed; see: alpenhorn db check"
    )


def lock_row(index: Index, file: FileName) -> None:
    """Lock the file's row until the transaction ends.

    Raises NotFound if the file was deleted since its name was looked up: its id may be that of another file by now,
    which SQLite gives to the next one.
    """
    there = index.fact(FileName, NAMED + index.dialect.for_update, (file.id,))
    if there != file:
        raise NotFound(f"file {file.path!r}: deleted from the index in the meantime; nothing was changed")


def modify(
    index: Index,
    file_id: int,
    size_b: int | None,
    md5sum: str | None,
    now: datetime.datetime,
    *,
    reverify: bool = True,
    known: tuple[int | None, str | None] | None = None,
    accepted: AcceptedCopy | None = None,
    sha256: str = "",
) -> Modified:
    """Set the length (bytes) and the MD5 sum (hex, lower case), unless None.

    If one of them changes, good and corrupt copies become suspect (with `reverify`), and the times of verification and
    failed pulls are deleted.  The evidence of good copies is kept, so that a pull may replace copies that do not match
    the new values.
    `known`: the length and MD5 sum that the file must have before.
    `accepted`: the copy that was read; it becomes suspect, and the file counts as registered when it was read.
    `sha256`: the SHA-256 sum of the contents with these values (hex, lower case), "" if it is not known.  It takes the
    place of the one on record, and another one is a change, too.
    Raises NotFound if the file was removed, Refused if it has other values than `known`, or if the accepted copy is no
    longer recorded as corrupt.
    """
    lock = index.dialect.for_update

    def work() -> Modified:
        # Lock the file's row before its copies, in the same order as the recording of a check.
        before = index.fact(_Facts, FACTS + lock, (file_id,))
        if before is None:
            raise NotFound("the file was removed from the index in the meantime; nothing was changed")
        # The new values were set by this command, if the answer to the commit was lost.
        if known is not None and tuple(before) not in (known, (size_b, md5sum)):
            raise Refused(
                "another program changed the file's length or MD5 sum; nothing was changed; try again"
            )
        changed: dict[str, object] = {}
        if size_b not in (None, before.size_b):
            changed["size_b"] = size_b
        if md5sum not in (None, (before.md5sum or "").lower()):
            changed["md5sum"] = md5sum
        other = bool(sha256) and known_sha256(index, [file_id]).get(file_id, sha256) != sha256
        if not changed and not other:
            return Modified(False, before.size_b, before.md5sum, [], [])
        if accepted is not None:
            changed["registered"] = accepted.registered
        if changed:
            settings = ", ".join(f"{column} = ?" for column in changed)
            index.execute(f"UPDATE archivefile SET {settings} WHERE id = ?", (*changed.values(), file_id))
        if sha256:
            assert size_b is not None and md5sum is not None
            digests.replace(index, digests.Content(file_id, size_b, md5sum, sha256))
        else:
            digests.forget(index, file_id)
        copies = index.execute(COPIES + lock, (file_id,)).fetchall()
        good = [(copy_id, node_id) for copy_id, node_id, has, _ in copies if has == "Y"]
        corrupt = [
            (copy_id, node_id) for copy_id, node_id, has, wants in copies if has == "X" and wants != "N"
        ]
        if accepted is not None:
            own = [(copy_id, at) for copy_id, at, has, _ in copies if at == accepted.node_id and has == "X"]
            if not own:
                raise Refused(
                    "the state of the copy was changed in the meantime; nothing was changed; try again"
                )
            corrupt = [*own, *(one for one in corrupt if one not in own)]  # also a released one
        suspect = [*good, *corrupt] if reverify else []
        _doubt(index, [copy_id for copy_id, _ in suspect], now)
        if reverify:
            index.execute("DELETE FROM sync_claim WHERE kind = 'delete' AND file_id = ?", (file_id,))
            for _, node_id in good:
                once_good(index, node_id, [file_id])
        forget_files(index, [file_id])
        _forget(index, file_id, [node_id for _, node_id, _, _ in copies])
        after_size, after_md5 = index.execute(FACTS, (file_id,)).fetchone()
        left = [] if reverify else [node_id for _, node_id in corrupt]
        return Modified(True, after_size, after_md5, [node_id for _, node_id in suspect], left)

    return index.retry(work)


def _doubt(index: Index, copy_ids: list[int], now: datetime.datetime) -> None:
    for marks, some in in_chunks(copy_ids):
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'M', last_update = ? WHERE id IN ({marks})", (now, *some)
        )


def _forget(index: Index, file_id: int, node_ids: list[int]) -> None:
    """Delete times of verification and failed pulls; by node, since verifications have no index on files alone."""
    for marks, some in in_chunks(node_ids):
        index.execute(
            f"UPDATE sync_verification SET verified = ? WHERE file_id = ? AND node_id IN ({marks})",
            (NEVER_READ, file_id, *some),
        )
    pending = index.execute(
        "SELECT id FROM archivefilecopyrequest WHERE file_id = ? AND +completed = 0 AND +cancelled = 0",
        (file_id,),
    ).fetchall()
    succeeded(index, "pull", [request_id for (request_id,) in pending])
