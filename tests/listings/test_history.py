from __future__ import annotations

import datetime
from typing import Any

import pytest

from alpenhorn.errors import NotFound
from alpenhorn.listings import history
from alpenhorn.listings.history import EventRow
from alpenhorn.reasons import Code
from alpenhorn.record.run import Run
from tests.fixtures.rows import Rows

DAY = datetime.timedelta(days=1)
START = datetime.datetime(2026, 1, 1)


def event(rows: Rows, day: int, file_id: int = 1, node: str = "one", run_id: int | None = None) -> int:
    return rows.insert(
        "sync_event",
        at=START + day * DAY,
        run_id=run_id,
        file_id=file_id,
        node_id=rows.node[node],
        what="pulled",
        why=str(day),
    )


def days(found: list[EventRow]) -> list[int]:
    return [int(row.why) for row in found]


def fill(rows: Rows) -> None:
    """Events of the days 0 to 29, of the files 1 to 3 in turn, on node one but every fifth on two; those of
    even days are of run 8."""
    with rows.index.transaction():
        for day in range(30):
            event(rows, day, day % 3 + 1, "two" if day % 5 == 0 else "one", 8 if day % 2 == 0 else 9)


@pytest.fixture
def log(rows: Rows) -> Rows:
    fill(rows)
    return rows


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [25, 26, 27, 28, 29]),
        ({"file_id": 2}, [16, 19, 22, 25, 28]),
        ({"node": "two"}, [5, 10, 15, 20, 25]),
        ({"run_id": 8}, [20, 22, 24, 26, 28]),
        ({"since": 27}, [27, 28, 29]),
        ({"file_id": 2, "since": 20}, [22, 25, 28]),
        ({"node": "two", "since": 12}, [15, 20, 25]),
        ({"run_id": 8, "since": 25}, [26, 28]),
        ({"file_id": 1, "node": "two", "run_id": 8}, [0]),
        ({"file_id": 4}, []),
    ],
)
def test_the_newest_that_fit_all_that_is_given_come_newest_last(
    log: Rows, given: dict[str, Any], expected: list[int]
) -> None:
    options = dict(given)
    if "node" in given:
        options["nodes"] = [log.node[options.pop("node")]]
    if "since" in given:
        options["since"] = START + given["since"] * DAY
    assert days(history.events(log.index, 5, **options)) == expected


def test_events_of_a_file_are_in_the_order_of_their_recording(rows: Rows) -> None:
    """Independent of the hosts' clocks."""
    for day in (3, 1, 2):
        event(rows, day)
    assert days(history.events(rows.index, 5, file_id=1)) == [3, 1, 2]
    assert days(history.events(rows.index, 5, nodes=[rows.node["one"]])) == [1, 2, 3]


def test_names_are_shown_and_removed_rows_have_none(rows: Rows, run: Run) -> None:
    file_id = rows.file("dir/a")
    event(rows, 0, file_id, run_id=run.id)
    event(rows, 1, 999)
    first, second = history.events(rows.index, 5)
    assert (first.path, first.node, first.host, first.run_id) == ("acq/dir/a", "one", run.host, run.id)
    assert first.at == START
    assert (second.path, second.file_id, second.host, second.run_id) == (None, 999, None, None)


def test_each_way_in_has_an_index(sqlite_rows: Rows) -> None:
    """The history may have 10^9 rows."""
    fill(sqlite_rows)
    ways: list[tuple[str, dict[str, Any]]] = [
        ("file_id", {"file_id": 1}),
        ("run_id", {"run_id": 8}),
        ("node_id", {"nodes": [1]}),
        ("at", {"since": START}),
        ("file_id", {"file_id": 1, "nodes": [1], "run_id": 8, "since": START}),
        ("run_id", {"nodes": [1], "run_id": 8, "since": START}),
    ]
    for first, given in ways:
        plan = _plan(sqlite_rows, given)
        assert any(f"({first}" in line or f" {first}" in line for line in plan if "USING" in line), plan
        assert not any(line.startswith("SCAN sync_event") and "USING" not in line for line in plan), plan


def _plan(rows: Rows, given: dict[str, Any]) -> list[str]:
    """The engine's plan for finding the events."""
    asked: list[tuple[str, Any]] = []

    class Asked:
        def facts(self, fact: Any, sql: str, values: Any, **convert: Any) -> Any:
            asked.append((sql, values))
            return rows.index.facts(fact, sql, values, **convert)

    history.events(Asked(), 5, **given)  # type: ignore[arg-type]
    ((sql, values),) = asked
    return [
        row[3] for row in rows.index.execute(f"EXPLAIN QUERY PLAN {sql}", values) if "sync_event" in row[3]
    ]


# --- runs ----------------------------------------------------------------------------------------------


def run_row(rows: Rows, day: int, host: str = "here", ended: bool = True) -> int:
    return rows.insert(
        "sync_run",
        host=host,
        nodes="one two",
        started=START + day * DAY,
        ended=START + day * DAY + datetime.timedelta(seconds=90) if ended else None,
        exit_status=0 if ended else None,
        done=3,
        failed=0,
        bytes=2**40,
        counts='{"pull": {"done": 3, "failed": 0, "bytes": 5}}' if ended else None,
    )


def test_the_last_runs_come_newest_last(rows: Rows) -> None:
    ids = [run_row(rows, day) for day in range(10)]
    assert [run.id for run in history.runs(rows.index, 4)] == ids[6:]
    assert [run.id for run in history.runs(rows.index, 4, START + 8 * DAY)] == ids[8:]


def test_a_run_is_shown_with_its_counts(rows: Rows) -> None:
    found = history.run(rows.index, run_row(rows, 2))
    assert (found.started, found.seconds, found.bytes) == (START + 2 * DAY, 90.0, 2**40)
    assert found.counts["pull"]["done"] == 3
    going = history.run(rows.index, run_row(rows, 3, ended=False))
    assert (going.ended, going.seconds, going.counts) == (None, None, {})


def test_a_run_that_is_not_there(rows: Rows) -> None:
    with pytest.raises(NotFound, match="77"):
        history.run(rows.index, 77)


def test_an_event_of_an_earlier_version_has_a_reason_without_a_known_code(rows: Rows) -> None:
    event(rows, 1)
    (found,) = history.events(rows.index, 10)
    assert found.why == "1" and found.why.code is Code.UNKNOWN
