"""Requests of policies: two hosts at once, and how far a comparison of all files is."""

from __future__ import annotations

import datetime
import threading

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.model.policies import Destinations, Policy
from alpenhorn.plan.filing import places, receivers
from alpenhorn.record import run as runs
from alpenhorn.record.policies import Sweep, keep_progress, progress, request
from alpenhorn.scan import topology
from alpenhorn.scan.policies import Policies
from alpenhorn.scan.priorities import last_change
from tests.fixtures.rows import HERE, THERE, WHEN, Rows

pytestmark = pytest.mark.cluster

TWO = Policies([Policy(1, "two", 2, 1, 0, 0)])


def destinations(index: Index, host: str, room: int = 10**9) -> Destinations:
    nodes = topology.load(index).nodes
    to = receivers(nodes.values())
    here = frozenset(group for group, ids in to.items() if nodes[ids[0]].host == host)
    return Destinations(
        nodes,
        places(nodes.values()),
        to,
        here,
        lambda group, size_b: size_b <= room,
        lambda group: room,
        host,
    )


@pytest.mark.parametrize("attempt", range(3))
def test_two_hosts_at_once_request_the_last_copy_once(rows: Rows, attempt: int) -> None:
    """Each file lacks one copy, and each of two hosts has a group that can have it."""
    rows.do("UPDATE storagenode SET active = 0 WHERE name = 'one_too'")
    there = rows.all("SELECT host_id FROM storagenode WHERE name = 'one_too'")[0][0]
    group = rows.insert("storagegroup", name="far")
    rows.insert(
        "storagenode",
        name="far",
        root="/srv/far",
        host_id=there,
        group_id=group,
        active=1,
        auto_import=0,
        auto_verify=0,
        archive=1,
        min_avail_gb=0.0,
    )
    files = [rows.file(f"{number}") for number in range(200)]
    for file_id in files:
        rows.copy(file_id, "one", "YY")
    barrier = threading.Barrier(2)
    made: dict[str, int] = {}

    def work(host: str) -> None:
        index = Index.open(rows.index.url)
        run = runs.begin(index, host, [], lambda: WHEN)
        to = destinations(index, host)
        barrier.wait()
        made[host] = len(request(index, run, files, TWO, to, {}))
        index.close()

    threads = [threading.Thread(target=work, args=(host,)) for host in (HERE, THERE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made.values()) == [0, 200]
    assert rows.all("SELECT COUNT(*), COUNT(DISTINCT file_id) FROM archivefilecopyrequest") == [(200, 200)]


def test_requests_have_the_policy_as_their_reason_and_fill_a_node_no_further(rows: Rows) -> None:
    files = [rows.file(f"{number}", size_b=10) for number in range(5)]
    for file_id in files:
        rows.copy(file_id, "one", "YY")
    run = rows.begin()
    to = destinations(rows.index, HERE, room=35)
    made = request(rows.index, run, files, TWO, to, {rows.group["two"]: "two"})
    assert [one.file_id for one in made] == files[:3]
    assert rows.pending("two") == [(file_id, rows.node["one"]) for file_id in files[:3]]
    assert rows.all("SELECT DISTINCT what, why, code FROM sync_event") == [
        ("requested", "policy two wants a copy in two", "policy-request")
    ]
    again = request(rows.index, run, files, TWO, destinations(rows.index, HERE, room=0), {})
    assert again == []


def test_requests_have_the_priority_of_their_policy(rows: Rows) -> None:
    by_hand = rows.request(rows.file("by hand"), group="two")
    files = {priority: rows.file(f"acq of {priority}") for priority in (0, 5, -1)}
    run = rows.begin()
    to = destinations(rows.index, HERE)
    for priority, file_id in files.items():
        rows.copy(file_id, "one", "YY")
        policies = Policies([TWO.every[0]._replace(priority=priority)])
        before = last_change(rows.index)
        assert len(request(rows.index, run, [file_id], policies, to, {})) == 1
        # Runs in progress notice it.
        assert (last_change(rows.index) == before) is (priority == 0)
    found = rows.all(
        "SELECT r.file_id, p.priority FROM sync_priority p JOIN archivefilecopyrequest r ON r.id = p.request_id"
        " AND r.group_to_id = p.group_id AND r.id <> ? ORDER BY r.file_id",
        by_hand,
    )
    assert found == [(files[5], 5), (files[-1], -1)]
    assert rows.all("SELECT COUNT(*) FROM sync_priority") == [(2,)]


def test_a_comparison_looks_at_every_file_although_the_policies_change_on_the_way() -> None:
    now = datetime.datetime(2026, 1, 1)
    ids, size = list(range(1, 1001)), 70
    for change_at in (0, 3, 20):
        sweep = Sweep("one", 0, now, None, part=1)
        looked: set[int] = set()
        pages = 0
        while sweep.part:
            if pages == change_at:
                sweep, looked = sweep.changed("two", now), set()
            after, to = sweep.bounds
            page = [id for id in ids if after < id <= to][:size]
            looked.update(page)
            sweep = sweep.after_page(page[-1] if page else None, len(page) == size, now)
            pages += 1
        assert looked == set(ids)
        assert sweep.swept == now and pages <= len(ids) / size + change_at + 3


def test_progress_is_kept_by_host(rows: Rows) -> None:
    assert progress(rows.index, HERE) is None
    sweep = Sweep("abc", 2**40, WHEN, None, 7, 5, 2)
    keep_progress(rows.index, HERE, sweep)
    keep_progress(rows.index, THERE, sweep._replace(swept=WHEN))
    assert progress(rows.index, HERE) == sweep
