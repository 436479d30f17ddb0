"""Creation, changes and deletion of hosts."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from alpenhorn.edits.rows import Values, change, refuse_taken
from alpenhorn.edits.rows import create as create_row
from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.scan.names import NamedRow


def create(index: Index, values: Values, site: str | None = None) -> None:
    """Create a host.  `values`: columns of storagehost, including `name`.  Raises Refused if the name exists."""
    refuse_taken(index, "storagehost", values["name"])

    def work() -> None:
        # SQLite uses the id of a deleted host again, and another program may have left the row of that one.
        _set_site(index, create_row(index, "storagehost", values), site or "")

    index.retry(work)


def modify(index: Index, host_id: int, values: Values, site: str | None = None) -> bool:
    """Set columns; return whether anything changed.  Raises NotFound if the host was removed.

    `site`: where it is, "" for a site of its own, None: unchanged.
    """

    def work() -> bool:
        changed = change(index, "storagehost", host_id, values, {})
        return (site is not None and _set_site(index, host_id, site)) or changed

    return index.retry(work)


def _set_site(index: Index, host_id: int, site: str) -> bool:
    """Set the site of a host, "" for none of its own; return whether that changed it."""
    before = index.value("SELECT site FROM sync_host WHERE host_id = ?", (host_id,)) or ""
    if site == before:
        return False
    columns = ("host_id", "site")
    index.execute(index.upsert("sync_host", columns, columns[:1], columns[1:]), (host_id, site or None))
    return True


def delete(index: Index, host: NamedRow, take_off: Sequence[int]) -> None:
    """Delete a host; do nothing if it was deleted already.

    `take_off`: ids of nodes to remove from the host, if they are still on it; nothing else about them changes.
    Raises Refused if another node is on it.
    """
    lock = index.dialect.for_update

    def work() -> None:
        # While the host's row is locked, no node can be put on it, since that reads the row under a lock.
        index.execute(f"SELECT id FROM storagehost WHERE id = ?{lock}", (host.id,)).fetchone()
        nodes = index.execute(
            f"SELECT id, name FROM storagenode WHERE host_id = ? ORDER BY id{lock}", (host.id,)
        ).fetchall()
        others = [name for node_id, name in nodes if node_id not in take_off]
        if others:
            raise Refused(
                f"host {host.name}: node {others[0]} was added to it in the meantime; nothing was changed; see:"
                f" alpenhorn host show {quote(host.name)}"
            )
        index.execute("UPDATE storagenode SET host_id = NULL WHERE host_id = ?", (host.id,))
        index.execute("DELETE FROM storagehost WHERE id = ?", (host.id,))
        index.execute("DELETE FROM sync_host WHERE host_id = ?", (host.id,))

    index.retry(work)
