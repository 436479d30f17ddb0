"""Good archive copies that count, depending on the recorded state of their media."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from alpenhorn.model.deletions import DeletionFact, Evidence
from alpenhorn.scan.deletions import pages, read
from tests.fixtures.rows import Rows
from tests.fixtures.seen import mark_seen

DAY = datetime.timedelta(days=1)
USUAL = Evidence()
LONG_AGO = datetime.datetime(2026, 1, 2, 3, 4, 5)


def the_fact(rows: Rows, evidence: Evidence = USUAL, node: str = "field") -> DeletionFact:
    (copies,) = pages(rows.index, rows.node[node], "Y", "N", 10)
    (fact,) = read(rows.index, rows.node[node], copies, 0, evidence).facts
    return fact


def released(rows: Rows, *good: str, node: str = "field") -> int:
    file_id = rows.file("a")
    rows.copy(file_id, node, "YN")
    for name in good:
        rows.copy(file_id, name, "YY")
    return file_id


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"wrong": LONG_AGO, "why": "no marker"}, "left out since 2026-01-02 03:04 UTC: no marker"),
        (
            {"wrong": LONG_AGO, "medium": None},
            "left out since 2026-01-02 03:04 UTC: not in the expected state",
        ),
        ({"distrust": "compare"}, "not compared with the disk yet (run `alpenhorn sync` on host there)"),
        ({"distrust": "reconcile"}, "the index is older than its disk (run: alpenhorn reconcile)"),
        ({"distrust": "something newer"}, "the index is older than its disk (run: alpenhorn reconcile)"),
        ({"medium": None}, "never seen by a run (run `alpenhorn sync` on host there)"),
        ({"seen": None}, "not seen yet (run `alpenhorn sync` on host there)"),
        (
            {"seen": LONG_AGO},
            "not seen since 2026-01-02 03:04 UTC (run `alpenhorn sync` on host there)",
        ),
        ({"separate": 0}, "its copies may share their bytes with other names"),
    ],
)
@pytest.mark.parametrize("state", ["YY", "YN"])
def test_a_copy_counts_only_where_the_medium_is_believed(
    rows: Rows, columns: dict[str, Any], why: str, state: str
) -> None:
    file_id = released(rows, "two")
    rows.copy(file_id, "one_too", state)
    assert the_fact(rows).uncounted == ()
    mark_seen(rows.index, rows.node["one_too"], **columns)
    fact = the_fact(rows)
    assert (fact.others, fact.other_ids, fact.released) == (("two",), (rows.node["two"],), ())
    assert len(fact.uncounted) == 1 and fact.uncounted[0].startswith(f"one_too: {why}")


def test_a_node_that_no_run_has_seen_does_not_count_unless_that_is_trusted(rows: Rows) -> None:
    released(rows, "one", "two")
    rows.do("DELETE FROM sync_medium WHERE node_id = ?", rows.node["one"])
    mark_seen(rows.index, rows.node["two"], medium=None, seen=None, separate=0)
    assert the_fact(rows).others == ()
    assert the_fact(rows, Evidence(trust_unseen=True)).others == ("one", "two")
    rows.do("UPDATE sync_medium SET wrong = ?", LONG_AGO)
    assert the_fact(rows, Evidence(trust_unseen=True)).others == ("one",)


def test_trust_unseen_trusts_nothing_else(rows: Rows) -> None:
    released(rows, "one", "two")
    mark_seen(rows.index, rows.node["one"], seen=LONG_AGO)
    mark_seen(rows.index, rows.node["two"], separate=0)
    assert the_fact(rows, Evidence(trust_unseen=True)).others == ()


def test_keeper_counts_only_if_seen_within_the_configured_time(rows: Rows) -> None:
    released(rows, "one", "two")
    mark_seen(rows.index, rows.node["one"], seen=rows.index.now() - 6.9 * DAY)
    mark_seen(rows.index, rows.node["two"], seen=rows.index.now() - 7.1 * DAY)
    assert the_fact(rows).others == ("one",)
    assert the_fact(rows, Evidence(seen_within=8 * 86_400.0)).others == ("one", "two")
    assert the_fact(rows, Evidence(seen_within=86_400.0)).others == ()


def test_no_date_in_the_future_is_believed(rows: Rows) -> None:
    released(rows, "one")
    mark_seen(rows.index, rows.node["one"], seen=datetime.datetime(2236, 1, 2, 3, 4))
    assert the_fact(rows).uncounted[0].startswith("one: seen at 2236-01-02 03:04 UTC, which is in the future")


def test_keeper_on_a_node_that_does_not_answer_the_run_does_not_count(rows: Rows) -> None:
    released(rows, "one", "two")
    fact = the_fact(rows, Evidence(absent={rows.node["one"]: "the disk is gone"}))
    assert (fact.others, fact.uncounted) == (("two",), ("one: the disk is gone",))


def test_one_medium_counts_once(rows: Rows) -> None:
    released(rows, "one", "one_too", "two")
    for name in ("one_too", "two"):
        mark_seen(rows.index, rows.node[name], medium="m" * 32)
    fact = the_fact(rows)
    assert fact.others == ("one", "one_too")
    assert fact.uncounted == ("two: on the same medium as one_too",)
    mark_seen(rows.index, rows.node["one_too"], medium="m" * 32, wrong=LONG_AGO)
    assert the_fact(rows).others == ("one", "two")


def test_on_a_shared_medium_the_copy_that_is_not_released_counts(rows: Rows) -> None:
    file_id = released(rows, "two")
    rows.copy(file_id, "one", "YN")
    for name in ("one", "two"):
        mark_seen(rows.index, rows.node[name], medium="m" * 32)
    fact = the_fact(rows)
    assert (fact.others, fact.released) == (("two",), ())
    assert fact.uncounted == ("one: on the same medium as two",)


def test_a_copy_on_the_medium_of_the_one_that_goes_does_not_count(rows: Rows) -> None:
    """A renamed node, and another created with its root: a deletion on one also removes the copy of the other."""
    released(rows, "one_too", "two", node="one")
    for name in ("one", "two"):
        mark_seen(rows.index, rows.node[name], medium="m" * 32)
    fact = the_fact(rows, node="one")
    assert (fact.others, fact.uncounted) == (("one_too",), ("two: on the same medium as one",))


@pytest.mark.parametrize(
    ("first", "second", "others", "leaving"),
    [
        ("YY", "YY", ("one",), ()),
        ("YY", "YN", (), ("one",)),
        ("YY", "XY", (), ()),
        ("MY", "YY", (), ()),
        ("NN", "YY", (), ()),
    ],
)
def test_a_copy_with_two_rows_counts_once_and_only_as_both_say(
    rows: Rows, first: str, second: str, others: tuple[str, ...], leaving: tuple[str, ...]
) -> None:
    lose_the_unique_index(rows)
    file_id = released(rows)
    for state in (first, second):
        rows.copy(file_id, "one", state)
    fact = the_fact(rows)
    assert (fact.others, fact.released) == (others, leaving)


def test_a_copy_with_two_rows_is_recognized(rows: Rows) -> None:
    lose_the_unique_index(rows)
    file_id = released(rows, "one")
    assert not the_fact(rows).twice
    rows.copy(file_id, "field", "YY")
    assert the_fact(rows).twice


def test_an_index_older_than_the_disks_is_recognized(rows: Rows) -> None:
    released(rows, "one")
    assert the_fact(rows).restored == ""
    rows.insert("sync_index", name="identity", value="f" * 32)
    assert the_fact(rows).restored == ""
    rows.insert("sync_index", name="restored", value="one is ahead")
    assert the_fact(rows).restored == "one is ahead"


def lose_the_unique_index(rows: Rows) -> None:
    """As in an index that was created by hand."""
    if rows.index.dialect.in_a_file:
        ((name,),) = rows.all(
            "SELECT l.name FROM pragma_index_list('archivefilecopy') l"
            " WHERE l.\"unique\" = 1 AND l.origin = 'c'"
        )
        rows.do(f"DROP INDEX {name}")
    else:
        ((name,),) = rows.all(
            "SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE()"
            " AND TABLE_NAME = 'archivefilecopy' AND NON_UNIQUE = 0 AND INDEX_NAME <> 'PRIMARY'"
        )
        # Foreign keys need an index that begins with their column.
        rows.do("CREATE INDEX by_file ON archivefilecopy (file_id)")
        rows.do(f"DROP INDEX `{name}` ON archivefilecopy")
