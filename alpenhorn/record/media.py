"""Records the state of nodes' media, and of the index itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alpenhorn.errors import Refused
from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import Identity, NodeFact
from alpenhorn.reasons import Reason, code_of
from alpenhorn.record.index_values import COLUMNS, remember
from alpenhorn.record.run import Run
from alpenhorn.record.verified_status import forget_node
from alpenhorn.scan.media import IDENTITY, RESTORED

COMPARE = "compare"
RECONCILE = "reconcile"


def ensure_identity(index: Index, proposed: str) -> str:
    """Return the random id of the index; set it to `proposed` if there is none."""

    def work() -> str:
        index.execute(index.insert_ignore("sync_index", COLUMNS), (IDENTITY, proposed, _now(index)))
        return str(index.value("SELECT value FROM sync_index WHERE name = ?", (IDENTITY,)))

    return index.retry(work)


def take_over(
    index: Index, index_id: str, media: Mapping[int, Identity], runs: Iterable[tuple[int, str]]
) -> None:
    """Give an index that was rebuilt from disks the id on these disks, and record the media as found.

    Part of the transaction of the rebuild.

    `runs`: number and host of the last runs recorded on the disks; their rows are created again, so that new runs get
    higher numbers.

    Raises Refused if runs on this index have already written its own id to media.
    """
    own_id = index.value("SELECT value FROM sync_index WHERE name = ?", (IDENTITY,))
    used = index.value("SELECT COUNT(*) FROM sync_medium WHERE generation > 0")
    if own_id is not None and own_id != index_id and used:
        raise Refused(
            "the disks belong to another index, but runs on this index have already used other disks; start with a new"
            " index"
        )
    remember(index, IDENTITY, index_id, _now(index))
    for number, host in runs:
        index.execute(
            index.insert_ignore(
                "sync_run", ("id", "host", "nodes", "started", "ended", "done", "failed", "bytes")
            ),
            (number, host, "", _now(index), _now(index), 0, 0, 0),
        )
    for node_id, identity in media.items():
        _ensure_row(index, node_id)
        index.execute(
            "UPDATE sync_medium SET medium = ?, generation = ?, word = ? WHERE node_id = ?",
            (identity.medium, identity.generation, identity.word, node_id),
        )


def seen(index: Index, node_ids: Iterable[int]) -> None:
    """Record that nodes were found valid, if they have a row."""

    def work() -> None:
        now = _now(index)
        for marks, some in in_chunks(list(node_ids)):
            index.execute(
                f"UPDATE sync_medium SET seen = ?, wrong = NULL, why = NULL, code = NULL WHERE node_id IN ({marks})",
                (now, *some),
            )

    index.retry(work)


def wrong(index: Index, why: Mapping[int, Reason]) -> None:
    """Record for all hosts that nodes are not valid, and why; the time of the first record is kept."""

    def work() -> None:
        now = _now(index)
        for node_id, text in why.items():
            _ensure_row(index, node_id)
            index.execute(
                "UPDATE sync_medium SET wrong = COALESCE(wrong, ?), why = ?, code = ? WHERE node_id = ?",
                (now, text, str(code_of(text)), node_id),
            )

    index.retry(work)


def intend(index: Index, node_id: int, identity: Identity) -> None:
    """Record the generation that will be written to the node's disk; also the medium, if none was confirmed."""

    def work() -> None:
        _ensure_row(index, node_id)
        index.execute(
            "UPDATE sync_medium SET medium = CASE WHEN generation = 0 THEN ? ELSE medium END,"
            " next_generation = ?, next_word = ? WHERE node_id = ?",
            (identity.medium, identity.generation, identity.word, node_id),
        )

    index.retry(work)


def confirm(index: Index, node_id: int, identity: Identity) -> bool:
    """Record that the disk has the intended generation; return False if the index now intends another."""

    def work() -> bool:
        index.execute(
            "UPDATE sync_medium SET generation = ?, word = ?, next_generation = NULL, next_word = NULL"
            " WHERE node_id = ? AND medium = ? AND next_word = ?",
            (identity.generation, identity.word, node_id, identity.medium, identity.word),
        )
        word = index.value("SELECT word FROM sync_medium WHERE node_id = ?", (node_id,))
        return word is not None and word == identity.word

    return index.retry(work)


def exchanged(index: Index, run: Run, node: NodeFact, identity: Identity, why: Reason) -> int:
    """Record that the node has another medium: make its good copies suspect, and delete its verifications.

    `identity`: the intended identity, which will be written to the medium.  Returns the number of suspect copies.
    """

    def work() -> int:
        index.execute(
            "INSERT INTO sync_event (at, run_id, file_id, node_id, what, why, code)"
            " SELECT ?, ?, file_id, node_id, 'suspect', ?, ? FROM archivefilecopy"
            " WHERE node_id = ? AND has_file = 'Y'",
            (run.now(), run.id, why, str(code_of(why)), node.id),
        )
        index.execute(
            "UPDATE archivefilecopy SET has_file = 'M', last_update = ? WHERE node_id = ? AND has_file = 'Y'",
            (run.now(), node.id),
        )
        index.execute("DELETE FROM sync_verification WHERE node_id = ?", (node.id,))
        forget_node(index, node.id)
        index.execute(
            "UPDATE sync_medium SET medium = ?, generation = 0, word = NULL, next_generation = ?, next_word = ?,"
            " separate = 0, looked = 0, lost = 0, distrust = NULL, changed = ?, changed_why = ? WHERE node_id = ?",
            (identity.medium, identity.generation, identity.word, _now(index), why, node.id),
        )
        return int(
            index.value(
                "SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file = 'M'", (node.id,)
            )
        )

    return index.retry(work)


def distrust(index: Index, node_id: int, how: str, why: str, found: Identity | None = None) -> None:
    """Record that the node's disk is not in the expected state: its copies do not count until they are compared.

    `how`: COMPARE or RECONCILE; `found`: the identity to record as confirmed, None to keep the old one.
    """

    def work() -> None:
        _ensure_row(index, node_id)
        forget_node(index, node_id)
        index.execute(
            "UPDATE sync_medium SET separate = 0, distrust = ?, changed = ?, changed_why = ? WHERE node_id = ?",
            (how, _now(index), why, node_id),
        )
        if found is not None:
            index.execute(
                "UPDATE sync_medium SET medium = ?, generation = ?, word = ?, next_generation = NULL,"
                " next_word = NULL WHERE node_id = ?",
                (found.medium, found.generation, found.word, node_id),
            )

    index.retry(work)


def restored(index: Index, why: str) -> None:
    """Record that the index is older than a disk: suspend deletions, and require all nodes to be seen again."""

    def work() -> None:
        remember(index, RESTORED, why, _now(index))
        index.execute("UPDATE sync_medium SET seen = NULL")

    index.retry(work)


def compared(index: Index, node_ids: Iterable[int]) -> None:
    """Record that all copies of the nodes were compared with the disk, so that they count again."""

    def work() -> None:
        for marks, some in in_chunks(list(node_ids)):
            index.execute(
                f"UPDATE sync_medium SET distrust = NULL WHERE distrust = ? AND node_id IN ({marks})",
                (COMPARE, *some),
            )

    index.retry(work)


def _ensure_row(index: Index, node_id: int) -> None:
    columns = ("node_id", "generation", "separate", "looked", "lost")
    index.execute(index.insert_ignore("sync_medium", columns), (node_id, 0, 0, 0, 0))


def _now(index: Index) -> str:
    return str(index.now().replace(microsecond=0))
