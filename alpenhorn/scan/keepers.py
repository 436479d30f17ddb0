"""Archive nodes whose copies count as keepers when another copy is to be deleted, and why others do not count.

A row with has_file Y only records what was once seen.  It counts only if its medium was seen recently, in the expected
state; and each medium counts once, even if several nodes are on it.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import may_have_tape
from alpenhorn.model.policies import CopyPlace
from alpenhorn.reasons import Why
from alpenhorn.scan.topology import SITE

# All nodes, why the index is older than the disks, and the number of policies.
EVERY_NODE = f"""
    SELECT n.id, n.name, n.group_id, n.active, n.archive, n.root, h.name AS host__name,
           (SELECT value FROM sync_index WHERE name = 'restored') AS restored__value,
           (SELECT COUNT(*) FROM sync_policy) AS policies__count,
           m.medium, m.seen, m.wrong, m.why, m.distrust, m.separate, {SITE} AS site, n.io_class,
           s.tape_class, s.needs_tape,
           r.id IS NOT NULL AS retired
    FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN sync_medium m ON m.node_id = n.id
    LEFT JOIN sync_node s ON s.node_id = n.id LEFT JOIN sync_host t ON t.host_id = n.host_id
    LEFT JOIN sync_retirement r ON r.node_id = n.id AND r.cancelled <> 1
"""
# The node itself, and all nodes that may have keepers.
NODES = f"{EVERY_NODE} WHERE n.id = ? OR (n.active = 1 AND n.archive = 1) ORDER BY n.id"


class KeeperCopy(NamedTuple):
    """A good copy of a file on another node.

    `collecting`: it is not on tape yet, and copies on its node count only once they are.
    """

    node_id: int
    released: bool = False
    collecting: bool = False


Good = tuple[KeeperCopy, ...]


_RETIRED = "retired"


class _KeeperRow(NamedTuple):
    """A node.  The fields from `medium` on are None if no run has seen it."""

    id: int
    name: str
    group_id: int
    active: bool
    archive: bool
    root: str | None
    host: str | None
    restored: str | None
    policies: int
    medium: str | None
    seen: Any
    wrong: Any
    why: str | None
    distrust: str | None
    separate: bool | None
    site: str | None
    io_class: str | None
    tape_class: str | None
    needs_tape: bool | None
    retired: bool
    fault: Why = ""


class CountedCopies(NamedTuple):
    """Copies that count (`others`, `released`: node id and name), and that do not (`uncounted`: node id and reason)."""

    others: tuple[tuple[int, str], ...]
    released: tuple[tuple[int, str], ...]
    uncounted: tuple[tuple[int, str], ...]


class KeeperNodes:
    """The active archive nodes other than a given node, and whether the copies on each count.

    `group_id`, `archive`, `retired`, `host`, `root`, `io_class`, `active`: of the given node; `active` is False if it
    was removed.  `restored`: why the index is older than the disks, "" if it is not; `now`: the time of the index's
    server.  `policies`: whether there is any policy.

    `every`: include all other nodes, to find out what else there is of the files on the node.  Copies on nodes that are
    not active do not count; `archives` are the ids of the active archive nodes among the others, and `inactive` of
    those that are not active.  Then copies on retired nodes count, too, since files can be copied from there, but these
    nodes are not among `archives`.  `places`: where each of the others is.

    `needs_tape`: those of the others on which a copy counts only once it is on tape.
    """

    def __init__(self, index: Index, node_id: int, evidence: Evidence, every: bool = False) -> None:
        self.active = False
        self.archive = False
        self.retired = False
        self.group_id = 0
        self.host: str | None = None
        self.root: str | None = None
        self.io_class: str | None = None
        self.names: dict[int, str] = {}
        self.archives: set[int] = set()
        self.inactive: set[int] = set()
        self.needs_tape: set[int] = set()
        self.places: dict[int, CopyPlace] = {}
        self._name = ""
        self._medium: str | None = None
        self._media: dict[int, str | None] = {}
        self._uncounted: dict[int, str] = {}
        self._judged: dict[Good, CountedCopies] = {}
        self.restored = ""
        self.policies = False
        sql, values = (f"{EVERY_NODE} ORDER BY n.id", ()) if every else (NODES, (node_id,))
        rows = index.facts(_KeeperRow, sql, values, active=bool, archive=bool, retired=bool)
        self.now = index.now()
        own = next((row for row in rows if row.id == node_id), None)
        for row in rows:
            if row.id == node_id:
                self.active, self.archive, self.group_id = row.active, row.archive, row.group_id
                self.retired = row.retired
                self.host, self.root, self.io_class = row.host, row.root, row.io_class
                self.restored = row.restored or ""
                self.policies = bool(row.policies)
                self._name, self._medium = row.name, row.medium
            else:
                self.names[row.id] = row.name
                self._media[row.id] = row.medium
                if row.tape_class is not None and row.needs_tape != 0:  # unknown: it does
                    self.needs_tape.add(row.id)
                self.places[row.id] = CopyPlace(row.group_id, row.site)
                if not row.active:
                    self.inactive.add(row.id)
                elif row.archive and not (every and row.retired):
                    self.archives.add(row.id)
                self._uncounted[row.id] = (
                    evidence.absent.get(row.id, "")
                    or row.fault
                    or (_RETIRED if row.retired and row.active and not every else "")
                    or _why_uncounted(row, self.now, evidence)
                    or (_why_linked(row, own) if own is not None else "")
                )

    def counting(self) -> list[int]:
        """Return the ids of the archive nodes whose copies count, one for each medium."""
        return [id for id, _ in self.counted(tuple(KeeperCopy(id) for id in sorted(self.archives))).others]

    def counted(self, good: Good) -> CountedCopies:
        """Return which good copies of a file count, in the order of the nodes."""
        judged = self._judged.get(good)
        if judged is None:
            judged = self._judged[good] = self._judge(good)
        return judged

    def _judge(self, good: Good) -> CountedCopies:
        others: list[tuple[int, str]] = []
        released: list[tuple[int, str]] = []
        uncounted: list[tuple[int, str]] = []
        # The copy that goes lies on a medium as well: nothing on that is left behind for certain.
        used = {self._medium: self._name} if self._medium else {}
        # Of two nodes on one medium that counts whose copy stays.
        for id, leaving, collecting in sorted(good, key=lambda copy: copy.released):
            name, medium = self.names[id], self._media[id]
            if self._uncounted[id]:
                uncounted.append((id, self._uncounted[id]))
            elif collecting:
                uncounted.append((id, "not on tape yet"))
            elif medium and medium in used:
                uncounted.append((id, f"on the same medium as {used[medium]}"))
            else:
                if medium:
                    used[medium] = name
                (released if leaving else others).append((id, name))
        return CountedCopies(tuple(others), tuple(released), tuple(uncounted))


def _why_uncounted(node: _KeeperRow, now: datetime.datetime, evidence: Evidence) -> str:
    """Return why the copies on a node do not count; "" if they do."""
    if not node.active:
        return "not active"
    remedy = f" (run `alpenhorn sync` on host {node.host})" if node.host else ""
    if node.wrong is not None:
        return f"left out since {_shown_time(node.wrong)}: {node.why or 'not in the expected state'}"
    if node.distrust is not None:
        if node.distrust == "compare":
            return f"not compared with the disk yet{remedy}"
        return "the index is older than its disk (run: alpenhorn reconcile)"
    if node.medium is None:
        # trust_unseen also trusts that its copies are separate files.
        return "" if evidence.trust_unseen else f"never seen by a run{remedy}"
    last = moment(node.seen)
    if last is None:
        return f"not seen yet{remedy}"
    ago = (now - last).total_seconds()
    if ago < 0:
        return f"seen at {_shown_time(node.seen)}, which is in the future{remedy}"
    if ago > evidence.seen_within:
        return f"not seen since {_shown_time(node.seen)}{remedy}"
    if may_have_tape(node.io_class) and node.tape_class != node.io_class:
        # Its class may be of tape, and its package need not be installed on this host.
        return f"no run has recorded yet whether copies on it must be on tape{remedy}"
    # Runs look for hard links on archive nodes only; copies elsewhere never allow a deletion.
    if node.archive and not node.separate:
        return f"its copies may share their bytes with other names{remedy}"
    return ""


def _why_linked(node: _KeeperRow, own: _KeeperRow) -> str:
    """Return why copies on a node may be the same bytes as those on `own`; "" if they are not.

    Pulls create hard links between nodes of one host that are not archive nodes.
    """
    if node.archive or own.separate or node.host != own.host:
        return ""
    return f"its copies may be hard links of those on {own.name}"


def _shown_time(value: object) -> str:
    when = moment(value)
    # strftime would omit leading zeros of years before 1000.
    return f"an unknown time ({value!r})" if when is None else f"{when.isoformat(' ', 'minutes')} UTC"
