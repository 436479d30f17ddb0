"""Records failed attempts to reach a host, or to find a node on it; all work that needs the host or node waits."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import naive, posix
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Blame
from alpenhorn.outside import text
from alpenhorn.plan.backoff import next_attempt
from alpenhorn.reasons import Code
from alpenhorn.record.attempts import ERROR_LENGTH
from alpenhorn.record.run import Run

KEY = ("host", "kind", "subject_id")
COLUMNS = (*KEY, "count", "last", "next", "code", "error")
HOST_OF = "SELECT host_id FROM storagenode WHERE id = ?"


def host_failed(index: Index, run: Run, source: NodeFact, error: str) -> None:
    """Record that the host of a node could not be reached."""

    def work() -> None:
        host_id = index.value(HOST_OF, (source.id,))
        if host_id is not None:
            _failed(index, run, "host", host_id, Code.HOST_SILENT, error)

    index.retry(work)


def node_failed(index: Index, run: Run, source: NodeFact, error: str) -> None:
    """Record that a node of another host could not be read."""
    index.retry(lambda: _failed(index, run, "node", source.id, Code.SOURCE_UNSEEN, error))


def _failed(index: Index, run: Run, kind: str, subject_id: int, code: Code, error: str) -> None:
    before = index.value(
        "SELECT count FROM sync_backoff WHERE host = ? AND kind = ? AND subject_id = ?",
        (run.host, kind, subject_id),
    )
    count = 1 + (before or 0)
    now = run.now()
    later = naive(next_attempt(count, Blame.NETWORK, posix(now), run.chance(kind, subject_id)))
    index.execute(
        index.upsert("sync_backoff", COLUMNS, KEY, COLUMNS[3:]),
        (run.host, kind, subject_id, count, now, later, code.value, text(error, ERROR_LENGTH)),
    )


def host_answered(index: Index, run: Run, source: NodeFact) -> None:
    index.retry(
        lambda: index.execute(
            "DELETE FROM sync_backoff WHERE host = ? AND kind = 'host' AND subject_id IN (" + HOST_OF + ")",
            (run.host, source.id),
        )
    )


def node_found(index: Index, run: Run, source: NodeFact) -> None:
    index.retry(
        lambda: index.execute(
            "DELETE FROM sync_backoff WHERE host = ? AND kind = 'node' AND subject_id = ?",
            (run.host, source.id),
        )
    )


def forget(index: Index, request_ids: Sequence[int] | None) -> int:
    """Let the next runs try the sources of requests (None: all sources) without delay.

    Returns the number of hosts and nodes that were waited for.
    """

    def work() -> int:
        if request_ids is None:
            return int(index.execute("DELETE FROM sync_backoff").rowcount)
        gone = 0
        for marks, some in in_chunks(request_ids):
            sources = f"SELECT node_from_id FROM archivefilecopyrequest WHERE id IN ({marks})"
            gone += index.execute(
                f"DELETE FROM sync_backoff WHERE kind = 'node' AND subject_id IN ({sources})", some
            ).rowcount
            gone += index.execute(
                "DELETE FROM sync_backoff WHERE kind = 'host' AND subject_id IN"
                f" (SELECT host_id FROM storagenode WHERE id IN ({sources}))",
                some,
            ).rowcount
        return gone

    return index.retry(work)
