"""Twenty nodes at four sites, with policies, nodes and sites that change: hosts converge with the fewest copies, and
deletions leave exactly what is needed."""

from __future__ import annotations

import datetime
import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from alpenhorn.coordinator.policies import file_requests
from alpenhorn.edits import policies as edit_policy
from alpenhorn.edits.policies import PolicyLists
from alpenhorn.index.connection import Index
from alpenhorn.model.deletions import Evidence
from alpenhorn.plan.space import Space
from alpenhorn.record import run as runs
from alpenhorn.record.deletions import claim
from alpenhorn.record.policies import progress
from alpenhorn.scan import deletions as scan_deletions
from alpenhorn.scan import topology
from tests.fixtures.seen import mark_seen

HOSTS = tuple(f"h{number}" for number in range(4))
WHEN = "2026-01-02 03:04:05"
NODES = 20


def file_as(index: Index, host: str, free_b: int | None = 10**12, factor: int = 2) -> None:
    """Create the requests that policies want as a run of the host does, whose nodes have `free_b` bytes free."""
    run = runs.begin(index, host, [], lambda: datetime.datetime(2026, 1, 3))
    nodes = topology.load(index)
    here = nodes.here(host)
    space = Space()
    for node in here:
        space.open(node, free_b, 0, 0, lambda size_b: factor * size_b)
    context: Any = SimpleNamespace(
        index=index,
        config=SimpleNamespace(sync=SimpleNamespace(host=host, archive_copy_count=2)),
        topology=nodes,
        ios=dict.fromkeys(node.id for node in here),
        groups=dict.fromkeys(node.group_id for node in here),
        gone={},
        space=space,
        run=run,
        asked=SimpleNamespace(nodes=()),
        whole=SimpleNamespace(swept=False),
    )
    file_requests(context, lambda: True)


class Fleet:
    """An index with the nodes, each in a group of its own, and files on one archive node each.

    Pulls are recorded as if they had been done; what decides is the program itself.
    """

    def __init__(self, index: Index, files: int) -> None:
        self.index = index
        self.free_b: int | None = 10**12
        self.factor = 2
        chance = random.Random(14)
        for number, host in enumerate(HOSTS, 1):
            self.do("INSERT INTO storagehost (id, name) VALUES (?, ?)", number, host)
        for number in range(1, NODES + 1):
            self.do("INSERT INTO storagegroup (id, name) VALUES (?, ?)", number, f"n{number}")
            self.do(
                "INSERT INTO storagenode (id, name, root, host_id, group_id, active, auto_import, auto_verify, archive,"
                " min_avail_gb) VALUES (?, ?, ?, ?, ?, 1, 0, 0, 1, 0)",
                *(number, f"n{number}", f"/srv/n{number}", number % len(HOSTS) + 1, number),
            )
            mark_seen(index, number)
        self.do("INSERT INTO archiveacq (id, name) VALUES (1, 'acq')")
        with index.transaction():
            index.executemany(
                "INSERT INTO archivefile (id, acq_id, name, size_b, md5sum, registered) VALUES (?, 1, ?, 10, ?, ?)",
                [(id, f"f{id}", "0" * 32, WHEN) for id in range(1, files + 1)],
            )
            index.executemany(
                "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
                " VALUES (?, ?, 'Y', 'Y', 1, 10, ?)",
                [(id, chance.randint(1, NODES), WHEN) for id in range(1, files + 1)],
            )
        self.chance = chance

    def do(self, sql: str, *values: Any) -> None:
        self.index.execute(sql, values)

    def policy(self, copies: int, sites: int) -> None:
        values = {"copies": copies, "sites": sites}
        rows = self.index.values("SELECT id FROM sync_policy")
        if rows:
            edit_policy.modify(self.index, rows[0], values, PolicyLists())
        else:
            edit_policy.create(
                self.index, {"name": "p", "min_age": 0, "priority": 0, **values}, PolicyLists()
            )

    def converge(self) -> int:
        """Let the hosts run in turn until a whole turn requests nothing; return the number of requests."""
        before, hosts = self._requests(), list(HOSTS)
        while True:
            at = self._requests()
            self.chance.shuffle(hosts)
            for host in hosts:
                self._run(host)
                if self.chance.random() < 0.5:
                    self._pull()
            self._pull()
            if self._requests() == at and self._compared():
                return at - before

    def _compared(self) -> bool:
        """Whether each host has compared all files since the last change."""
        sweeps = [progress(self.index, host) for host in HOSTS]
        return all(sweep is not None and not sweep.part for sweep in sweeps)

    def _requests(self) -> int:
        return int(self.index.value("SELECT COUNT(*) FROM archivefilecopyrequest"))

    def _run(self, host: str) -> None:
        file_as(self.index, host, self.free_b, self.factor)

    def _pull(self) -> None:
        """Record all pending requests as done."""
        pending = "FROM archivefilecopyrequest r WHERE r.completed = 0"
        key = ("file_id", "node_id")
        columns = (*key, "has_file", "wants_file", "ready", "size_b", "last_update")
        self.do(
            self.index.upsert_from(
                "archivefilecopy",
                columns,
                f"SELECT r.file_id, r.group_to_id, 'Y', 'Y', 1, 10, '{WHEN}' {pending}",
                key,
                columns[2:4],
            )
        )
        self.do(
            "INSERT INTO sync_event (at, file_id, node_id, what, why)"
            f" SELECT '{WHEN}', r.file_id, r.group_to_id, 'pulled', '' {pending}"
        )
        self.do("UPDATE archivefilecopyrequest SET completed = 1 WHERE completed = 0")

    def kept(self, wants: str = "'Y', 'M', 'N'") -> dict[int, list[int]]:
        """Return by file the active nodes, except retired ones, with a good copy."""
        found: dict[int, list[int]] = {id: [] for id in self.index.values("SELECT id FROM archivefile")}
        rows = self.index.execute(
            "SELECT c.file_id, c.node_id FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
            f" WHERE c.has_file = 'Y' AND c.wants_file IN ({wants}) AND n.active = 1"
            " AND n.id NOT IN (SELECT node_id FROM sync_retirement)"
        )
        for file_id, node_id in rows.fetchall():
            found[file_id].append(node_id)
        return found

    def sites(self) -> dict[int, str | None]:
        return {node.id: node.site for node in topology.load(self.index).nodes.values()}

    def least(self, copies: int, sites: int) -> int:
        """Return the fewest copies that satisfy the policy: there are enough nodes at all sites."""
        at = self.sites()
        return sum(
            max(copies - len(nodes), sites - len({at[node] for node in nodes}), 0)
            for nodes in self.kept().values()
        )

    def delete(self) -> int:
        """Claim every released copy that may be deleted, on one node after the other; return their number."""
        done = 0
        order = list(range(1, NODES + 1))
        self.chance.shuffle(order)
        now = datetime.datetime(2026, 1, 3, tzinfo=datetime.UTC).timestamp()
        for node_id in order:
            node = topology.load(self.index).nodes[node_id]
            run = runs.begin(self.index, node.host or "", [], lambda: datetime.datetime(2026, 1, 3))
            for page in list(scan_deletions.pages(self.index, node_id, "Y", "N", 2500)):
                done += len(claim(self.index, run, node, page, Evidence(), now).granted)
            self.do("UPDATE archivefilecopy SET has_file = 'N' WHERE has_file = 'M' AND node_id = ?", node_id)
            self.do("DELETE FROM sync_claim")
        return done


@pytest.fixture
def fleet(index: Index, long: bool) -> Fleet:
    if not long:
        return Fleet(index, 1500)
    return Fleet(index, 1_000_000 if index.dialect.in_a_file else 10_000)


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)  # with --long
def test_hosts_converge_with_the_fewest_copies_and_deletions_leave_what_is_needed(fleet: Fleet) -> None:
    def converges(copies: int, sites: int) -> int:
        expected = fleet.least(copies, sites)
        assert fleet.converge() == expected
        assert fleet.least(copies, sites) == 0
        return expected

    files = len(fleet.kept())
    fleet.policy(2, 2)
    assert converges(2, 2) == files
    fleet.policy(3, 2)
    assert converges(3, 2) == files
    # A disk dies, another one is taken off.
    fleet.do("UPDATE archivefilecopy SET has_file = 'N' WHERE node_id = 3")
    fleet.do("UPDATE storagenode SET active = 0 WHERE id IN (3, 8)")
    assert converges(3, 2) > 0
    # A node is retired.
    fleet.do(
        "INSERT INTO sync_retirement (node_id, began, releases, declared_lost, cancelled, event_id, stuck, nowhere)"
        " VALUES (5, ?, 0, 0, 0, 0, 0, 0)",
        WHEN,
    )
    assert converges(3, 2) > 0
    # Two of the four sites turn out to be one.
    at = fleet.sites()
    pairs = Counter(frozenset(at[node] for node in nodes) for nodes in fleet.kept().values())
    pair = max((pair for pair in pairs if len(pair) == 2), key=lambda pair: pairs[pair])
    fleet.do(
        "INSERT INTO sync_host (host_id, site) SELECT id, 'town' FROM storagehost WHERE name IN (?, ?)", *pair
    )
    assert converges(3, 2) > 0
    fleet.policy(3, 3)
    assert converges(3, 3) > 0
    # Everything is released, on every node at once.
    fleet.policy(2, 2)
    fleet.do("UPDATE archivefilecopy SET wants_file = 'N' WHERE has_file = 'Y'")
    fleet.delete()
    at = fleet.sites()
    kept = fleet.kept()
    assert len(kept) == files
    assert {(len(nodes), len({at[node] for node in nodes})) for nodes in kept.values()} == {(2, 2)}


@pytest.mark.one_engine
def test_no_more_is_requested_than_fits(index: Index) -> None:
    fleet = Fleet(index, 400)
    fleet.policy(2, 2)
    fleet.free_b = 105  # the next run measures it again, so that each may fill it once
    for host in HOSTS:
        fleet._run(host)
    numbers = fleet.index.values("SELECT COUNT(*) FROM archivefilecopyrequest GROUP BY group_to_id")
    assert set(numbers) == {10}
    for host in HOSTS:  # what is pending needs the room
        fleet._run(host)
    assert fleet._requests() == 10 * NODES


@pytest.mark.one_engine
def test_storage_that_reserves_nothing_takes_every_file(index: Index) -> None:
    fleet = Fleet(index, 100)
    fleet.policy(2, 2)
    fleet.free_b, fleet.factor = None, 0
    assert fleet.converge() == 100
