"""Records the way of copies to tape: collected, in a batch, verified on tape.

    collecting → asked (recorded before the batch is begun) → on tape, or collecting again

A batch is recorded before it is begun, so that no batch is unknown to the index.  One that was recorded and not begun,
because the run was killed in between, is found to have failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model.nodes import NodeFact, may_have_tape
from alpenhorn.model.tape_batches import BatchResult, CollectedFile, CollectState
from alpenhorn.model.tasks import Blame
from alpenhorn.outside import text
from alpenhorn.plan.backoff import next_attempt
from alpenhorn.reasons import Code, code_of
from alpenhorn.record.attempts import ERROR_LENGTH
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import Run, events
from alpenhorn.scan import tape_batches as scan

COLUMNS = (
    "node_id",
    "file_id",
    "state",
    "batch",
    "since",
    "tries",
    "next",
    "error",
    "code",
    "md5sum",
    "medium",
)
FRESH = """
    UPDATE sync_tape SET state = 'collecting', since = ?, tries = 0, next = ?, error = '', code = NULL, batch = ''
    WHERE node_id = ? AND state = 'on tape'
"""
GONE = """
    SELECT t.file_id FROM sync_tape t
    LEFT JOIN archivefilecopy c ON c.file_id = t.file_id AND c.node_id = t.node_id
    WHERE t.node_id = ? AND t.state = 'collecting' AND (c.id IS NULL OR c.has_file = 'N')
"""


def record_classes(index: Index, run: Run, nodes: Sequence[tuple[NodeFact, bool]]) -> None:
    """Record, for the runs of all hosts, on which nodes of this host copies count only once they are on tape.

    `nodes`: each with whether that is so.  What a class had put on tape is verified again when the node gets it back.
    """
    recorded = scan.recorded_classes(index, [node.id for node, _ in nodes])
    columns = ("node_id", "compared", "event_id", "files", "tape_class", "needs_tape")
    for node, needs_tape in nodes:
        io_class, needs = (node.io_class, needs_tape) if may_have_tape(node.io_class) else (None, None)
        was, needed = recorded.get(node.id, (None, None))
        if (was, needed) == (io_class, needs):
            continue

        def work(node_id: int = node.id, values: tuple[object, ...] = (io_class, needs)) -> None:
            now = run.now()
            sql = index.upsert("sync_node", columns, columns[:1], columns[4:])
            index.executemany(sql, [(node_id, 0, 0, 0, *values)])
            index.execute(FRESH, (now, now, node_id))

        index.retry(work)


def collect(index: Index, run: Run, node: NodeFact) -> None:
    """Collect the good copies of a node that are not collected yet, and forget the collected ones that are gone."""

    def forget_gone() -> None:
        forget(index, node, index.values(GONE, (node.id,)))

    def add(file_ids: Sequence[int]) -> None:
        now = run.now()
        for marks, some in in_chunks(file_ids):
            rows = f"SELECT ?, id, 'collecting', '', ?, 0, ?, '', NULL, '', '' FROM archivefile WHERE id IN ({marks})"
            sql = index.upsert_from("sync_tape", COLUMNS, rows, COLUMNS[:2], COLUMNS[:1])
            index.execute(sql, (node.id, now, now, *some))

    index.retry(forget_gone)
    for page in scan.to_collect(index, node.id):
        index.retry(partial(add, [copy.file_id for copy in page]))


def begin(
    index: Index, run: Run, node: NodeFact, batch: str, files: Sequence[CollectedFile]
) -> list[CollectedFile]:
    """Record that a batch is about to be begun; return the files in it.

    Files whose copies are no longer good, or were released or claimed for deletion meanwhile, are left out; if the node
    was moved, all are.
    """

    def work() -> list[CollectedFile]:
        if not node_unmoved(index, node, active=True):
            return []
        lock = index.dialect.for_update
        good: set[int] = set()
        for marks, some in in_chunks([file.copy_id for file in files]):
            sql = (
                "SELECT file_id FROM archivefilecopy"
                f" WHERE has_file = 'Y' AND wants_file <> 'N' AND id IN ({marks}){lock}"
            )
            good.update(index.values(sql, some))
        chosen = [file for file in files if file.file_id in good]
        for marks, some in in_chunks([file.file_id for file in chosen]):
            index.execute(
                "UPDATE sync_tape SET state = 'asked', batch = ?"
                f" WHERE node_id = ? AND state = 'collecting' AND file_id IN ({marks})",
                (batch, node.id, *some),
            )
        return chosen

    return index.retry(work)


def withdraw(index: Index, node: NodeFact, batch: str) -> None:
    """Record that the files of a batch that was not begun are collected, as before."""
    sql = "UPDATE sync_tape SET state = 'collecting', batch = '' WHERE node_id = ? AND state = 'asked' AND batch = ?"
    index.retry(lambda: index.execute(sql, (node.id, batch)))


def settle(
    index: Index, run: Run, node: NodeFact, batch: str, results: Sequence[BatchResult]
) -> list[BatchResult]:
    """Record which files of a batch are on tape; the others are collected again after a while.

    Nothing is recorded if the node was moved meanwhile, or for files that are in another batch by now.  Returns the
    recorded results.
    """

    def work() -> list[BatchResult]:
        if not results or not node_unmoved(index, node):
            return []
        still = set()
        lock = index.dialect.for_update
        for marks, some in in_chunks([result.file.file_id for result in results]):
            sql = (
                "SELECT file_id FROM sync_tape"
                f" WHERE node_id = ? AND state = 'asked' AND batch = ? AND file_id IN ({marks}){lock}"
            )
            still.update(index.values(sql, (node.id, batch, *some)))
        current = [result for result in results if result.file.file_id in still]
        medium = index.value("SELECT medium FROM sync_medium WHERE node_id = ?", (node.id,)) or ""
        now, rng = run.now(), run.chance("tape batch", node.id)
        rows: list[tuple[object, ...]] = []
        for result in current:
            file = result.file
            state: tuple[object, ...]
            if result.on_tape:
                state = (str(CollectState.ON_TAPE), batch, now, 0, now, "", None, file.md5sum, medium)
            else:
                tries = file.tries + 1
                wait = next_attempt(tries, Blame.UNKNOWN, posix(now), rng)
                error = text(result.error, ERROR_LENGTH)
                since = run.at(file.since)
                code = str(code_of(result.error))
                state = (str(CollectState.COLLECTING), "", since, tries, run.at(wait), error, code, "", "")
            rows.append((node.id, file.file_id, *state))
        index.executemany(index.upsert("sync_tape", COLUMNS, COLUMNS[:2], COLUMNS[2:]), rows)
        why = Code.PUT_ON_TAPE(batch=batch)
        events(index, run, "on tape", [(one.file.file_id, node.id, why) for one in current if one.on_tape])
        return current

    return index.retry(work)


def collect_again(index: Index, run: Run, node: NodeFact, file_ids: Sequence[int]) -> None:
    """Record that copies may not be on tape any more, in the transaction that records why; they are verified again."""
    if may_have_tape(node.io_class):
        now = run.now()
        for marks, some in in_chunks(file_ids):
            index.execute(f"{FRESH} AND file_id IN ({marks})", (now, now, node.id, *some))


def forget(index: Index, node: NodeFact, file_ids: Sequence[int]) -> int:
    """Delete the rows of copies that are gone; return their number."""
    if not may_have_tape(node.io_class):
        return 0
    return sum(
        int(
            index.execute(
                f"DELETE FROM sync_tape WHERE node_id = ? AND file_id IN ({marks})", (node.id, *some)
            ).rowcount
        )
        for marks, some in in_chunks(file_ids)
    )
