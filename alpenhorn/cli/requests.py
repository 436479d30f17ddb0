"""Columns for the commands on requests."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.cli.columns import ListingColumn, column, number, size, time
from alpenhorn.listings.requests import RequestRow, RequestState
from alpenhorn.reasons import code_in_json


def waits_for(row: RequestRow, held: Mapping[str, str]) -> str | None:
    """Return why a request waits for its source; None if it does not."""
    pending = row.state in (RequestState.PENDING, RequestState.FAILING)
    return held.get(row.node) if pending and row.node is not None else None


def request_columns(held: Mapping[str, str], prioritised: bool = False) -> tuple[ListingColumn, ...]:
    """Return the columns for a RequestRow.

    `held` maps names of nodes to why requests wait for them; `prioritised`: tables show priorities.
    """
    return (
        number("id", "ID"),
        column("path", "File", lambda row: None if row.name is None else row.path, cell="path"),
        column("node", "From node"),
        column("group", "Into group"),
        size("size_b", "Size"),
        column("state", "State", lambda row: row.state.value),
        time("requested", "Requested", "timestamp"),
        column("started"),
        column("ended"),
        number("priority", "Priority" if prioritised else "", cell=lambda row: row.priority or None),
        number("attempts", "Attempts"),
        column("last_attempt"),
        column("next_attempt"),
        column("blame"),
        column("error", "Last error", cell=lambda row: row.error or waits_for(row, held)),
        column("code", value=lambda row: code_in_json(row.error)),
        column("waits", value=lambda row: waits_for(row, held)),
    )
