"""Which archive nodes hold copies that may be counted when another copy is to go, and why the others do not.

A row that says Y is a memory of what somebody saw once.  It counts only as long as the medium that it speaks of was
seen, lately, in the state in which the index left it; and one medium counts once, whatever number of nodes lie on it.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.model.deletions import Evidence
from alpenhorn.reasons import Why

# The node itself, whatever it is, and all nodes that may hold keepers; with why the index is older than the disks.
NODES = """
    SELECT n.id, n.name, n.group_id, n.active, n.archive, n.root, h.name AS host__name,
           (SELECT value FROM sync_index WHERE name = 'restored') AS restored__value,
           m.medium, m.seen, m.wrong, m.why, m.distrust, m.separate
    FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN sync_medium m ON m.node_id = n.id
    WHERE n.id = ? OR (n.active = 1 AND n.archive = 1) ORDER BY n.id
"""

# Good copies of one file on other archive nodes: (node id, whether it is wanted gone)
Good = tuple[tuple[int, bool], ...]


class _KeeperRow(NamedTuple):
    """`medium`, `seen`, `wrong`, `why`, `distrust` and `separate` are None of a node that no run has seen."""

    id: int
    name: str
    group_id: int
    active: bool
    archive: bool
    root: str | None
    host: str | None
    restored: str | None
    medium: str | None
    seen: Any
    wrong: Any
    why: str | None
    distrust: str | None
    separate: bool | None
    fault: Why = ""


class CountedCopies(NamedTuple):
    """`others` and `released`: (node id, name) of the copies that count; `uncounted`: name and reason of the rest."""

    others: tuple[tuple[int, str], ...]
    released: tuple[tuple[int, str], ...]
    uncounted: tuple[str, ...]


class KeeperNodes:
    """The active archive nodes beside one node, with what speaks for and against the copies on each.

    `group_id`, `archive`, `host` and `root` are those of the node itself, `active` False also when it is not there.
    `restored`: why the index is older than the disks, "" when it is not; `now`: the time of the index's server.
    """

    def __init__(self, index: Index, node_id: int, evidence: Evidence) -> None:
        self.active = False
        self.archive = False
        self.group_id = 0
        self.host: str | None = None
        self.root: str | None = None
        self.names: dict[int, str] = {}
        self._name = ""
        self._medium: str | None = None
        self._media: dict[int, str | None] = {}
        self._unfit: dict[int, str] = {}
        self._judged: dict[Good, CountedCopies] = {}
        self.restored = ""
        rows = index.facts(_KeeperRow, NODES, (node_id,), active=bool, archive=bool)
        self.now = index.now()
        for row in rows:
            if row.id == node_id:
                self.active, self.archive, self.group_id = row.active, row.archive, row.group_id
                self.host, self.root = row.host, row.root
                self.restored = row.restored or ""
                self._name, self._medium = row.name, row.medium
            else:
                self.names[row.id] = row.name
                self._media[row.id] = row.medium
                self._unfit[row.id] = (
                    evidence.absent.get(row.id, "") or row.fault or _unfit(row, self.now, evidence)
                )

    def counted(self, good: Good) -> CountedCopies:
        """Judge the good copies of one file on the nodes of `names`, in the order of the nodes."""
        judged = self._judged.get(good)
        if judged is None:
            judged = self._judged[good] = self._judge(good)
        return judged

    def _judge(self, good: Good) -> CountedCopies:
        others: list[tuple[int, str]] = []
        released: list[tuple[int, str]] = []
        uncounted: list[str] = []
        # The copy that goes lies on a medium as well: nothing on that is left behind for certain.
        used = {self._medium: self._name} if self._medium else {}
        # Of two nodes on one medium that counts whose copy stays.
        for id, leaving in sorted(good, key=lambda copy: copy[1]):
            name, medium = self.names[id], self._media[id]
            if self._unfit[id]:
                uncounted.append(f"{name}: {self._unfit[id]}")
            elif medium and medium in used:
                uncounted.append(f"{name}: its medium is that of {used[medium]}")
            else:
                if medium:
                    used[medium] = name
                (released if leaving else others).append((id, name))
        return CountedCopies(tuple(others), tuple(released), tuple(uncounted))


def _unfit(node: _KeeperRow, now: datetime.datetime, evidence: Evidence) -> str:
    """Why no copy on a node counts, "" when they do."""
    remedy = f" (alpenhorn sync on host {node.host} sees it)" if node.host else ""
    if node.wrong is not None:
        return f"left out since {_told(node.wrong)}: {node.why or 'it was not found right'}"
    if node.distrust is not None:
        if node.distrust == "compare":
            return f"not compared with the disk yet{remedy}"
        return "the index is older than its disk (run: alpenhorn reconcile)"
    if node.medium is None:
        # Its copies may share their bytes with anything: that is what is trusted then.
        return "" if evidence.trust_unseen else f"never seen by a run{remedy}"
    last = moment(node.seen)
    if last is None:
        return f"not seen yet{remedy}"
    ago = (now - last).total_seconds()
    if ago < 0:
        return f"seen at {_told(node.seen)}, which is in the future{remedy}"
    if ago > evidence.seen_within:
        return f"not seen since {_told(node.seen)}{remedy}"
    if not node.separate:
        return f"its copies may share their bytes with other names{remedy}"
    return ""


def _told(value: object) -> str:
    when = moment(value)
    # Not strftime, which leaves the zeros of a year before 1000 out.
    return f"an unknown time ({value!r})" if when is None else f"{when.isoformat(' ', 'minutes')} UTC"
