from __future__ import annotations

import pytest

from alpenhorn.model.deletions import DeleteFile, DeleteResult, Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tape import Location, TapeAction, TapeFile, TapeResult
from alpenhorn.model.tape_batches import BatchResult, CollectedFile
from alpenhorn.model.tasks import Verdict
from alpenhorn.reasons import Code, code_of
from alpenhorn.record import copies, deletions, tape, tape_batches
from alpenhorn.record.run import Run
from alpenhorn.scan import tape_batches as scan
from alpenhorn.scan.deletions import pages
from tests.fixtures.rows import Rows

BATCH = "1-1-word"


@pytest.fixture
def node(rows: Rows, run: Run) -> NodeFact:
    """Node `one`, with a class of a package, as a run on it has recorded it."""
    rows.do("UPDATE storagenode SET io_class = 'Library' WHERE name = 'one'")
    found = rows.fact("one")
    tape_batches.record_classes(rows.index, run, [(found, True)])
    return found


def collected(rows: Rows, run: Run, node: NodeFact, *names: str, state: str = "YY") -> list[CollectedFile]:
    """Return the new copies that are collected."""
    for name in names:
        rows.copy(rows.file(name), "one", state)
    tape_batches.collect(rows.index, run, node)
    return scan.collecting(rows.index, node.id)


def states(rows: Rows) -> list[tuple[str, str]]:
    return rows.all(
        "SELECT f.name, t.state FROM sync_tape t JOIN archivefile f ON f.id = t.file_id ORDER BY f.name"
    )


def put_on_tape(rows: Rows, run: Run, node: NodeFact, *names: str) -> list[CollectedFile]:
    files = tape_batches.begin(rows.index, run, node, BATCH, collected(rows, run, node, *names))
    tape_batches.settle(rows.index, run, node, BATCH, [BatchResult(file, True) for file in files])
    assert set(dict(states(rows)).values()) == {"on tape"}
    return files


def test_good_copies_that_are_not_released_are_collected_once(rows: Rows, run: Run, node: NodeFact) -> None:
    for state in ("YY", "YM", "YN", "MY", "XY", "NY"):
        rows.copy(rows.file(state), "one", state)
    rows.copy(rows.file("unknown", md5sum=None), "one", "YY")
    for _ in range(2):
        tape_batches.collect(rows.index, run, node)
        assert [file.path for file in scan.collecting(rows.index, node.id)] == ["acq/YY", "acq/YM"]


def test_copies_that_are_gone_are_forgotten_except_in_batches(rows: Rows, run: Run, node: NodeFact) -> None:
    a, b = collected(rows, run, node, "a", "b")
    tape_batches.begin(rows.index, run, node, BATCH, [b])
    rows.do("UPDATE archivefilecopy SET has_file = 'N'")
    tape_batches.collect(rows.index, run, node)
    assert states(rows) == [("b", "asked")] and a.path == "acq/a"


def test_a_copy_claimed_or_released_meanwhile_is_in_no_batch(rows: Rows, run: Run, node: NodeFact) -> None:
    files = collected(rows, run, node, "claimed", "released", "good")
    for has, wants, file in zip("MY", "NN", files, strict=False):
        rows.do(
            "UPDATE archivefilecopy SET has_file = ?, wants_file = ? WHERE id = ?", has, wants, file.copy_id
        )
    begun = tape_batches.begin(rows.index, run, node, BATCH, files)
    assert [file.path for file in begun] == ["acq/good"]
    assert [state for _, state in states(rows)] == ["collecting", "asked", "collecting"]


def test_a_batch_of_a_node_that_was_moved_is_not_begun(rows: Rows, run: Run, node: NodeFact) -> None:
    files = collected(rows, run, node, "a")
    rows.do("UPDATE storagenode SET root = '/elsewhere' WHERE name = 'one'")
    assert tape_batches.begin(rows.index, run, node, BATCH, files) == []
    assert states(rows) == [("a", "collecting")]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE storagenode SET root = '/elsewhere' WHERE name = 'one'",
        "UPDATE sync_medium SET medium = 'another'",
        "UPDATE sync_tape SET batch = 'a later one'",
        "DELETE FROM sync_tape",
    ],
)
def test_results_are_only_recorded_for_the_batch_and_the_place_they_are_of(
    rows: Rows, run: Run, node: NodeFact, change: str
) -> None:
    (file,) = tape_batches.begin(rows.index, run, node, BATCH, collected(rows, run, node, "a"))
    rows.do(change)
    before = states(rows)
    assert tape_batches.settle(rows.index, run, node, BATCH, [BatchResult(file, True)]) == []
    assert states(rows) == before and rows.events("on tape") == []


def test_a_failure_is_recorded_and_delays_the_next_batch(rows: Rows, run: Run, node: NodeFact) -> None:
    (file,) = tape_batches.begin(rows.index, run, node, BATCH, collected(rows, run, node, "a"))
    why = Code.NOT_ON_TAPE_AS_RECORDED(why="it is not in the archive")
    tape_batches.settle(rows.index, run, node, BATCH, [BatchResult(file, False, why)])
    (again,) = scan.collecting(rows.index, node.id)
    assert (again.tries, again.error, again.since) == (1, why, file.since) and again.next > file.since


def test_a_copy_that_became_good_again_is_verified_again(rows: Rows, run: Run, node: NodeFact) -> None:
    """What is on tape may be of an earlier copy."""
    a, _ = put_on_tape(rows, run, node, "a", "b")
    with rows.index.transaction():
        copies.good(rows.index, run, node, [(a.file_id, 10)], "pulled", [Code.COPY_READY()])
    assert states(rows) == [("a", "collecting"), ("b", "on tape")]


def test_a_copy_found_on_disk_only_is_collected_again(rows: Rows, run: Run, node: NodeFact) -> None:
    a, _ = put_on_tape(rows, run, node, "a", "b")
    result = TapeResult(TapeFile(a.copy_id, a.file_id, a.path, 10, True), Location.DISK)
    tape.settle(rows.index, run, node, TapeAction.LOOK, [result], {}, 0)
    assert states(rows) == [("a", "collecting"), ("b", "on tape")]


@pytest.mark.parametrize("became", ["Default", "OtherLibrary"])
def test_what_a_former_class_put_on_tape_is_verified_again(
    rows: Rows, run: Run, node: NodeFact, became: str
) -> None:
    put_on_tape(rows, run, node, "a")
    tape_batches.record_classes(rows.index, run, [(node._replace(io_class=became), False)])
    assert states(rows) == [("a", "collecting")]


def test_a_batch_that_was_withdrawn_has_not_failed(rows: Rows, run: Run, node: NodeFact) -> None:
    (file,) = collected(rows, run, node, "a")
    tape_batches.begin(rows.index, run, node, BATCH, [file])
    tape_batches.withdraw(rows.index, node, "another")
    assert states(rows) == [("a", "asked")]
    tape_batches.withdraw(rows.index, node, BATCH)
    assert scan.collecting(rows.index, node.id) == [file]


@pytest.mark.cluster
def test_a_copy_in_a_batch_is_not_claimed_for_deletion(rows: Rows, run: Run, node: NodeFact) -> None:
    a, b = collected(rows, run, node, "a", "b")
    tape_batches.begin(rows.index, run, node, BATCH, [a])
    rows.do("UPDATE archivefilecopy SET wants_file = 'N'")
    for file in (a, b):
        rows.copy(file.file_id, "two", "YY")
    (page,) = pages(rows.index, node.id, "Y", "N", 10)
    decided = deletions.claim(rows.index, run, node, page, Evidence(minimum=1), 0.0)
    assert [fact.copy_id for fact, _ in decided.granted] == [b.copy_id]
    assert [code_of(why) for _, why in decided.refused] == [Code.COPY_GOING_TO_TAPE]
    gone = DeleteResult(DeleteFile(b.copy_id, b.file_id, b.path, 10, "Y"), Verdict.DELETED)
    deletions.settle(rows.index, run, node, [gone], [], {}, "", decided.fences)
    assert states(rows) == [("a", "asked")]
