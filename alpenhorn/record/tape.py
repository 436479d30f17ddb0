"""Records the state of copies that may be on tape only: whether they are ready, and requested restores.

`ready` means that other hosts can read a copy without waiting.  It is cleared before a copy leaves the disk, and set
when the copy was seen there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive, posix
from alpenhorn.model.nodes import NodeFact
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
from alpenhorn.model.tasks import Blame
from alpenhorn.outside import text
from alpenhorn.plan.backoff import next_attempt
from alpenhorn.plan.tape import TapeUpdate, tape_update
from alpenhorn.reasons import Code
from alpenhorn.record import tape_batches
from alpenhorn.record.attempts import ERROR_LENGTH
from alpenhorn.record.copies import once_good
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import Run, events
from alpenhorn.scan.tape import asked_back

COLUMNS = ("node_id", "file_id", "purpose", "state", "tries", "asked", "next", "error")
LEFT = Code.LEFT_TO_TAPE()
NOT_FOUND = Code.NEITHER_ON_DISK_NOR_TAPE()
LEFT_EARLY = Code.LEFT_DISK_BEFORE_CHECK()


class _CopyNow(NamedTuple):
    """A copy's row in the transaction that records its place."""

    copy_id: int
    has_file: str
    ready: bool


def clear_ready(index: Index, run: Run, files: Sequence[TapeFile]) -> None:
    """Clear `ready` of copies that are about to leave the disk, so that no host starts to read them."""
    if files:
        index.retry(lambda: _set_ready(index, run, files, False))


def set_ready(index: Index, run: Run, files: Sequence[TapeFile]) -> None:
    """Set `ready` of copies that did not leave the disk."""
    if files:
        index.retry(lambda: _set_ready(index, run, files, True))


def record_on_tape(index: Index, run: Run, node_id: int, file_ids: Sequence[int]) -> None:
    """Record that copies were found on tape only when they were to be read."""

    def work() -> None:
        for marks, some in in_chunks(file_ids):
            index.execute(
                "UPDATE archivefilecopy SET ready = 0, last_update = ?"
                f" WHERE ready = 1 AND node_id = ? AND file_id IN ({marks})",
                (run.now(), node_id, *some),
            )
            index.execute(
                "UPDATE sync_restore SET state = 'failed', next = ?, error = ?"
                f" WHERE state = 'back' AND node_id = ? AND file_id IN ({marks})",
                (run.now(), LEFT_EARLY, node_id, *some),
            )

    if file_ids:
        index.retry(work)


def checked(index: Index, node_id: int, file_ids: Sequence[int]) -> int:
    """Record that copies were read; return the number of those that had been restored from tape for that."""

    def work() -> int:
        return sum(
            int(
                index.execute(
                    "UPDATE sync_restore SET state = 'checked'"
                    f" WHERE state = 'back' AND node_id = ? AND file_id IN ({marks})",
                    (node_id, *some),
                ).rowcount
            )
            for marks, some in in_chunks(file_ids)
        )

    return index.retry(work) if file_ids else 0


def forget(index: Index, node_id: int, file_ids: Sequence[int]) -> None:
    """Delete the restores of copies that are no longer needed."""

    def work() -> None:
        for marks, some in in_chunks(file_ids):
            index.execute(
                f"DELETE FROM sync_restore WHERE node_id = ? AND file_id IN ({marks})", (node_id, *some)
            )

    if file_ids:
        index.retry(work)


def compared(index: Index, node_id: int, copy_id: int) -> None:
    """Record the last copy that was compared with the tape."""
    columns = ("node_id", "compared", "event_id", "files")
    index.retry(
        lambda: index.executemany(
            index.upsert("sync_node", columns, ("node_id",), ("compared",)), [(node_id, copy_id, 0, 0)]
        )
    )


def settle(
    index: Index,
    run: Run,
    node: NodeFact,
    verb: TapeAction,
    results: Sequence[TapeResult],
    asked: Mapping[int, RestoreCandidate],
    restore_wait: float,
) -> None:
    """Record whether files are on disk or on tape.

    `asked`: restores requested just now, by file id; `restore_wait`: seconds until a restore is looked at again.
    Nothing is recorded if the node was moved in the meantime.
    """

    def work() -> None:
        if not node_unmoved(index, node):
            return
        rows = {fact.file.file_id: fact for fact in asked_back(index, node.id)}
        now = _now(index, [result.file.copy_id for result in results])
        decided = [
            (result, tape_update(verb, result, rows.get(result.file.file_id)))
            for result in results
            if result.file.copy_id in now
        ]
        for ready in (True, False):
            files = [result.file for result, then in decided if then.ready is ready]
            changed = [file for file in files if now[file.copy_id].ready is not ready]
            _change_ready(index, run, node, changed, ready)
        left = [result.file for result, then in decided if verb is TapeAction.LEAVE and then.ready is False]
        events(index, run, "left to tape", [(file.file_id, node.id, LEFT) for file in left])
        disk_only = [result.file.file_id for result, _ in decided if result.where is Location.DISK]
        tape_batches.collect_again(index, run, node, disk_only)
        suspect = [result.file for result, then in decided if then.suspect]
        _suspect(index, run, node, [file for file in suspect if now[file.copy_id].has_file == "Y"])
        over = {result.file.file_id for result, then in decided if then.state is None}
        forget(index, node.id, sorted(over & rows.keys()))
        _write(index, run, node, decided, rows, asked, restore_wait)

    index.retry(work)


def _now(index: Index, copy_ids: Sequence[int]) -> dict[int, _CopyNow]:
    """Return the copies that are still in the index; the rows are locked until the transaction ends."""
    lock = index.dialect.for_update
    found: dict[int, _CopyNow] = {}
    for marks, some in in_chunks(copy_ids):
        sql = f"SELECT id AS copy_id__id, has_file, ready FROM archivefilecopy WHERE id IN ({marks}){lock}"
        found.update((copy.copy_id, copy) for copy in index.facts(_CopyNow, sql, some, ready=bool))
    return found


def _change_ready(index: Index, run: Run, node: NodeFact, files: Sequence[TapeFile], ready: bool) -> None:
    _set_ready(index, run, files, ready)
    why = Code.COPY_READY() if ready else Code.COPY_ON_TAPE_ONLY()
    events(index, run, "ready" if ready else "not ready", [(file.file_id, node.id, why) for file in files])


def _set_ready(index: Index, run: Run, files: Sequence[TapeFile], ready: bool) -> None:
    for marks, some in in_chunks([file.copy_id for file in files]):
        index.execute(
            f"UPDATE archivefilecopy SET ready = ?, last_update = ? WHERE ready <> ? AND id IN ({marks})",
            (int(ready), run.now(), int(ready), *some),
        )


def _suspect(index: Index, run: Run, node: NodeFact, files: Sequence[TapeFile]) -> None:
    once_good(index, node.id, [file.file_id for file in files])
    for marks, some in in_chunks([file.copy_id for file in files]):
        index.execute(
            f"UPDATE archivefilecopy SET has_file = 'M', last_update = ? WHERE id IN ({marks})",
            (run.now(), *some),
        )
    events(index, run, "suspect", [(file.file_id, node.id, NOT_FOUND) for file in files])


def _write(
    index: Index,
    run: Run,
    node: NodeFact,
    decided: Sequence[tuple[TapeResult, TapeUpdate]],
    rows: Mapping[int, RestoreFact],
    asked: Mapping[int, RestoreCandidate],
    restore_wait: float,
) -> None:
    now = run.now()
    rng = run.chance("tape", node.id)
    for just_asked in (True, False):
        values = []
        for result, then in decided:
            file_id = result.file.file_id
            if then.state is None or then.as_it_is or (file_id in asked) is not just_asked:
                continue
            row = rows.get(file_id)
            if just_asked:
                tries, purpose = asked[file_id].tries + 1, asked[file_id].purpose
            else:
                tries, purpose = (row.tries, row.purpose) if row else (0, Purpose.CHECK)
            wait = posix(now) + restore_wait
            if then.state is RestoreState.FAILED:
                wait = next_attempt(max(1, tries), Blame.UNKNOWN, posix(now), rng)
            error = text(then.error, ERROR_LENGTH)
            values.append((node.id, file_id, purpose, then.state, tries, now, naive(wait), error))
        # The time of the last request changes only if there was a new one.
        update = [column for column in COLUMNS[2:] if just_asked or column != "asked"]
        index.executemany(index.upsert("sync_restore", COLUMNS, COLUMNS[:2], update), values)
