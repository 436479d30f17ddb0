from __future__ import annotations

import pytest

from alpenhorn.record.copies import became_good, good
from alpenhorn.record.run import Run
from tests.fixtures.rows import WHEN, Rows
from tests.scan.statements import counted

pytestmark = pytest.mark.cluster


def test_a_good_copy_keeps_its_row_and_the_columns_of_others(rows: Rows, run: Run) -> None:
    file_id = rows.file("a")
    copy_id = rows.copy(file_id, "one", "XY")
    rows.copy(file_id, "two", "MN")
    for space_b in (100, None):
        rows.index.retry(
            lambda space_b=space_b: good(  # type: ignore[misc]
                rows.index, run, rows.fact("one"), [(file_id, space_b)], "pulled", ["why"]
            )
        )
        assert rows.all(
            "SELECT id, has_file, size_b FROM archivefilecopy WHERE node_id = ?", rows.node["one"]
        ) == [(copy_id, "Y", space_b)]
    assert rows.state(file_id, "two") == "MN"


def test_empty_list_of_good_copies_records_nothing(rows: Rows, run: Run) -> None:
    good(rows.index, run, rows.fact("one"), [], "pulled", [])
    assert rows.all("SELECT * FROM sync_event") == []


def test_edges_in_a_circle_come_to_an_end(rows: Rows, run: Run) -> None:
    rows.rule("one", "two", autosync=1, autoclean=1)
    rows.rule("two", "one", autosync=1, autoclean=1)
    file_id = rows.file("a")
    rows.copy(file_id, "two", "YY")
    good(rows.index, run, rows.fact("one"), [(file_id, 1)], "pulled", ["why"])
    assert rows.pending("one") == rows.pending("two") == []
    assert rows.state(file_id, "two") == "YN"


def becomes_good(rows: Rows, run: Run, node: str, *file_ids: int) -> None:
    """Record a pull."""
    copies = [(file_id, 4096) for file_id in file_ids]
    rows.index.retry(lambda: good(rows.index, run, rows.fact(node), copies, "pulled", ["why"] * len(copies)))


def whys(rows: Rows, what: str) -> list[tuple[int, int, str]]:
    return rows.all("SELECT file_id, node_id, why FROM sync_event WHERE what = ? ORDER BY id", what)


def test_autosync_requests_what_the_group_has_not_and_says_so(rows: Rows, run: Run) -> None:
    rows.rule("field", "one", autosync=1)
    new, there, asked, suspect, done = (rows.file(name) for name in "abcde")
    rows.copy(there, "one_too", "YY")
    rows.copy(suspect, "one", "MY")
    pending = rows.request(asked, "two", "one")
    rows.request(done, completed=1)
    rows.request(done, cancelled=1)
    rows.request(new, group="two")
    becomes_good(rows, run, "field", new, there, asked, suspect, done)
    field = rows.node["field"]
    assert rows.pending("one") == [
        (asked, rows.node["two"]),
        (new, field),
        (suspect, field),
        (done, field),
    ]
    assert rows.request_state(pending) == "pending"
    said = "autosync from field into one"
    assert whys(rows, "requested") == [(file_id, field, said) for file_id in (new, suspect, done)]
    # The log has things in the order in which they follow from one another.
    assert rows.all("SELECT what FROM sync_event WHERE file_id = ? ORDER BY id", new) == [
        ("pulled",),
        ("requested",),
    ]


def test_recording_again_after_a_lost_answer_requests_nothing_twice(rows: Rows, run: Run) -> None:
    rows.rule("field", "one", autosync=1)
    file_id = rows.file("a")
    for _ in range(2):
        becomes_good(rows, run, "field", file_id)
    assert rows.pending("one") == [(file_id, rows.node["field"])]
    assert len(whys(rows, "requested")) == 1


@pytest.mark.parametrize("before", ["YY", "YM", "MY", "XY", "NY"])
def test_autoclean_releases_the_nodes_copy_in_whatever_state_and_says_so(
    rows: Rows, run: Run, before: str
) -> None:
    rows.rule("field", "one", autoclean=1)
    file_id, other = rows.file("a"), rows.file("b")
    rows.copy(file_id, "field", before)
    rows.copy(file_id, "two", "YY")
    rows.copy(other, "field", "YY")
    becomes_good(rows, run, "one_too", file_id)
    assert rows.state(file_id, "field") == f"{before[0]}N"
    assert (rows.state(file_id, "two"), rows.state(other, "field")) == ("YY", "YY")
    assert whys(rows, "released") == [(file_id, rows.node["field"], "autoclean, one has it")]


def test_a_copy_that_is_released_already_is_left_alone(rows: Rows, run: Run) -> None:
    rows.rule("field", "one", autoclean=1)
    file_id, absent = rows.file("a"), rows.file("b")
    rows.copy(file_id, "field", "YN")
    becomes_good(rows, run, "one", file_id, absent)
    assert whys(rows, "released") == []
    assert rows.all("SELECT file_id FROM archivefilecopy WHERE last_update <> ?", WHEN) == []
    assert rows.state(absent, "field") is None


def checked_good(rows: Rows, run: Run, node: str, *file_ids: int) -> None:
    """Record a check, which keeps wants_file."""
    for file_id in file_ids:
        rows.do(
            "UPDATE archivefilecopy SET has_file = 'Y' WHERE file_id = ? AND node_id = ?",
            file_id,
            rows.node[node],
        )
    rows.index.retry(lambda: became_good(rows.index, run, rows.fact(node), file_ids))


def test_a_released_copy_that_is_found_good_is_neither_requested_nor_lets_another_go(
    rows: Rows, run: Run
) -> None:
    rows.rule("one", "two", autosync=1)
    rows.rule("field", "one", autoclean=1)
    released, wanted = rows.file("a"), rows.file("b")
    for file_id, state in ((released, "MN"), (wanted, "MY")):
        rows.copy(file_id, "one", state)
        rows.copy(file_id, "field", "YY")
    checked_good(rows, run, "one", released, wanted)
    assert rows.pending("two") == [(wanted, rows.node["one"])]
    assert (rows.state(released, "field"), rows.state(wanted, "field")) == ("YY", "YN")


def test_edges_to_the_own_group_are_ignored(rows: Rows, run: Run) -> None:
    rows.rule("one", "one", autosync=1, autoclean=1)
    file_id = rows.file("a")
    rows.copy(file_id, "one_too", "NN")
    becomes_good(rows, run, "one", file_id)
    assert rows.pending("one") == [] and rows.state(file_id, "one") == "YY"


def test_an_edge_to_a_group_without_nodes_makes_a_request_that_waits(rows: Rows, run: Run) -> None:
    rows.group["empty"] = rows.insert("storagegroup", name="empty")
    rows.rule("field", "empty", autosync=1, autoclean=1)
    file_id = rows.file("a")
    becomes_good(rows, run, "field", file_id)
    assert rows.pending("empty") == [(file_id, rows.node["field"])]
    assert rows.state(file_id, "field") == "YY"


def test_edges_whose_ends_are_gone_stop_no_recording(rows: Rows, run: Run) -> None:
    if not rows.index.dialect.in_a_file:
        rows.do("SET SESSION foreign_key_checks = 0")
    rows.node["gone"] = rows.group["gone"] = 4711
    rows.rule("field", "gone", autosync=1, autoclean=1)
    rows.rule("gone", "field", autosync=1, autoclean=1)
    if not rows.index.dialect.in_a_file:
        rows.do("SET SESSION foreign_key_checks = 1")
    file_id = rows.file("a")
    becomes_good(rows, run, "field", file_id)
    assert rows.state(file_id, "field") == "YY" and rows.pending("gone") == []


def test_copies_without_edges_cost_no_statement_more_than_the_look_for_edges(rows: Rows, run: Run) -> None:
    file_ids = [rows.file(str(number)) for number in range(600)]
    fact = rows.fact("field")
    with counted() as statements:
        became_good(rows.index, run, fact, file_ids)
    assert statements.count == 1


def test_many_copies_take_a_few_statements(rows: Rows, run: Run) -> None:
    rows.rule("field", "one", autosync=1)
    rows.rule("two", "field", autoclean=1)
    with rows.index.transaction():
        file_ids = [rows.file(str(number)) for number in range(1100)]
        for file_id in file_ids:
            rows.copy(file_id, "two", "YY")
            rows.copy(file_id, "field", "YY")
    with counted() as statements:
        became_good(rows.index, run, rows.fact("field"), file_ids)
    assert statements.count < 20
    assert len(rows.pending("one")) == len(whys(rows, "released")) == 1100
    assert {rows.state(file_id, "two") for file_id in file_ids} == {"YN"}


def test_a_transaction_that_is_undone_takes_the_copy_and_what_follows_from_it_together(
    rows: Rows, run: Run
) -> None:
    rows.rule("field", "one", autosync=1)
    file_id = rows.file("a")

    class Undone(Exception):
        pass

    with pytest.raises(Undone), rows.index.transaction():
        becomes_good(rows, run, "field", file_id)
        assert rows.pending("one")
        raise Undone
    assert rows.state(file_id, "field") is None and rows.pending("one") == []
