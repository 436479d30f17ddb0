from __future__ import annotations

from alpenhorn.edits.imports import ImportRequest, file
from alpenhorn.model.imports import ImportRequestFact, KnownFile
from alpenhorn.model.tasks import Blame
from alpenhorn.record.attempts import Failure, failed
from alpenhorn.record.run import Run
from alpenhorn.scan.imports import known, requests, written_by
from tests.fixtures.rows import MD5, WHEN, Rows
from tests.scan.statements import counted


def test_pending_requests_are_found_oldest_first(rows: Rows, run: Run) -> None:
    for path, recurse, register in (("b", True, False), ("a", False, True), ("done", False, False)):
        file(rows.index, ImportRequest(rows.node["one"], path, recurse, register), WHEN)
    file(rows.index, ImportRequest(rows.node["two"], "elsewhere"), WHEN)
    rows.do("UPDATE archivefileimportrequest SET completed = 1 WHERE path = 'done'")
    first, second = requests(rows.index, rows.node["one"])
    assert first == ImportRequestFact(first.request_id, rows.node["one"], "b", True, False)
    assert second[2:] == ("a", False, True, None, "")
    failed(rows.index, run, "import", [Failure(second.request_id, Blame.DESTINATION, "EIO")])
    first, second = requests(rows.index, rows.node["one"])
    assert first.attempt is None
    assert second.attempt is not None
    assert second.attempt.error == "EIO"


def test_known_names_come_with_their_file_and_copy(rows: Rows) -> None:
    here, elsewhere, nowhere = rows.file("a"), rows.file("b"), rows.file("dir/c", None, None)
    rows.copy(here, "one", "XN")
    rows.copy(elsewhere, "two", "YY")
    names = [
        ("acq", "a"),
        ("acq", "b"),
        ("acq", "dir/c"),
        ("acq", "none"),
        ("other", "a"),
        ("ACQ", "a"),
        ("acq", "A"),
    ]
    assert known(rows.index, rows.node["one"], names) == {
        ("acq", "a"): KnownFile(here, "acq", "a", 10, MD5, "X"),
        ("acq", "b"): KnownFile(elsewhere, "acq", "b", 10, MD5, None),
        ("acq", "dir/c"): KnownFile(nowhere, "acq", "dir/c", None, None, None),
    }
    assert known(rows.index, rows.node["one"], []) == {}


def test_many_names_cost_few_statements(rows: Rows) -> None:
    with rows.index.transaction():
        for number in range(1100):
            rows.file(str(number))
    with counted() as statements:
        found = known(rows.index, rows.node["one"], [("acq", str(number)) for number in range(1200)])
    assert len(found) == 1100
    assert statements.count <= 4


def test_a_run_is_known_by_its_host_and_its_start(rows: Rows, run: Run) -> None:
    written = written_by(rows.index, run.id)
    assert written is not None
    assert written[:2] == (run.id, run.host)
    assert written[2] == WHEN.isoformat(" ")
    assert written_by(rows.index, run.id + 1) is None
