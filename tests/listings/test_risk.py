"""What would be lost with a node, by the rules that decide deletions."""

from __future__ import annotations

import datetime
import random
from typing import Any

import pytest

from alpenhorn.listings.risk import COPIES, REQUESTS, NodeRisk, Risk, files, summary
from alpenhorn.model.deletions import Evidence
from alpenhorn.scan.deletions import pages, read
from tests.fixtures.rows import Rows
from tests.fixtures.seen import mark_seen

USUAL = Evidence()
LONG_AGO = datetime.datetime(2026, 1, 2, 3, 4, 5)


def judged(rows: Rows, node: str = "field") -> dict[str, tuple[Risk, tuple[str, ...], tuple[str, ...]]]:
    """Risk, names of copies that count, and reasons of the others, by file."""
    return {
        file.path.removeprefix("acq/"): (file.risk, file.elsewhere, tuple(map(str, file.uncounted)))
        for file in files(rows.index, rows.node[node], USUAL)
    }


def of(rows: Rows, node: str = "field") -> NodeRisk:
    return summary(rows.index, rows.node[node], USUAL)


def put(rows: Rows, name: str, size_b: int = 10, /, **copies: str) -> int:
    file_id = rows.file(name, size_b)
    for node, state in copies.items():
        rows.copy(file_id, node, state)
    return file_id


def test_each_file_is_lost_without_another_copy(rows: Rows) -> None:
    put(rows, "alone", 7, field="YY")
    put(rows, "twice", 10, field="YY", one="YY")
    put(rows, "removable", 10, field="YM", one="YM")
    put(rows, "suspect here", 3, field="MY")
    put(rows, "corrupt elsewhere", 5, field="YY", one="XY", two="NY")
    put(rows, "corrupt here", field="XY", one="YY")
    put(rows, "not here", one="YY")
    assert {name: risk for name, (risk, _, _) in judged(rows).items()} == {
        "alone": Risk.ONLY,
        "twice": Risk.SAFE,
        "removable": Risk.SAFE,
        "suspect here": Risk.ONLY,
        "corrupt elsewhere": Risk.ONLY,
    }
    found = of(rows)
    assert (found.files, found.only, found.suspect) == ((5, 35), (3, 15), (1, 3))
    assert (found.doubtful, found.few, found.lost) == ((0, 0), (0, 0), (3, 15))


@pytest.mark.parametrize(
    ("state", "medium", "why"),
    [
        ("MY", {}, "two: suspect, must be checked first"),
        ("YN", {}, "two: released"),
        ("YY", {"seen": LONG_AGO}, "two: not seen since 2026-01-02 03:04 UTC"),
        (
            "YY",
            {"wrong": LONG_AGO, "why": "no marker"},
            "two: left out since 2026-01-02 03:04 UTC: no marker",
        ),
        ("YY", {"distrust": "compare"}, "two: not compared with the disk yet"),
        ("YY", {"separate": 0}, "two: its copies may share their bytes with other names"),
        ("YY", {"medium": "f" * 32}, "two: on the same medium as field"),
    ],
)
def test_copies_that_do_not_count_are_named_with_the_reason(
    rows: Rows, state: str, medium: dict[str, Any], why: str
) -> None:
    mark_seen(rows.index, rows.node["field"], medium="f" * 32)
    put(rows, "a", field="YY", two=state)
    put(rows, "b", field="YY", two=state, one="YY")
    if medium:
        mark_seen(rows.index, rows.node["two"], **medium)
    found = judged(rows)
    assert found["a"][:2] == (Risk.DOUBTFUL, ()) and found["a"][2][0].startswith(why)
    assert found["b"][:2] == (Risk.SAFE, ("one",))
    assert [(str(copy), files) for copy, files in of(rows).uncounted] == [(found["a"][2][0], 1)]


def test_copies_on_inactive_nodes_and_ones_that_are_being_deleted_do_not_count(rows: Rows) -> None:
    put(rows, "a", field="YY", one="YY")
    file_id = put(rows, "b", field="YY", two="YM")
    rows.do("UPDATE storagenode SET active = 0 WHERE name = 'one'")
    rows.insert(
        "sync_claim",
        kind="delete",
        file_id=file_id,
        target_id=rows.node["two"],
        node_id=rows.node["two"],
        reserved_b=0,
        host="here",
        run_id=1,
        expires=LONG_AGO,
        fence=1,
    )
    assert judged(rows) == {
        "a": (Risk.DOUBTFUL, (), ("one: not active",)),
        "b": (Risk.DOUBTFUL, (), ("two: being deleted",)),
    }


def test_a_copy_on_a_node_that_is_no_archive_preserves_a_file_but_is_no_archive_copy(rows: Rows) -> None:
    """On the same host it may be a hard link of the same file."""
    mark_seen(rows.index, rows.node["field"], separate=0)
    rows.do("UPDATE storagenode SET archive = 0 WHERE name IN ('one_too', 'two')")
    put(rows, "other host", field="YY", one_too="YY")
    put(rows, "this host", field="YY", two="YY")
    put(rows, "archived", one="YY", one_too="YY")
    found = judged(rows)
    assert found["other host"] == (Risk.SAFE, ("one_too",), ())
    assert found["this host"] == (Risk.DOUBTFUL, (), ("two: its copies may be hard links of those on field",))
    # Node one is an archive node whose copies have bytes of their own.
    assert judged(rows, "one")["archived"] == (Risk.FEW, ("one_too",), ())


def test_files_that_would_have_too_few_archive_copies(rows: Rows) -> None:
    put(rows, "two copies", 3, one="YY", two="YY")
    put(rows, "and one in the field", 4, one="YY", two="YY", field="YY")
    put(rows, "three copies", 5, one="YY", two="YY", one_too="YY")
    put(rows, "released here", 6, one="YN", two="YY")
    mark_seen(rows.index, rows.node["field"])
    found = {name: risk for name, (risk, _, _) in judged(rows, "one").items()}
    assert found == {
        "two copies": Risk.FEW,
        "and one in the field": Risk.FEW,
        "three copies": Risk.SAFE,
        "released here": Risk.SAFE,
    }
    assert of(rows, "one").few == (2, 7)
    assert summary(rows.index, rows.node["one"], Evidence(minimum=1)).few == (0, 0)
    # The field is no archive node: its end costs no archive copy.
    assert of(rows, "field").few == (0, 0)


def test_files_that_would_have_less_than_a_policy_asks_for(rows: Rows) -> None:
    put(rows, "one site", 3, one="YY", two="YY", one_too="YY")
    put(rows, "still two", 5, one="YY", two="YY", one_too="YY", field="YY")
    assert {risk for risk, _, _ in judged(rows, "one_too").values()} == {Risk.SAFE}
    rows.insert("sync_policy", name="p", copies=2, sites=2, min_age=0, priority=0)
    # The only copies at the other site; the loss of one of those at this site costs no site.
    assert {risk for risk, _, _ in judged(rows, "one_too").values()} == {Risk.FEW}
    assert {risk for risk, _, _ in judged(rows, "one").values()} == {Risk.SAFE}
    assert {risk for risk, _, _ in judged(rows, "field").values()} == {Risk.SAFE}


def test_of_two_nodes_on_one_medium_one_counts(rows: Rows) -> None:
    for name in ("one_too", "two"):
        mark_seen(rows.index, rows.node[name], medium="m" * 32)
    put(rows, "a", one="YY", one_too="YY", two="YY")
    assert judged(rows, "one") == {"a": (Risk.FEW, ("one_too",), ("two: on the same medium as one_too",))}


def test_requests_that_have_no_other_source(rows: Rows) -> None:
    alone = put(rows, "alone", field="YY")
    twice = put(rows, "twice", field="YY", one="YY")
    for file_id in (alone, twice):
        rows.request(file_id, group="two")
    rows.request(alone, group="one")
    rows.request(alone, group="one", completed=1)
    rows.request(alone, group="one", cancelled=1)
    assert of(rows).requests == 2


def test_the_target_is_the_archive_group_with_the_most_free_space(rows: Rows) -> None:
    rows.do("UPDATE storagenode SET avail_gb = id")
    assert of(rows).target == "two"
    rows.do("UPDATE storagenode SET avail_gb = 99 WHERE name = 'one_too'")
    assert of(rows).target == "one" and of(rows, "one").target == "two"
    mark_seen(rows.index, rows.node["one_too"], wrong=LONG_AGO)
    assert of(rows).target == "two"
    rows.do("UPDATE storagenode SET active = 0 WHERE name = 'two'")
    assert of(rows, "one").target == ""


def test_archive_copies_are_counted_as_for_deletions(rows: Rows) -> None:
    """Whatever the states of copies and media: a copy that allows a deletion counts here, and no other does."""
    chance = random.Random(13)
    ids = [put(rows, f"{number}", one="YN") for number in range(60)]
    for file_id in ids:
        for node in ("field", "one_too", "two"):
            if state := chance.choice(["", "YY", "YM", "YN", "MY", "XY", "NN"]):
                rows.copy(file_id, node, state)
    usual: dict[str, Any] = {}
    for medium in (usual, {"seen": LONG_AGO}, {"wrong": LONG_AGO}, {"separate": 0}, {"medium": f"{2:032x}"}):
        mark_seen(rows.index, rows.node["two"], **medium)
        (copies,) = pages(rows.index, rows.node["one"], "Y", "N", 100)
        facts = read(rows.index, rows.node["one"], copies, 0, USUAL).facts
        expected = {f"{fact.acq}/{fact.name}": set(fact.others) for fact in facts}
        assert len(expected) == 60 and any(expected.values())
        found = {
            file.path: set(file.elsewhere) - {"field"} for file in files(rows.index, rows.node["one"], USUAL)
        }
        assert found == expected


def test_pages_of_copies_and_requests_use_an_index(rows: Rows) -> None:
    for number in range(300):
        rows.request(put(rows, f"{number}", field="YY", one="YY"), group="two")
    statements: tuple[tuple[str, tuple[Any, ...]], ...] = (
        (COPIES.format(lookup_join=rows.index.dialect.lookup_join), (rows.node["field"], "Y", "Y", 0, 500)),
        (REQUESTS.format(marks="?, ?"), (1, 2, rows.node["field"])),
    )
    for sql, values in statements:
        if rows.index.dialect.in_a_file:
            steps = [str(row[3]) for row in rows.all(f"EXPLAIN QUERY PLAN {sql}", *values)]
            assert not any(step.startswith("SCAN") for step in steps), steps
        else:
            rows.all("ANALYZE TABLE archivefilecopy, archivefilecopyrequest, archivefile")
            plan = rows.all(f"EXPLAIN {sql}", *values)
            assert all(row[3] != "ALL" for row in plan if row[2] in ("c", "archivefilecopyrequest")), plan


def test_many_files_are_read_in_pages(rows: Rows) -> None:
    for number in range(1201):
        put(rows, f"{number}", 1, field="YY")
    assert of(rows).only == (1201, 1201)
