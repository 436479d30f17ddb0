from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from alpenhorn.edits import imports as import_requests
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.model.imports import ImportFile, ImportResult, KnownFile
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.model.tasks import Verdict
from alpenhorn.record.copies import once_good, with_evidence
from alpenhorn.record.imports import Imported, complete, postpone, settle
from alpenhorn.record.run import Run
from tests.fixtures.rows import MD5, WHEN, Rows
from tests.index.daemon import make_daemon_index

OTHER = "0" * 32


def result(name: str, md5sum: str = MD5, size_b: int = 10, acq: str = "new") -> ImportResult:
    return ImportResult(ImportFile(f"{acq}/{name}", acq, name), Verdict.HASHED, size_b, md5sum, 4096)


def imported(rows: Rows, run: Run, *results: ImportResult, node: str = "one") -> Imported:
    return settle(rows.index, run, rows.fact(node), results)


def files(rows: Rows) -> list[tuple[Any, ...]]:
    return rows.all(
        "SELECT a.name, f.name, f.size_b, f.md5sum FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
        " ORDER BY f.id"
    )


def copies(rows: Rows) -> list[tuple[Any, ...]]:
    return rows.all(
        "SELECT f.name, c.node_id, c.has_file, c.wants_file, c.ready, c.size_b FROM archivefilecopy c"
        " JOIN archivefile f ON f.id = c.file_id ORDER BY c.id"
    )


def test_a_new_file_gets_its_acquisition_file_and_copy(rows: Rows, run: Run) -> None:
    outcome = imported(rows, run, result("dir/a"), result("b", acq="acq"))
    assert outcome == Imported(2, 0, [], [])
    assert sorted(files(rows)) == [("acq", "b", 10, MD5), ("new", "dir/a", 10, MD5)]
    assert sorted(copies(rows)) == [(name, rows.node["one"], "Y", "Y", 1, 4096) for name in ("b", "dir/a")]
    assert rows.all("SELECT COUNT(*) FROM sync_verification") == [(2,)]


def test_importing_twice_changes_nothing(rows: Rows, run: Run) -> None:
    rows.rule("one", "two", autosync=1)
    imported(rows, run, result("a"))
    once = files(rows), copies(rows)
    assert imported(rows, run, result("a")) == Imported(0, 1, [], [])
    assert (files(rows), copies(rows)) == once
    assert len(rows.pending("two")) == 1


@pytest.mark.parametrize("before", [None, "NY", "NN", "MY", "XY"])
def test_a_file_as_in_the_index_is_a_good_copy(rows: Rows, run: Run, before: str | None) -> None:
    file_id = rows.file("a", md5sum=MD5.upper())
    if before:
        rows.copy(file_id, "one", before)
    assert imported(rows, run, result("a", acq="acq")) == Imported(0, 1, [], [])
    assert rows.state(file_id, "one") == "YY"


@pytest.mark.parametrize(("before", "after"), [("MN", "YN"), ("XN", "YN"), ("MM", "YM"), ("NN", "YY")])
def test_an_import_leaves_a_released_copy_released(rows: Rows, run: Run, before: str, after: str) -> None:
    file_id = rows.file("a")
    rows.copy(file_id, "one", before)
    imported(rows, run, result("a", acq="acq"))
    assert rows.state(file_id, "one") == after


@pytest.mark.parametrize("before", [None, "NY", "MY", "YY"])
@pytest.mark.parametrize(
    ("found", "why"), [(result("a", OTHER, acq="acq"), "MD5"), (result("a", size_b=9, acq="acq"), "length")]
)
def test_another_content_is_a_corrupt_copy_and_the_row_is_kept(
    rows: Rows, run: Run, before: str | None, found: ImportResult, why: str
) -> None:
    rows.rule("one", "two", autosync=1)
    file_id = rows.file("a")
    if before:
        rows.copy(file_id, "one", before)
    outcome = imported(rows, run, found)
    ((path, difference),) = outcome.differ
    assert path == "acq/a"
    assert why in difference
    assert rows.state(file_id, "one") == "XY"
    assert files(rows) == [("acq", "a", 10, MD5)]
    assert rows.pending("two") == []


@pytest.mark.parametrize("columns", [{"size_b": None}, {"md5sum": None}])
def test_a_row_without_length_or_sum_is_not_filled_in(rows: Rows, run: Run, columns: dict[str, Any]) -> None:
    rows.file("a", **columns)
    before = files(rows)
    assert imported(rows, run, result("a", acq="acq")).differ
    assert files(rows) == before


def test_of_a_copy_that_is_being_deleted_nothing_is_recorded(rows: Rows, run: Run) -> None:
    going, kept = rows.file("going"), rows.file("kept")
    rows.copy(going, "one", "MN")
    some = [result("going", OTHER, acq="acq"), result("kept", acq="acq")]
    outcome = settle(rows.index, run, rows.fact("one"), some, {going})
    assert outcome == Imported(0, 1, [], [])
    assert (rows.state(going, "one"), rows.state(kept, "one")) == ("MN", "YY")


def test_a_row_that_was_removed_meanwhile_is_not_made_again(rows: Rows, run: Run) -> None:
    known = KnownFile(99, "acq", "a", 10, MD5, "N")
    found = ImportResult(ImportFile("acq/a", "acq", "a", known), Verdict.HASHED, 10, MD5, 4096)
    outcome = imported(rows, run, found, result("b"))
    assert outcome.new == 1
    ((path, why),) = outcome.refused
    assert path == "acq/a"
    assert "removed" in why
    assert files(rows) == [("new", "b", 10, MD5)]


def test_autosync_and_autoclean_follow_an_import(rows: Rows, run: Run) -> None:
    rows.rule("one", "two", autosync=1)
    rows.rule("field", "one", autoclean=1)
    file_id = rows.file("a")
    rows.copy(file_id, "field", "YY")
    imported(rows, run, result("a", acq="acq"))
    assert rows.pending("two") == [(file_id, rows.node["one"])]
    assert rows.state(file_id, "field") == "YN"


def test_names_compare_byte_for_byte(rows: Rows, run: Run) -> None:
    names = ["a", "A", "á", "a ", "\N{SATELLITE ANTENNA}", "-x", "a:b", "'"]
    outcome = imported(
        rows, run, *(result(name) for name in names), *(result("a", acq=a) for a in ("N", "n"))
    )
    assert outcome == Imported(10, 0, [], [])
    assert len(files(rows)) == 10


def test_an_index_that_folds_case_takes_no_name_for_another(mariadb_index_url: str) -> None:
    index = Index.open(mariadb_index_url)
    make_daemon_index(index)
    create(index)
    rows = Rows(index)
    run = rows.begin()
    imported(rows, run, result("a", acq="acq"))
    outcome = imported(rows, run, result("A", acq="acq"), result("b", acq="ACQ"), result("c", acq="acq"))
    assert outcome[:3] == (1, 0, [])
    assert [path for path, _ in outcome.refused] == ["acq/A", "ACQ/b"]
    assert all("db check" in why for _, why in outcome.refused)
    assert files(rows) == [("acq", "a", 10, MD5), ("acq", "c", 10, MD5)]
    index.close()


@pytest.mark.parametrize("change", ["root = '/elsewhere'", "host_id = NULL"])
def test_nothing_is_recorded_of_a_node_that_was_moved_meanwhile(rows: Rows, run: Run, change: str) -> None:
    node = rows.fact("one")
    rows.do(f"UPDATE storagenode SET {change} WHERE id = ?", node.id)
    outcome = settle(rows.index, run, node, [result("a"), result("b", acq="acq")])
    assert outcome == Imported(0, 0, [], [], moved=True)
    assert files(rows) == [] and copies(rows) == []


@pytest.mark.parametrize(
    ("before", "evidence", "after"),
    [
        (None, True, False),
        ("NY", True, False),
        ("NN", True, False),
        ("MY", False, False),
        ("YY", False, True),
    ],
)
def test_only_what_was_good_is_evidence_that_a_corrupt_copy_may_be_replaced(
    rows: Rows, run: Run, before: str | None, evidence: bool, after: bool
) -> None:
    file_id, node_id = rows.file("a"), rows.node["one"]
    if before:
        rows.copy(file_id, "one", before)
    if evidence:
        once_good(rows.index, node_id, [file_id])
    imported(rows, run, result("a", OTHER, acq="acq"))
    assert rows.state(file_id, "one") == "XY"
    assert bool(with_evidence(rows.index, node_id, [file_id])) is after


@pytest.mark.parametrize(("state", "taken"), [("YY", True), ("MY", True), ("XN", True), ("NY", False)])
def test_a_path_that_another_acquisitions_file_has_on_the_node_is_refused(
    rows: Rows, run: Run, state: str, taken: bool
) -> None:
    rows.copy(rows.file("dir/a"), "one", state)
    rows.copy(rows.file("dir/b"), "two", "YY")
    outcome = imported(rows, run, result("a", acq="acq/dir"), result("b", acq="acq/dir"))
    assert outcome.new == (1 if taken else 2)
    assert [path for path, _ in outcome.refused] == (["acq/dir/a"] if taken else [])
    assert ("acq/dir", "a", 10, MD5) not in files(rows) or not taken
    if taken:
        assert "acquisition acq at the same path" in outcome.refused[0][1]


# --- requests ------------------------------------------------------------------------------------------


def test_an_import_request_is_completed_or_postponed(rows: Rows, run: Run) -> None:
    import_requests.file(rows.index, import_requests.ImportRequest(rows.node["one"], "acq"), WHEN)
    ((request_id,),) = rows.all("SELECT id FROM archivefileimportrequest")
    postpone(rows.index, run, request_id, "cannot look")
    assert rows.attempts("import") == [(request_id, 1, "unknown", "cannot look")]
    assert rows.all("SELECT completed FROM archivefileimportrequest") == [(0,)]
    complete(rows.index, request_id)
    assert rows.attempts("import") == []
    assert rows.all("SELECT completed FROM archivefileimportrequest") == [(1,)]


def test_the_same_request_is_filed_once_while_it_is_pending(rows: Rows) -> None:
    request = import_requests.initialisation(rows.node["one"])
    assert request.path == MARKER
    assert import_requests.file(rows.index, request, WHEN)
    assert not import_requests.file(rows.index, request, WHEN)
    assert import_requests.file(rows.index, request._replace(recurse=True), WHEN)
    rows.do("UPDATE archivefileimportrequest SET completed = 1")
    assert import_requests.file(rows.index, request, WHEN)


# --- two hosts at once ---------------------------------------------------------------------------------


def _import(
    url: str, run_id: int, node: NodeFact, md5sum: str, rounds: int, barrier: Barrier, told: Any
) -> None:
    index = Index.open(url)
    run = Run(run_id, f"host{run_id}", lambda: WHEN)
    differ = 0
    for number in range(rounds):
        barrier.wait(60)
        some = [result(f"{number}-{name}", md5sum, acq=f"acq{number}") for name in range(5)]
        differ += len(settle(index, run, node, some).differ)
    told.put(differ)
    index.close()


@pytest.mark.parametrize("sums", [(MD5, MD5), (MD5, OTHER)])
def test_of_two_hosts_that_find_one_new_file_one_registers_and_the_other_compares(
    index: Index, index_url: str, rows: Rows, sums: tuple[str, str]
) -> None:
    rounds = 25
    context = multiprocessing.get_context("fork")
    barrier, told = context.Barrier(2), context.SimpleQueue()
    racers = [
        context.Process(
            target=_import, args=(index_url, number, rows.fact(node), md5sum, rounds, barrier, told)
        )
        for number, (node, md5sum) in enumerate(zip(("one", "one_too"), sums, strict=True), 101)
    ]
    for racer in racers:
        racer.start()
    differ = told.get() + told.get()
    for racer in racers:
        racer.join()
    total = 5 * rounds
    assert len(files(rows)) == total
    states = rows.all("SELECT has_file, COUNT(*) FROM archivefilecopy GROUP BY has_file ORDER BY has_file")
    if sums[0] == sums[1]:
        assert differ == 0
        assert dict(states) == {"Y": 2 * total}
        return
    assert differ == total
    assert dict(states) == {"X": total, "Y": total}
    wrong = rows.all(
        "SELECT COUNT(*) FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " WHERE (c.has_file = 'Y') <> (f.md5sum = CASE c.node_id WHEN ? THEN ? ELSE ? END)",
        rows.node["one"],
        *sums,
    )
    assert wrong == [(0,)]


def test_reported_files_have_flags_for_new_files_and_acquisitions(rows: Rows, run: Run) -> None:
    imported(rows, run, result("old"))
    some = [result("old"), result("a"), result("b", acq="fresh"), result("untold"), result("old", OTHER)]
    told = settle(rows.index, run, rows.fact("two"), some, report={"new/old", "new/a", "fresh/b"}).reported
    found = {(one.path, one.new_file, one.new_acq) for one in told}
    assert found == {("new/old", False, False), ("new/a", True, False), ("fresh/b", True, True)}
    for one in told:
        where = (
            "SELECT f.id, f.acq_id, a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
        )
        assert rows.all(f"{where} WHERE f.id = {one.file_id}") == [
            (one.file_id, one.acq_id, one.acq, one.name)
        ]
        assert (one.node, one.node_id, one.size_b, one.md5sum) == ("two", rows.node["two"], 10, MD5)
