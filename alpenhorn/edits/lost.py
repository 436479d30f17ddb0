"""Copies of a lost medium: recorded as missing, all at once, so that they are brought back from other copies."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import Progress
from alpenhorn.listings.stats import FileTally
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, code_of
from alpenhorn.record.run import FORMAT

PIECE = 20_000  # copies in one transaction
STATES = tuple((has, wants) for has in "YMX" for wants in "YMN")

AMOUNT = """
    SELECT COUNT(*), SUM(f.size_b) FROM archivefilecopy c LEFT JOIN archivefile f ON f.id = c.file_id
    WHERE c.node_id = ? AND c.has_file IN ('Y', 'M', 'X')
"""
ONLY_HERE = """
    AND c.wants_file <> 'N'
    AND NOT EXISTS (SELECT 1 FROM archivefilecopy d WHERE d.file_id = c.file_id AND +d.node_id <> c.node_id
                    AND d.has_file = 'Y')
"""


class LostAmounts(NamedTuple):
    """Copies that may be on a medium, and of these, the wanted ones whose files have no good copy elsewhere."""

    copies: FileTally
    only_here: FileTally


class RecordedMedium(NamedTuple):
    """What the index knows of a node's place and medium; a change means that a run has seen it, or that it moved."""

    host_id: int | None
    root: str | None
    medium: str | None
    generation: int | None
    next_generation: int | None
    seen: object


def amounts(index: Index, node_id: int) -> LostAmounts:
    def tally(sql: str) -> FileTally:
        files, bytes_ = index.execute(sql, (node_id,)).fetchone()
        return FileTally(files, int(bytes_ or 0))

    return LostAmounts(tally(AMOUNT), tally(AMOUNT + ONLY_HERE))


def medium_state(index: Index, node_id: int, lock: bool = False) -> RecordedMedium | None:
    """Return the state of a node's medium; read it before the disk is looked at."""
    in_share_mode = index.dialect.in_share_mode if lock else ""
    return index.fact(
        RecordedMedium,
        "SELECT n.host_id, n.root, m.medium, m.generation, m.next_generation, m.seen FROM storagenode n"
        f" LEFT JOIN sync_medium m ON m.node_id = n.id WHERE n.id = ?{in_share_mode}",
        (node_id,),
    )


def declare(
    index: Index,
    node: NodeFact,
    before: RecordedMedium | None,
    now: datetime.datetime,
    progress: Progress = lambda done, of: None,
    of: int = 0,
) -> int:
    """Record all copies on a node as missing, in pieces; return their number.

    What is wanted stays wanted, and what is released is removed.  `before`: the state of the medium when it was found
    missing.  Raises Refused, and leaves the rest as it is, if it has changed since then.
    """
    done = 0
    for has, wants in STATES:
        while True:
            piece = index.retry(lambda state=(has, wants): _piece(index, node, before, now, *state))  # type: ignore[misc]
            if not piece:
                break
            done += piece
            progress(done, max(of, done))
    return done


def _piece(
    index: Index,
    node: NodeFact,
    before: RecordedMedium | None,
    now: datetime.datetime,
    has: str,
    wants: str,
) -> int:
    if medium_state(index, node.id, lock=True) != before:
        raise Refused(
            f"node {node.name}: a run has used its medium, or it was edited, in the meantime; the other copies were not"
            " changed; see: alpenhorn reconcile --help"
        )
    state = (node.id, has, wants)
    among = "node_id = ? AND has_file = ? AND wants_file = ?"
    last = index.value(
        f"SELECT id FROM archivefilecopy WHERE {among} ORDER BY id LIMIT 1 OFFSET {PIECE}", state
    )
    until, values = ("", state) if last is None else (" AND id <= ?", (*state, last))
    why = Code.DECLARED_LOST(node=node.name)
    at = now.strftime(FORMAT)
    index.execute(
        "INSERT INTO sync_event (at, file_id, node_id, what, why, code)"
        f" SELECT ?, file_id, node_id, 'missing', ?, ? FROM archivefilecopy WHERE {among}{until} ORDER BY id",
        (at, why, str(code_of(why)), *values),
    )
    # A file that is found in its place later may be another one.
    index.execute(
        "DELETE FROM sync_verification WHERE node_id = ? AND file_id IN"
        f" (SELECT file_id FROM archivefilecopy WHERE {among}{until})",
        (node.id, *values),
    )
    return int(
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'N', ready = 0, last_update = ? WHERE {among}{until}",
            (at, *values),
        ).rowcount
    )
