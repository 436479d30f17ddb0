"""Facts from the index for `alpenhorn doctor`: sources of files, the last run, permission to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import peewee as pw

from alpenhorn.errors import IndexUnusable, NotFound
from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.listings import backups
from alpenhorn.listings.backups import Backups
from alpenhorn.listings.runs import COLUMNS, REAL, RunRow, run_rows
from alpenhorn.model.conditions import Condition
from alpenhorn.model.nodes import MARKER
from alpenhorn.scan import conditions, media, names
from alpenhorn.scan.former_names import former_names
from alpenhorn.scan.topology import Topology, load

EARLIER = 1000  # finished requests of each group to search for sources of its files
RUNS = 100_000  # runs of all hosts to search for the last one of a host

PENDING = """
    SELECT n.id FROM storagenode n WHERE n.id IN ({nodes})
      AND EXISTS (SELECT 1 FROM archivefilecopyrequest r WHERE r.node_from_id = n.id
                  AND r.completed = 0 AND r.cancelled = 0 AND +r.group_to_id IN ({groups}))
"""
AUTOSYNC_RULES = "SELECT node_from_id, group_to_id FROM storagetransferaction WHERE autosync = 1"
FINISHED = f"""
    SELECT DISTINCT l.node_from_id FROM (
        SELECT r.node_from_id FROM archivefilecopyrequest r
        WHERE r.group_to_id = ? AND r.completed = 1 AND r.cancelled = 0 ORDER BY r.id DESC LIMIT {EARLIER}
    ) l
"""
LAST_RUN = f"""
    SELECT {COLUMNS} FROM sync_run
    WHERE host = ? AND {REAL} AND id > (SELECT MAX(id) FROM sync_run) - {RUNS} ORDER BY id DESC LIMIT 1
"""
INITIALISED = (
    "SELECT node_id FROM archivefileimportrequest WHERE node_id IN ({marks}) AND completed = 0 AND path = ?"
)
# Each statement needs another privilege; none matches a row.
WRITES = (
    "UPDATE storagehost SET name = name WHERE 1 = 0",
    "DELETE FROM sync_claim WHERE 1 = 0",
    "INSERT INTO dataindexversion (component, version) SELECT component, version FROM dataindexversion WHERE 1 = 0",
)


class Marks(NamedTuple):
    """Markers that the next run will write.

    Ids of this host's nodes that get their first marker, and (id, former name) of renamed nodes, whose markers may
    still have the former name.
    """

    initialised_next: frozenset[int] = frozenset()
    former_names: frozenset[tuple[int, str]] = frozenset()


class HostFacts(NamedTuple):
    """Facts from the index about one host.

    `unknown`: message with similar names if the host is not in the index, "" if it is.  `sources`: ids of nodes on
    other hosts from which this host's groups get files.  `served`: ids of this host's nodes from which groups on other
    hosts get files.  `media`: the recorded media of all nodes; `conditions`: lasting problems of this host's runs.
    """

    topology: Topology
    unknown: str
    last_run: RunRow | None
    sources: frozenset[int]
    served: frozenset[int]
    marks: Marks
    backups: Backups
    media: media.KnownMedia = media.KnownMedia()
    conditions: tuple[Condition, ...] = ()


def facts(index: Index, host: str) -> HostFacts:
    """Return the facts.  Raises IndexUnusable, also for missing tables and columns."""
    try:
        return _facts(index, host)
    except (pw.OperationalError, pw.ProgrammingError) as error:
        raise IndexUnusable(f"index {index.url}: cannot be read: {error}") from error


def _facts(index: Index, host: str) -> HostFacts:
    topology = load(index)
    here = topology.here(host)
    ids = [node.id for node in here]
    others = [node for node in topology.nodes.values() if node.active and node.host not in (host, None)]
    mine = {node.group_id for node in here}
    theirs = {node.group_id for node in others} - mine
    return HostFacts(
        topology,
        _unknown(index, host),
        _last_run(index, host),
        _sources(index, [node.id for node in others], mine),
        _sources(index, ids, theirs),
        _marks(index, ids),
        backups.load(index),
        media.load(index),
        tuple(conditions.of_host(index, host)),
    )


def _marks(index: Index, nodes: Sequence[int]) -> Marks:
    initialised: set[int] = set()
    for some in chunks(nodes):
        initialised.update(index.values(INITIALISED.format(marks=marks(some)), (*some, MARKER)))
    return Marks(frozenset(initialised), frozenset(former_names(index, nodes)))


def _unknown(index: Index, host: str) -> str:
    try:
        names.host(index, host)
    except NotFound as error:
        return str(error)
    return ""


def _last_run(index: Index, host: str) -> RunRow | None:
    return next(iter(run_rows(index, LAST_RUN, (host,))), None)


def _sources(index: Index, nodes: Sequence[int], groups: set[int]) -> frozenset[int]:
    """Return the nodes among `nodes` that are sources for `groups`: by pending or recent requests, or by rule."""
    wanted = sorted(groups)
    found = {node for node, group in index.execute(AUTOSYNC_RULES).fetchall() if group in groups}
    for group in wanted:
        found.update(index.values(FINISHED, (group,)))
    for some in chunks(nodes):
        for part in chunks(wanted):
            sql = PENDING.format(nodes=marks(some), groups=marks(part))
            found.update(index.values(sql, (*some, *part)))
    return frozenset(found.intersection(nodes))


def try_to_write(index: Index) -> None:
    """Raise IndexUnusable if this user may not change rows; no row is changed."""
    with index.transaction():
        for statement in WRITES:
            index.execute(statement)
