"""What would be lost if a node died now: the files on it, judged by their copies elsewhere.

A copy elsewhere counts by the rules for deletions (`alpenhorn.scan.keepers`): its node is active, was seen recently on
the expected medium, which is not the medium of the node itself, and it is neither released nor being deleted.  Copies
on retired nodes, and on nodes that are not archive nodes, preserve a file, but do not count as archive copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.index.bulk import CHUNK, in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.listings import storage
from alpenhorn.listings.stats import FileTally
from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.deletions import Evidence
from alpenhorn.plan.policies import lack
from alpenhorn.scan.deletions import EvidenceRow, by_state, claims_on, every_copy, tape_states
from alpenhorn.scan.keepers import KeeperCopy, KeeperNodes
from alpenhorn.scan.policies import load as load_policies

# Without the lookup_join, MariaDB begins with the acquisitions, reads all copies for each page, and sorts them.
COPIES = """
    SELECT c.id AS copy_id__id, c.file_id, a.name AS acq__name, f.name, f.size_b
    FROM archivefilecopy c {lookup_join} archivefile f ON f.id = c.file_id
    {lookup_join} archiveacq a ON a.id = f.acq_id
    WHERE c.node_id = ? AND c.has_file = ? AND c.wants_file = ? AND c.id > ? ORDER BY c.id LIMIT ?
"""
COUNT = "SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file IN ('Y', 'M')"
# The + prevents SQLite from scanning all pending requests of the node for each page.
REQUESTS = """
    SELECT file_id, COUNT(*) FROM archivefilecopyrequest
    WHERE file_id IN ({marks}) AND +node_from_id = ? AND +completed = 0 AND +cancelled = 0 GROUP BY file_id
"""


class Risk(StrEnum):
    """What would become of a file."""

    ONLY = "only"  # no copy elsewhere
    DOUBTFUL = "doubtful"  # copies elsewhere, none of which counts
    FEW = "few"  # a copy elsewhere that counts, but fewer archive copies than required, or than a policy asks for
    SAFE = "safe"

    @property
    def loses(self) -> bool:
        return self in (Risk.ONLY, Risk.DOUBTFUL)


class Obstacle(StrEnum):
    """What must be done before a copy counts."""

    INACTIVE = "inactive"  # activate its node
    RELEASED = "released"  # undo the release
    UNKNOWN = "unknown"  # a run on its host must find it


class UncountedCopy(NamedTuple):
    """A copy on another node that may be good, and why it does not count."""

    node: str
    why: str
    obstacle: Obstacle

    def __str__(self) -> str:
        return f"{self.node}: {self.why}"


class RiskFile(NamedTuple):
    """A file on the node.

    `suspect`: the copy on the node is; `elsewhere`: names of nodes with copies that count; `requests`: number of
    pending requests that have only the node as their source.
    """

    path: str
    size_b: int | None
    risk: Risk
    suspect: bool
    elsewhere: tuple[str, ...]
    uncounted: tuple[UncountedCopy, ...]
    requests: int


class NodeRisk(NamedTuple):
    """`files`: good and suspect copies on the node; `suspect`: those of `lost` files that are suspect there.

    `lost` has the files of `only` and `doubtful`.  `uncounted`: the number of doubtful files by copy, the most frequent
    first; `target`: the group into which files should be copied, "" if there is none.
    """

    files: FileTally
    only: FileTally
    doubtful: FileTally
    few: FileTally
    suspect: FileTally
    requests: int
    uncounted: tuple[tuple[UncountedCopy, int], ...]
    target: str

    @property
    def lost(self) -> FileTally:
        return self.only.plus(self.doubtful)


class _CopyHere(NamedTuple):
    copy_id: int
    file_id: int
    acq: str
    name: str
    size_b: int | None


def count(index: Index, node_id: int) -> int:
    """Return the number of good and suspect copies on a node."""
    return int(index.value(COUNT, (node_id,)))


def summary(
    index: Index,
    node_id: int,
    evidence: Evidence,
    reading: Callable[[Iterator[RiskFile]], Iterator[RiskFile]] = iter,
) -> NodeRisk:
    """Return the sums for a node.

    `evidence`: what counts as a copy, and the required number of archive copies; `reading`: shows progress while the
    files are read.
    """
    sums: Counter[tuple[str, str]] = Counter()
    uncounted: Counter[UncountedCopy] = Counter()
    for file in reading(files(index, node_id, evidence)):
        names = ["files", str(file.risk)]
        if file.risk.loses and file.suspect:
            names.append("suspect")
        for name in names:
            sums[name, "files"] += 1
            sums[name, "bytes"] += file.size_b or 0
        sums["requests", "files"] += file.requests
        if file.risk is Risk.DOUBTFUL:
            uncounted.update(file.uncounted)

    def tally(name: str) -> FileTally:
        return FileTally(sums[name, "files"], sums[name, "bytes"])

    return NodeRisk(
        tally("files"),
        tally(Risk.ONLY),
        tally(Risk.DOUBTFUL),
        tally(Risk.FEW),
        tally("suspect"),
        sums["requests", "files"],
        tuple(uncounted.most_common()),
        _target(index, node_id, evidence),
    )


def files(index: Index, node_id: int, evidence: Evidence) -> Iterator[RiskFile]:
    """Yield the files with good and suspect copies on a node, while they are read in pages, in the order of copies."""
    nodes = KeeperNodes(index, node_id, evidence, every=True)
    sql = COPIES.format(lookup_join=index.dialect.lookup_join)
    for has in (HasFile.YES, HasFile.MAYBE):
        for wants in (WantsFile.YES, WantsFile.MAYBE, WantsFile.NO):
            keeps = nodes.archive and nodes.active and not nodes.retired
            counts_here = keeps and (has, wants) in _COUNTING
            after = 0
            while page := index.facts(_CopyHere, sql, (node_id, has, wants, after, CHUNK)):
                after = page[-1].copy_id
                yield from _judged(index, node_id, nodes, page, has, evidence.minimum if counts_here else 0)


_COUNTING = ((HasFile.YES, WantsFile.YES), (HasFile.YES, WantsFile.MAYBE))


def _judged(
    index: Index, node_id: int, nodes: KeeperNodes, page: Sequence[_CopyHere], has: str, minimum: int
) -> Iterator[RiskFile]:
    """Yield the files of a page.  `minimum`: required number of archive copies, 0 if the one here is none."""
    file_ids = sorted({one.file_id for one in page})
    rows = every_copy(index, file_ids)
    claimed = {(claim.file_id, claim.node_id) for claim in claims_on(index, file_ids)}
    _, collecting = tape_states(index, node_id, nodes, rows)
    _, _, good = by_state(rows, node_id, nodes.names.keys(), claimed, collecting)
    maybe = _maybe(rows, node_id, nodes, claimed)
    policies = load_policies(index) if minimum and nodes.policies else None
    found = []
    for one in page:
        # On a medium with several nodes an archive copy counts before others.
        counted = nodes.counted(
            tuple(sorted(good.get(one.file_id, ()), key=lambda copy: copy.node_id not in nodes.archives))
        )
        uncounted = (
            *(
                UncountedCopy(
                    nodes.names[id], why, Obstacle.INACTIVE if id in nodes.inactive else Obstacle.UNKNOWN
                )
                for id, why in counted.uncounted
            ),
            *(UncountedCopy(name, "released", Obstacle.RELEASED) for _, name in counted.released),
            *maybe.get(one.file_id, ()),
        )
        if not counted.others:
            risk = Risk.DOUBTFUL if uncounted else Risk.ONLY
        else:
            archived = [other for other, _ in counted.others if other in nodes.archives]
            asked = policies.of(one.acq) if policies is not None else ()
            few = len(archived) < minimum or any(lack(policy, archived, nodes.places) for policy in asked)
            risk = Risk.FEW if few else Risk.SAFE
        elsewhere = tuple(name for _, name in counted.others)
        found.append((one, risk, elsewhere, uncounted))
    requests: dict[int, int] = {}
    for marks, some in in_chunks([one.file_id for one, risk, _, _ in found if risk.loses]):
        requests.update(index.execute(REQUESTS.format(marks=marks), (*some, node_id)).fetchall())
    for one, risk, elsewhere, uncounted in found:
        yield RiskFile(
            f"{one.acq}/{one.name}",
            one.size_b,
            risk,
            has == HasFile.MAYBE,
            elsewhere,
            uncounted,
            requests.get(one.file_id, 0),
        )


def _maybe(
    rows: Sequence[EvidenceRow], node_id: int, nodes: KeeperNodes, claimed: set[tuple[int, int]]
) -> dict[int, list[UncountedCopy]]:
    """Return by file the copies elsewhere that may be good: suspect ones, and good ones that are being deleted."""
    found: dict[int, list[UncountedCopy]] = {}
    for row in rows:
        if row.node_id == node_id or row.node_id not in nodes.names:
            continue
        if row.has_file == HasFile.MAYBE:
            why = "suspect, must be checked first"
        elif row.has_file == HasFile.YES and (row.file_id, row.node_id) in claimed:
            why = "being deleted"
        else:
            continue
        found.setdefault(row.file_id, []).append(
            UncountedCopy(nodes.names[row.node_id], why, Obstacle.UNKNOWN)
        )
    return found


def _target(index: Index, node_id: int, evidence: Evidence) -> str:
    """Return the group of the active archive node with the most free space, in another group and on another medium."""
    keepers = KeeperNodes(index, node_id, evidence)
    (own,) = storage.nodes(index, node_id=node_id)
    usable = [
        node
        for node in storage.nodes(index, active=True)
        if node.id in keepers.archives
        and node.group != own.group
        and keepers.counted((KeeperCopy(node.id),)).others
        and node.avail_gb is not None
    ]
    best = max(usable, key=lambda node: (node.avail_gb or 0.0, node.name), default=None)
    return "" if best is None else best.group
