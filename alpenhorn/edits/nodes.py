"""Creation and changes of nodes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from shlex import quote
from typing import NamedTuple

from alpenhorn.edits import imports as import_requests
from alpenhorn.edits.rows import TextEdit, Values, change, refuse_taken
from alpenhorn.edits.rows import create as create_row
from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.plan.roots import Root, first_overlap
from alpenhorn.record import separate
from alpenhorn.record.manifest import distrust

# After a change of one of these columns, the node's disk may have been changed elsewhere.
OUT_OF_SIGHT = {"active", "host_id", "root"}
# After a change of one of these columns, copies may be hard links or clones of other files.
LINKABLE = {"archive", "host_id", "root"}


class Edited(NamedTuple):
    """`changed`: whether anything about the node changed; `requested`: whether its initialisation was requested."""

    changed: bool
    requested: bool


def create(
    index: Index,
    values: Values,
    now: datetime.datetime,
    *,
    group_id: int | None,
    initialise: bool = False,
    absent_ok: int | None = None,
    top_acq: str | None = None,
    site: str | None = None,
    real: Mapping[str, str] | None = None,
) -> None:
    """Create a node, in one transaction.

    `values`: columns of storagenode without the group.  `group_id` None: create a group with the node's name.
    `initialise`: create the request for its initialisation.  `absent_ok`, `top_acq`, `site`: as in `modify`.  `real`:
    resolved paths of roots on its host, as far as known.

    Raises Refused if one of the names exists, or if the roots of two active nodes would overlap; NotFound if the host
    was removed.
    """
    refuse_taken(index, "storagenode", values["name"])
    if group_id is None:
        refuse_taken(index, "storagegroup", values["name"])

    def work() -> None:
        _require_host(index, values)
        group = create_row(index, "storagegroup", {"name": values["name"]}) if group_id is None else group_id
        node = create_row(index, "storagenode", {**values, "group_id": group})
        _refuse_overlap(index, node, real or {})
        _set_own(index, node, absent_ok, top_acq, site)
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
    absent_ok: int | None = None,
    top_acq: str | None = None,
    site: str | None = None,
    real: Mapping[str, str] | None = None,
) -> Edited:
    """Set columns of a node, and apply `edits` to the values of others, in one transaction.

    `new_group`: create a group of that name, and move the node there.  `initialise`: create the request for its
    initialisation, unless there is one.  `absent_ok`: number of days for which it may be absent without a complaint,
    0 for none, None: unchanged.  `top_acq`: acquisition into which files at the top of its root are moved, "" for none,
    None: unchanged.  `site`: where its storage is, "" for the site of its host, None: unchanged.  `real`: resolved
    paths of roots on its host, as far as known.

    Raises NotFound if the node or the host was removed; Refused if the group's name exists, or if the roots of two
    active nodes would overlap; and the errors of edits.
    """
    if new_group and index.execute("SELECT id FROM storagegroup WHERE name = ?", (new_group,)).fetchone():
        raise Refused(
            f"group {new_group!r}: exists already; nothing was changed (to move the node there: --group)"
        )

    def work() -> Edited:
        _require_host(index, values)
        group = {"group_id": create_row(index, "storagegroup", {"name": new_group})} if new_group else {}
        changed = change(index, "storagenode", node_id, {**values, **group}, edits)
        own = _set_own(index, node_id, absent_ok, top_acq, site)
        if changed and not OUT_OF_SIGHT.isdisjoint(values):
            distrust(index, [node_id])
            _refuse_overlap(index, node_id, real or {})
        if changed and not LINKABLE.isdisjoint(values):
            separate.forget(index, [node_id])
        request = import_requests.initialisation(node_id)
        return Edited(changed or own, initialise and import_requests.file_within(index, request, now))

    return index.retry(work)


class _OwnSettings(NamedTuple):
    absent_ok: int | None = None
    top_acq: str | None = None
    site: str | None = None


def _set_own(
    index: Index, node_id: int, absent_ok: int | None, top_acq: str | None, site: str | None
) -> bool:
    """Set the settings of a node in alpenhorn's own table; return whether that changed any.  None: leave one."""
    sql = "SELECT absent_ok, top_acq, site FROM sync_node WHERE node_id = ?"
    before = index.fact(_OwnSettings, sql, (node_id,)) or _OwnSettings()
    wanted = _OwnSettings(
        before.absent_ok if absent_ok is None else absent_ok or None,
        before.top_acq if top_acq is None else top_acq or None,
        before.site if site is None else site or None,
    )
    if wanted == before:
        return False
    columns = ("node_id", "compared", "event_id", "files", *_OwnSettings._fields)
    index.execute(
        index.upsert("sync_node", columns, ("node_id",), _OwnSettings._fields), (node_id, 0, 0, 0, *wanted)
    )
    return True


def _refuse_overlap(index: Index, node_id: int, real: Mapping[str, str]) -> None:
    """Raise Refused if roots overlap, since one copy would be found, and counted, on two nodes.

    Only active nodes matter: transport disks may be mounted in turn at the same place.
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
            f"{found}, and both would be active on host {host}; nothing was changed; set another root with --root"
            f" DIR, or first run: alpenhorn node deactivate {quote(found.other.node)}"
        )


def _require_host(index: Index, values: Values) -> None:
    """Lock the host of a node; otherwise it could be deleted at the same time, and the node's host would be missing."""
    host_id = values.get("host_id")
    lock = index.dialect.in_share_mode
    if (
        host_id is not None
        and not index.execute(f"SELECT id FROM storagehost WHERE id = ?{lock}", (host_id,)).fetchone()
    ):
        raise NotFound("the host was removed in the meantime; nothing was changed; see: alpenhorn host list")
