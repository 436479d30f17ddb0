from __future__ import annotations

import datetime

from alpenhorn.index.times import posix
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code
from alpenhorn.record import backoff
from alpenhorn.record.attempts import ERROR_LENGTH
from alpenhorn.record.run import Run
from alpenhorn.scan import topology
from alpenhorn.scan.backoff import by_source, of_host
from tests.fixtures.rows import HERE, THERE, WHEN, Rows


def source(rows: Rows) -> NodeFact:
    """A node on the other host."""
    return topology.load(rows.index).nodes[rows.node["one_too"]]


def request(rows: Rows, node: str) -> int:
    return rows.insert(
        "archivefilecopyrequest",
        file_id=rows.file(node),
        group_to_id=rows.group["two"],
        node_from_id=rows.node[node],
        completed=0,
        cancelled=0,
        timestamp=WHEN,
    )


def test_a_host_is_counted_under_its_name_and_a_node_under_its_id(rows: Rows, run: Run) -> None:
    for _ in range(2):
        backoff.host_failed(rows.index, run, source(rows), "no route")
    backoff.node_failed(rows.index, run, source(rows), "not mounted")
    found = of_host(rows.index, HERE)
    attempt, why = found.hosts[THERE]
    assert (attempt.tries, attempt.error, why.code) == (2, "no route", Code.HOST_WAITS)
    assert 120 <= attempt.next - attempt.last <= 240
    assert found.nodes[source(rows).id].why.code is Code.SOURCE_WAITS
    assert of_host(rows.index, THERE) == ({}, {})
    backoff.host_answered(rows.index, run, source(rows))
    assert not of_host(rows.index, HERE).hosts
    backoff.node_found(rows.index, run, source(rows))
    assert rows.all("SELECT * FROM sync_backoff") == []


def test_an_error_is_stored_as_text_that_the_index_can_hold(rows: Rows, run: Run) -> None:
    backoff.host_failed(rows.index, run, source(rows), "no \udce9 route\0" + "x" * 10_000)
    error = of_host(rows.index, HERE).hosts[THERE][0].error
    assert error.startswith("no \\xe9 route\\x00x") and error.endswith("x…") and len(error) == ERROR_LENGTH


def test_every_node_of_a_host_that_is_silent_waits(rows: Rows, run: Run) -> None:
    backoff.host_failed(rows.index, run, source(rows), "no route")
    assert set(by_source(rows.index)) == {"one_too"}
    rows.index.execute(
        "UPDATE storagenode SET host_id = (SELECT id FROM storagehost WHERE name = ?)", (THERE,)
    )
    assert set(by_source(rows.index)) == set(rows.node)


def test_waits_of_hosts_and_nodes_are_dropped_for_some_requests_or_for_all(rows: Rows, run: Run) -> None:
    far, near = request(rows, "one_too"), request(rows, "field")
    backoff.host_failed(rows.index, run, source(rows), "no route")
    backoff.node_failed(rows.index, run, source(rows), "not mounted")
    assert backoff.forget(rows.index, [near]) == 0
    assert backoff.forget(rows.index, [far]) == 2
    backoff.host_failed(rows.index, run, source(rows), "no route")
    assert backoff.forget(rows.index, None) == 1


def test_a_node_of_no_host_is_not_counted(rows: Rows, run: Run) -> None:
    one = source(rows)
    rows.index.execute("UPDATE storagenode SET host_id = NULL")
    backoff.host_failed(rows.index, run, one, "no route")
    assert rows.all("SELECT * FROM sync_backoff") == []


def test_times_are_those_of_the_run(rows: Rows, run: Run) -> None:
    backoff.host_failed(rows.index, run, source(rows), "x" * 10_000)
    ((last,),) = rows.all("SELECT last FROM sync_backoff")
    assert posix(last) == posix(datetime.datetime.fromisoformat(run.now()))
