from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Archive
from tests.cli.test_status import run_row


def event(archive: Archive, file_id: int, node: str = "field1", **values: Any) -> int:
    return archive.insert(
        "sync_event",
        **{
            "at": "2026-07-22 12:00:30",
            "run_id": None,
            "file_id": file_id,
            "node_id": archive.id("storagenode", node),
            "what": "pulled",
            "why": "request 7: copy from off1",
            **values,
        },
    )


@pytest.fixture
def told(archive: Archive) -> Archive:
    """One run, which pulled file a and found file b corrupt; b was suspect before."""
    a, b = archive.file("a"), archive.file("b")
    run = run_row(
        archive,
        started="2026-07-22 12:00:00",
        ended="2026-07-22 12:01:00",
        counts='{"pull": {"done": 1, "failed": 0, "bytes": 2048}}',
    )
    event(archive, b, "off1", at="2026-07-20 00:00:00", what="suspect", why="request 3: short")
    event(archive, a, run_id=run)
    event(archive, b, "off1", run_id=run, what="corrupt", why="its length is 3 bytes, the index says 1000")
    return archive


def lines(archive: Archive, *arguments: str) -> list[list[str]]:
    """The cells of the table's lines."""
    return [line.split("  ") for line in archive.ok("history", *arguments).splitlines()]


def test_an_empty_index(empty: Archive) -> None:
    assert empty.ok("history") == "No runs.\n"
    assert empty("history", "--json").json == []


def test_without_options_the_last_runs(told: Archive) -> None:
    run_row(told, host="alp2", nodes="off1", started="2026-07-22 12:02:00", ended=None, exit_status=None)
    first, second = told.ok("history").splitlines()[2:]
    for text in ("alp1", "field1", "2026-07-22 12:00:00", "60 s", " 0 ", " 5 ", "100 B"):
        assert text in first
    assert "alp2" in second and "not ended" in second
    assert len(told.ok("history", "--limit", "1").splitlines()) == 3
    documents = told("history", "--json").json
    assert [one["seconds"] for one in documents] == [60.0, None]
    assert documents[0]["nodes"] == ["field1"]
    assert documents[0]["counts"]["pull"]["done"] == 1
    assert told("history", "--since", "2026-07-23", "--json").json == []


def test_history_of_a_file_shows_its_events_oldest_first(told: Archive) -> None:
    text = told.ok("history", "--file", "pilot/b")
    assert text.index("suspect") < text.index("corrupt")
    assert "request 3: short" in text and "off1" in text and "pilot/a" not in text
    (first, second) = told("history", "--file", "pilot/b", "--json").json
    assert first["at"] == "2026-07-20T00:00:00Z"
    assert second == {
        "at": "2026-07-22T12:00:30Z",
        "run": told.one("SELECT id FROM sync_run"),
        "host": "alp1",
        "path": "pilot/b",
        "node": "off1",
        "what": "corrupt",
        "why": "its length is 3 bytes, the index says 1000",
        "code": "unknown",  # as an earlier version recorded it
    }
    assert told.ok("history", "--file", "pilot/b", "--since", "2026-07-23").startswith("No events")


def test_history_of_a_node_shows_the_events_on_that_node_only(told: Archive) -> None:
    text = told.ok("history", "--node", "field1")
    assert "pilot/a" in text and "pilot/b" not in text
    assert "its length is 3" in told.ok("history", "--node", "off1", "--file", "/srv/off1/pilot/b")


def test_history_of_a_run_shows_its_counts_and_its_events(told: Archive) -> None:
    run = str(told.one("SELECT id FROM sync_run"))
    text = told.ok("history", "--run", run)
    for part in ("alp1", "60 s", "pull", "2.00 KiB", "pilot/a", "pilot/b", "its length is 3 bytes"):
        assert part in text
    assert "request 3" not in text
    document = told("history", "--run", run, "--json").json
    assert document["exit_status"] == 0
    assert [one["what"] for one in document["events"]] == ["pulled", "corrupt"]


def test_the_last_run_is_the_newest_one(told: Archive) -> None:
    newest = told.one("SELECT MAX(id) FROM sync_run")
    for more in ((), ("--json",), ("--since", "9000d")):
        assert told.ok("history", "--run", "last", *more) == told.ok("history", "--run", str(newest), *more)
    assert "0 is not in the range" in told.fails(2, "history", "--run", "0")
    told.index.execute("DELETE FROM sync_run")
    assert "no run is recorded yet" in told.fails(1, "history", "--run", "last")


def test_history_cut_off_by_limit_names_a_larger_limit(told: Archive) -> None:
    result = told("history", "--file", "pilot/b", "--limit", "1")
    assert "corrupt" in result.out and "suspect" not in result.out
    assert "--limit 10" in result.err
    assert told("history", "--file", "pilot/b", "--limit", "2").err == ""


def test_history_shows_the_numbers_of_a_file_and_node_removed_from_the_index(told: Archive) -> None:
    event(told, 4711, "off2")
    told.index.execute("DELETE FROM storagenode WHERE name = 'off2'")
    node = told.one("SELECT MAX(node_id) FROM sync_event")
    run = run_row(told)
    told.index.execute("UPDATE sync_event SET run_id = ? WHERE file_id = 4711", (run,))
    text = told.ok("history", "--run", str(run))
    assert "(file 4711, gone)" in text and f"(node {node}, gone)" in text


def test_hostile_texts_are_made_harmless(told: Archive) -> None:
    event(told, told.file("c\x1b[2J"), why="a\nb\x1b[1m")
    text = told.ok("history", "--node", "field1")
    assert "\x1b" not in text and "a\\nb\\x1b[1m" in text


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (1, ["--file", "pilot/none"]),
        (1, ["--node", "none"]),
        (1, ["--run", "999"]),
        (2, ["--run", "x"]),
        (2, ["--since", "yesterday"]),
        (2, ["--limit", "0"]),
        (2, ["--prune", "soon"]),
        (2, ["--prune", "1d", "--file", "pilot/a"]),
        (2, ["--prune", "1d", "--json"]),
        (2, ["--force"]),
    ],
)
def test_history_with_an_unknown_name_or_wrong_options_fails(
    told: Archive, status: int, arguments: list[str]
) -> None:
    told.fails(status, "history", *arguments)


def test_pruning_asks_with_the_numbers_and_force_answers(told: Archive) -> None:
    run_row(told)
    assert "2 events and 1 run" in told.fails(1, "history", "--prune", "0d")
    assert told.ok("history", "--prune", "0d", "--force") == "Deleted 2 events and 1 run.\n"
    assert len(told.all("SELECT * FROM sync_event")) == 1
    assert len(told.all("SELECT * FROM sync_run")) == 1
    assert told.ok("history", "--prune", "0d").startswith("No events or runs from before")


def test_history_prune_keeps_events_younger_than_the_given_age(told: Archive) -> None:
    assert told.ok("history", "--prune", "999999d", "--force").startswith("No events or runs")
    assert told.ok("history", "--prune", "999999999999d", "--force").startswith("No events or runs")
    assert len(told.all("SELECT * FROM sync_event")) == 3
