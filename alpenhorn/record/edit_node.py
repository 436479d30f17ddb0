"""Nodes created and changed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.record import import_requests
from alpenhorn.record.manifest import distrust
from alpenhorn.record.rows import TextEdit, Values, change, refuse_taken
from alpenhorn.record.rows import create as create_row

# Whoever changes one of these may have the node's disk in hand.
OUT_OF_SIGHT = {"active", "host_id", "root"}


class Edited(NamedTuple):
    """`changed`: whether anything of the node differed; `requested`: whether its initialisation was requested."""

    changed: bool
    requested: bool


def create(
    index: Index, values: Values, now: datetime.datetime, *, group_id: int | None, initialise: bool = False
) -> None:
    """`values`: columns of storagenode without the group.  `group_id` None makes a group of the node's name.
    `initialise` files the request for it.

    All of it or nothing.  Raises Refused when one of the names is taken, NotFound when the host is gone.
    """
    refuse_taken(index, "storagenode", values["name"])
    if group_id is None:
        refuse_taken(index, "storagegroup", values["name"])

    def work() -> None:
        _require_host(index, values)
        group = create_row(index, "storagegroup", {"name": values["name"]}) if group_id is None else group_id
        node = create_row(index, "storagenode", {**values, "group_id": group})
        if initialise:
            import_requests.file_within(index, import_requests.initialisation(node), now)

    index.retry(work)


def modify(
    index: Index,
    node_id: int,
    values: Values,
    edits: Mapping[str, TextEdit],
    now: datetime.datetime,
    *,
    new_group: str = "",
    initialise: bool = False,
) -> Edited:
    """Set columns, and change those in `edits` from what they are.  `new_group`: make a group of that name, and move
    the node there.  `initialise` files the request for it, unless there is one.

    All of it or nothing.  Raises NotFound when the node or the host is gone, Refused when the group's name is
    taken, and what an edit raises.
    """
    if new_group and index.execute("SELECT id FROM storagegroup WHERE name = ?", (new_group,)).fetchone():
        raise Refused(
            f"there is a group called {new_group!r} already; nothing was changed (to move the node there: --group)"
        )

    def work() -> Edited:
        _require_host(index, values)
        group = {"group_id": create_row(index, "storagegroup", {"name": new_group})} if new_group else {}
        changed = change(index, "storagenode", node_id, {**values, **group}, edits)
        if changed and not OUT_OF_SIGHT.isdisjoint(values):
            distrust(index, [node_id])
        request = import_requests.initialisation(node_id)
        return Edited(changed, initialise and import_requests.file_within(index, request, now))

    return index.retry(work)


def _require_host(index: Index, values: Values) -> None:
    """Keep the host that a node is put on from being deleted at the same moment, which would leave the node on a host
    that is not there."""
    host_id = values.get("host_id")
    lock = "" if index.sqlite else " LOCK IN SHARE MODE"
    if (
        host_id is not None
        and not index.execute(f"SELECT id FROM storagehost WHERE id = ?{lock}", (host_id,)).fetchone()
    ):
        raise NotFound("the host was removed meanwhile; nothing was changed; see: alpenhorn host list")
