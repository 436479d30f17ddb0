"""The node of the example with tape, without runs: what it says of files while jobs, tape and disk do what they do."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path

import pytest

from alpenhorn.extensions.guard import check_node
from alpenhorn.model.tape import Location, TapeAction, TapeFile, TapeJob
from alpenhorn.model.tape_batches import (
    BatchJob,
    BatchLimits,
    BatchOutcome,
    BatchProgress,
    BatchState,
    BatchVerb,
    CollectedFile,
)
from alpenhorn.workers.tape import tape
from alpenhorn.workers.tape_batches import run_batch
from tests.extensions.hpss.alpenhorn_hpss.node import HpssNode
from tests.fixtures.hpss import DIRECTORY, Hpss
from tests.fixtures.packages import HPSS
from tests.io.nodes import MARKER, Report, fact, put

A, B = "acq/a", "acq/b"


class Library:
    """A node, and what its programs were told."""

    def __init__(self, directory: Path) -> None:
        self.hpss = Hpss(directory / "hpss", HPSS)
        self.root = directory / "root"
        self.root.mkdir()
        (self.root / MARKER).write_text("tape\n")
        settings = {"directory": DIRECTORY, "programs": str(self.hpss.bin)}
        self.node = HpssNode(fact(self.root, "tape", io_class="HPSS"), settings)

    def batch(self, verb: BatchVerb, *paths: str, name: str = "batch") -> BatchOutcome:
        files = tuple(
            CollectedFile(n, n, path, len(path), hashlib.md5(path.encode()).hexdigest(), 0.0)
            for n, path in enumerate(paths)
        )
        return run_batch(BatchJob(self.node.node, verb, name, files), self.node, Report())

    def begin(self, *paths: str, name: str = "batch") -> None:
        for path in paths:
            put(self.root, path, path.encode())
        assert self.batch(BatchVerb.BEGIN, *paths, name=name) == BatchOutcome()

    def on_tape(self, *paths: str, name: str = "batch") -> None:
        """Put new files on tape, and verify them."""
        self.begin(*paths, name=name)
        assert self.hpss.run_jobs() == 1
        outcome = self.batch(BatchVerb.LOOK, *paths, name=name)
        assert all(result.on_tape for result in outcome.results) and len(outcome.results) == len(paths)

    def look(self, *paths: str, name: str = "batch") -> dict[str, str]:
        """Return why each file is not on tape, "" if it is."""
        outcome = self.batch(BatchVerb.LOOK, *paths, name=name)
        assert not outcome.error and all(result.on_tape == (not result.error) for result in outcome.results)
        return {result.file.path: result.error for result in outcome.results}

    def do(self, action: TapeAction, *paths: str) -> list[tuple[str, Location | None]]:
        files = tuple(TapeFile(n, n, path, len(path), True) for n, path in enumerate(paths))
        results = tape(TapeJob(self.node.node, action, files), self.node, Report())
        return [(result.file.path, result.where) for result in results]

    def where(self, path: str) -> Location | None:
        return self.node.where([path])[path].where

    def write(self, path: str, content: bytes) -> None:
        (self.root / path).write_bytes(content)
        os.utime(self.root / path, (1e9, 1e9))

    def content(self, path: str) -> bytes:
        return (self.root / path).read_bytes()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_a_file_is_on_tape_once_it_was_verified_there(library: Library) -> None:
    library.begin(A, B)
    assert library.look(A, B) == {} and library.where(A) is Location.DISK
    library.hpss.run_jobs()
    assert library.where(A) is Location.DISK
    assert library.look(A, B) == {A: "", B: ""} and library.where(A) is Location.BOTH
    assert library.look(A, B) == {A: "", B: ""}  # again, after a run was killed before it recorded that


def test_a_batch_that_was_begun_is_not_begun_again(library: Library) -> None:
    library.begin(A)
    library.begin(A)
    assert len(library.hpss.jobs()) == 1
    library.hpss.run_jobs()
    library.begin(A)
    assert library.hpss.jobs() == []


def test_a_batch_that_was_never_begun_has_failed(library: Library) -> None:
    put(library.root, A, A.encode())
    assert library.look(A) == {A: "the job ended without a report"}


@pytest.mark.parametrize("program", ["htar", "hsi"])
def test_a_job_that_dies_leaves_nothing_behind(library: Library, program: str) -> None:
    library.begin(A)
    library.hpss.fault(program, "kill")
    assert library.hpss.run_jobs() == 0
    library.hpss.mend()
    assert library.look(A) == {A: "the job ended without a report"}
    assert library.hpss.archives() == [] and library.where(A) is Location.DISK


@pytest.mark.parametrize(
    ("fault", "said"), [("omit", "it is not in the archive"), ("alter", "its MD5 sum on tape is")]
)
def test_a_job_that_succeeds_without_a_member_proves_only_the_others(
    library: Library, fault: str, said: str
) -> None:
    library.begin(A, B)
    library.hpss.fault(fault, B)
    assert library.hpss.run_jobs() == 1
    found = library.look(A, B)
    assert found[A] == "" and found[B].startswith(said)
    assert (library.where(A), library.where(B)) == (Location.BOTH, Location.DISK)
    assert library.do(TapeAction.LEAVE, B) == [(B, Location.DISK)] and library.content(B) == B.encode()


def test_an_archive_that_rots_before_it_is_verified_proves_nothing(library: Library) -> None:
    library.begin(A)
    library.hpss.run_jobs()
    library.hpss.rot()
    assert "exited with status 1" in library.look(A)[A]
    assert library.hpss.archives() == [] and library.where(A) is Location.DISK


def test_a_copy_on_tape_that_rots_is_on_disk_only(library: Library) -> None:
    library.on_tape(A)
    library.hpss.rot()
    (result,) = library.batch(BatchVerb.BEGIN, A, name="later").results
    assert not result.on_tape and library.where(A) is Location.DISK and library.hpss.jobs() == []


def test_a_file_on_tape_is_verified_and_not_put_there_again(library: Library) -> None:
    library.on_tape(A)
    library.do(TapeAction.LEAVE, A)
    (result,) = library.batch(BatchVerb.BEGIN, A, name="later").results
    assert result.on_tape and library.hpss.jobs() == []


@pytest.mark.parametrize("program", ["squeue", "hsi"])
def test_nothing_is_known_while_the_tape_is_away(library: Library, program: str) -> None:
    library.begin(A)
    library.hpss.run_jobs()
    library.hpss.fault(program, "fail no connection")
    outcome = library.batch(BatchVerb.LOOK, A)
    assert outcome.results == () and "no connection" in outcome.error
    library.hpss.mend()
    assert library.look(A) == {A: ""}


@pytest.mark.parametrize("before_job", [True, False])
def test_a_file_changed_while_its_batch_is_under_way_is_not_the_one_on_tape(
    library: Library, before_job: bool
) -> None:
    library.begin(A)
    if before_job:
        library.write(A, b"other")
    library.hpss.run_jobs()
    library.write(A, b"other")
    assert (library.look(A)[A] == "") is not before_job
    assert library.do(TapeAction.LEAVE, A) == [(A, Location.DISK)] and library.content(A) == b"other"


def test_a_file_deleted_while_its_batch_is_under_way_is_not_on_tape(library: Library) -> None:
    library.begin(A, B)
    (library.root / A).unlink()
    library.hpss.run_jobs()
    assert library.look(A, B) == {A: "it is not in the archive", B: ""}
    assert library.where(A) is Location.GONE


def test_a_file_that_is_not_on_disk_is_in_no_batch(library: Library) -> None:
    (result,) = library.batch(BatchVerb.BEGIN, A).results
    assert not result.on_tape and result.error == "it is not there" and library.hpss.jobs() == []


def test_a_file_that_left_the_disk_comes_back_with_its_time(library: Library) -> None:
    library.on_tape(A, B)
    before = (library.root / A).stat().st_mtime_ns
    assert library.do(TapeAction.LEAVE, A, B) == [(A, Location.TAPE), (B, Location.TAPE)]
    assert library.content(A) == bytes(len(A)) and (library.root / A).stat().st_mtime_ns == before
    assert library.do(TapeAction.RESTORE, A) == [(A, Location.COMING)]
    assert library.do(TapeAction.RESTORE, A) == [(A, Location.COMING)] and len(library.hpss.jobs()) == 1
    assert library.hpss.run_jobs() == 1
    assert (library.where(A), library.where(B)) == (Location.BOTH, Location.TAPE)
    assert library.content(A) == A.encode() and (library.root / A).stat().st_mtime_ns == before


def test_a_restore_that_fails_leaves_the_stub(library: Library) -> None:
    library.on_tape(A)
    library.do(TapeAction.LEAVE, A)
    library.do(TapeAction.RESTORE, A)
    library.hpss.fault("htar", "kill")
    library.hpss.run_jobs()
    assert library.where(A) is Location.TAPE and library.content(A) == bytes(len(A))


def test_a_stub_that_was_written_is_neither_restored_nor_taken_for_the_file(library: Library) -> None:
    library.on_tape(A)
    library.do(TapeAction.LEAVE, A)
    library.write(A, b"other")
    assert library.where(A) is None
    assert library.do(TapeAction.RESTORE, A) == [(A, None)] and library.hpss.jobs() == []


def test_an_archive_is_removed_with_the_last_file_that_needs_it(library: Library) -> None:
    library.on_tape(A, B)
    for path, archives in ((A, 1), (B, 0)):
        (library.root / path).unlink()
        assert library.where(path) is Location.TAPE  # deleted from the disk, and still on tape
        for _ in range(2):
            assert library.node.remove([path]) == {}
        assert library.where(path) is Location.GONE and len(library.hpss.archives()) == archives


def test_a_removal_that_fails_is_tried_again(library: Library) -> None:
    library.on_tape(A)
    (library.root / A).unlink()
    library.hpss.fault("hsi", "fail no connection")
    assert library.node.remove([A, B]).keys() == {A}
    assert library.where(A) is Location.TAPE
    library.hpss.mend()
    assert library.node.remove([A]) == {} and library.hpss.archives() == []


def test_an_earlier_archive_of_a_file_is_removed_once_a_later_one_has_it(library: Library) -> None:
    library.on_tape(A)
    library.write(A, A.encode())  # with another time, so that it is put on tape again
    assert library.where(A) is Location.DISK
    assert library.batch(BatchVerb.BEGIN, A, name="later") == BatchOutcome()
    library.hpss.run_jobs()
    assert len(library.hpss.archives()) == 2
    assert library.look(A, name="later") == {A: ""} and len(library.hpss.archives()) == 1


@pytest.mark.parametrize("limits", [None, (1, 1, 1, 1), BatchLimits(0, 1, 1), BatchLimits(1, 1, math.inf)])
def test_a_package_with_impossible_limits_is_refused(library: Library, limits: BatchLimits) -> None:
    class Odd(HpssNode):
        batch_limits = limits

    check_node(library.node)
    with pytest.raises(TypeError, match="batch_limits"):
        check_node(Odd(library.node.node, library.node.settings))


def test_an_answer_that_is_no_state_discards_nothing(library: Library) -> None:
    class Odd(HpssNode):
        def progress(self, batch: str) -> BatchProgress:
            return BatchProgress("wonderful")  # type: ignore[arg-type]

    library.begin(A)
    library.node = Odd(library.node.node, library.node.settings)
    with pytest.raises(ValueError, match="wonderful"):
        library.look(A)
    assert len(library.hpss.jobs()) == 1


def test_a_failed_batch_puts_nothing_on_tape_later(library: Library) -> None:
    library.begin(A)
    assert library.node.progress("batch").state is BatchState.RUNNING
    library.node.discard("batch")
    assert library.hpss.run_jobs() == 0 and library.hpss.archives() == []
    assert library.node.progress("batch").state is BatchState.FAILED
