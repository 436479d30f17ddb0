"""Nodes created and changed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.edits import imports as import_requests
from alpenhorn.edits.rows import TextEdit, Values, change, refuse_taken
from alpenhorn.edits.rows import create as create_row
from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.plan.roots import Root, first_overlap
from alpenhorn.record import separate
from alpenhorn.record.manifest import distrust

# Whoever changes one of these may have the node's disk in hand.
OUT_OF_SIGHT = {"active", "host_id", "root"}
# After a change of one of these its copies may share their bytes with other names.
LINKABLE = {"archive", "host_id", "root"}


class Edited(NamedTuple):
    """`changed`: whether anything of the node differed; `requested`: whether its initialisation was requested."""

    changed: bool
    requested: bool


def create(
    index: Index,
    values: Values,
    now: datetime.datetime,
    *,
    group_id: int | None,
    initialise: bool = False,
    real: Mapping[str, str] | None = None,
) -> None:
    """`values`: columns of storagenode without the group.  `group_id` None makes a group of the node's name.
    `initialise` files the request for it.  `real`: where roots on its host lead, as far as that is known.

    All of it or nothing.  Raises Refused when one of the names is taken, or when its root and that of another node,
    both active, overlap; NotFound when the host is gone.
    """
    refuse_taken(index, "storagenode", values["name"])
    if group_id is None:
        refuse_taken(index, "storagegroup", values["name"])

    def work() -> None:
        _require_host(index, values)
        group = create_row(index, "storagegroup", {"name": values["name"]}) if group_id is None else group_id
        node = create_row(index, "storagenode", {**values, "group_id": group})
        _refuse_overlap(index, node, real or {})
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
    real: Mapping[str, str] | None = None,
) -> Edited:
    """Set columns, and change those in `edits` from what they are.  `new_group`: make a group of that name, and move
    the node there.  `initialise` files the request for it, unless there is one.  `real`: where roots on its host lead,
    as far as that is known.

    All of it or nothing.  Raises NotFound when the node or the host is gone, Refused when the group's name is
    taken or when its root and that of another node, both active, overlap by this edit, and what an edit raises.
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
            _refuse_overlap(index, node_id, real or {})
        if changed and not LINKABLE.isdisjoint(values):
            separate.forget(index, [node_id])
        request = import_requests.initialisation(node_id)
        return Edited(changed, initialise and import_requests.file_within(index, request, now))

    return index.retry(work)


def _refuse_overlap(index: Index, node_id: int, real: Mapping[str, str]) -> None:
    """Keep one copy from being found, and counted, on two nodes.

    Only active nodes are in each other's way: disks that travel are mounted at one place, one after the other.
    """
    row = index.execute(
        "SELECT n.name, n.root, h.id, h.name FROM storagenode n JOIN storagehost h ON h.id = n.host_id"
        " WHERE n.id = ? AND n.active <> 0 AND n.root <> ''",
        (node_id,),
    ).fetchone()
    if row is None:
        return
    name, root, host_id, host = row
    lock = index.dialect.in_share_mode
    others = index.facts(
        Root,
        "SELECT name AS node__name, root AS path__root FROM storagenode"
        " WHERE host_id = ? AND active <> 0 AND root <> '' AND id <> ?"
        f" ORDER BY name{lock}",
        (host_id, node_id),
    )
    found = first_overlap(Root(name, root), others, real)
    if found:
        raise Refused(
            f"{found}, and both would be active on host {host}; nothing was changed; give it another root with --root"
            f" DIR, or first: alpenhorn node deactivate {found.other.node}"
        )


def _require_host(index: Index, values: Values) -> None:
    """Keep the host that a node is put on from being deleted at the same moment, which would leave the node on a host
    that is not there."""
    host_id = values.get("host_id")
    lock = index.dialect.in_share_mode
    if (
        host_id is not None
        and not index.execute(f"SELECT id FROM storagehost WHERE id = ?{lock}", (host_id,)).fetchone()
    ):
        raise NotFound("the host was removed meanwhile; nothing was changed; see: alpenhorn host list")
