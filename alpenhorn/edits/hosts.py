"""Hosts created, changed and deleted."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.edits.rows import Values, change, refuse_taken
from alpenhorn.edits.rows import create as create_row
from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.scan.names import NamedRow


def create(index: Index, values: Values) -> None:
    """`values`: columns of storagehost, `name` among them.  Raises Refused when the name is taken."""
    refuse_taken(index, "storagehost", values["name"])
    index.retry(lambda: create_row(index, "storagehost", values))


def modify(index: Index, host_id: int, values: Values) -> bool:
    """Set those columns; return whether anything differed.  Raises NotFound when the host is gone."""
    return index.retry(lambda: change(index, "storagehost", host_id, values, {}))


def delete(index: Index, host: NamedRow, take_off: Sequence[int]) -> None:
    """Delete a host; one that is gone already is no error.

    `take_off`: ids of the nodes that are taken off it, where they are on it still; nothing else of them changes.
    Raises Refused when another node is on it.
    """
    lock = index.dialect.for_update

    def work() -> None:
        # With the host's row locked no node can be put on it: who does that has to look whether it is there.
        index.execute(f"SELECT id FROM storagehost WHERE id = ?{lock}", (host.id,)).fetchone()
        nodes = index.execute(
            f"SELECT id, name FROM storagenode WHERE host_id = ? ORDER BY id{lock}", (host.id,)
        ).fetchall()
        others = [name for node_id, name in nodes if node_id not in take_off]
        if others:
            raise Refused(
                f"node {others[0]} was put on host {host.name} meanwhile; nothing was changed; look at it:"
                f" alpenhorn host show {host.name}"
            )
        index.execute("UPDATE storagenode SET host_id = NULL WHERE host_id = ?", (host.id,))
        index.execute("DELETE FROM storagehost WHERE id = ?", (host.id,))

    index.retry(work)
