"""What the commands on requests share."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.listings.requests import RequestRow, RequestState
from alpenhorn.reasons import code_in_json


def waits_for(row: RequestRow, held: Mapping[str, str]) -> str | None:
    """Why a request waits for its source; None where it does not."""
    pending = row.state in (RequestState.PENDING, RequestState.FAILING)
    return held.get(row.node) if pending and row.node is not None else None


def request_document(row: RequestRow, held: Mapping[str, str]) -> dict[str, object]:
    return {
        "id": row.id,
        "path": None if row.name is None else row.path,
        "node": row.node,
        "group": row.group,
        "size_b": row.size_b,
        "state": row.state.value,
        "requested": row.timestamp,
        "started": row.started,
        "ended": row.ended,
        "attempts": row.attempts,
        "last_attempt": row.last_attempt,
        "next_attempt": row.next_attempt,
        "blame": row.blame,
        "error": row.error,
        "code": code_in_json(row.error),
        "waits": waits_for(row, held),
    }
