"""Jobs never read files of a node that are on tape only: reading one would wait for the tape, and give zeros in these
tests.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.errors import StorageError
from alpenhorn.io.base import DirectoryNode, TapeNode
from alpenhorn.model.checks import CheckFile, CheckJob, CheckResult
from alpenhorn.model.imports import DetectJob, ImportFile, ImportJob, ImportResult
from alpenhorn.model.nodes import ProbeJob
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.searches import FoundFile
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.workers.check import check
from alpenhorn.workers.detect import detect
from alpenhorn.workers.import_files import import_files
from alpenhorn.workers.nodes import probe
from alpenhorn.workers.pull import pull
from alpenhorn.workers.tape import why_unread
from tests.fixtures.lfs_program import ON_TAPE, RELEASED
from tests.io.nodes import Report, make
from tests.io.test_lustre_hsm import Tape, unmount

CONTENT = b"content"
SUM = hashlib.md5(CONTENT).hexdigest()
SAID = "Input/output error"
PATHS = ("acq/new", "acq/both", "acq/tape", "acq/coming", "acq/untold", "acq/none")


@pytest.fixture
def hsm(tmp_path: Path) -> Tape:
    """Create one file of each kind."""
    made = Tape(tmp_path)
    made.put("acq/new")
    made.put("acq/both", ON_TAPE)
    for name in ("tape", "coming", "untold"):
        made.put(f"acq/{name}", ON_TAPE | RELEASED)
    made.node.restore(["acq/coming"])
    made.lfs.refuse(made.at("acq/untold"), SAID, "hsm_state")
    return made


# --- checks --------------------------------------------------------------------------------------------


def checked(hsm: Tape, *paths: str) -> list[CheckResult]:
    files = tuple(CheckFile(1, 2, path, len(CONTENT), SUM) for path in paths)
    return list(check(CheckJob(hsm.node.node, files), hsm.node, Report()))


def test_a_check_reads_what_is_on_disk(hsm: Tape) -> None:
    found = [(result.verdict, result.error) for result in checked(hsm, *PATHS)]
    assert found == [
        (Verdict.GOOD, ""),
        (Verdict.GOOD, ""),
        (Verdict.AWAY, "it is on tape only"),
        (Verdict.AWAY, "it is on its way back from tape"),
        (Verdict.UNREADABLE, SAID),
        (Verdict.MISSING, "no such file on the node"),
    ]


def test_a_check_looks_where_files_are_once_a_job(hsm: Tape) -> None:
    hsm.lfs.forget()
    checked(hsm, "acq/new", "acq/both")
    assert [call.verb for call in hsm.lfs.asked()] == ["quota", "hsm_state"]


def test_nothing_is_checked_if_the_location_is_unknown(hsm: Tape) -> None:
    hsm.lfs.fail("hsm_state", "no idea")
    with pytest.raises(StorageError, match="no idea"):
        checked(hsm, "acq/new")


def test_files_are_not_missing_where_lustre_is_unmounted_meanwhile(hsm: Tape) -> None:
    class Unmounting(Report):
        def begin(self, path: str) -> None:
            pass

        def fail(self) -> None:
            pass

        def progress(self, files: int, bytes: int) -> None:
            if files and os.path.exists(hsm.at("acq")):
                unmount(hsm)

    files = tuple(CheckFile(1, 2, path, len(CONTENT), SUM) for path in PATHS[:2])
    with pytest.raises(StorageError, match="is Lustre mounted"):
        check(CheckJob(hsm.node.node, files), hsm.node, Unmounting())


# --- pulls ---------------------------------------------------------------------------------------------


class Pulled:
    """A pull from a node with tape onto another node of the host."""

    def __init__(self, hsm: Tape, base: Path) -> None:
        self.hsm = hsm
        self.root = base / "here"
        self.node: DirectoryNode = make(self.root, "here", host="here")

    def __call__(self, method: Method, *paths: str, size_b: int = len(CONTENT)) -> list[PullResult]:
        files = tuple(PullFile(n, n, path, size_b, SUM) for n, path in enumerate(paths))
        job = PullJob(self.hsm.node.node, self.node.node, method, files)
        return list(pull(job, self.node, "s1", Transfer(), Report(), self.hsm.node))


@pytest.fixture
def pulled(hsm: Tape, tmp_path: Path) -> Pulled:
    return Pulled(hsm, tmp_path)


@pytest.mark.parametrize("method", [Method.LINK, Method.COPY, Method.RSYNC])
def test_a_pull_takes_files_on_disk_and_leaves_the_rest_without_blame(pulled: Pulled, method: Method) -> None:
    found = pulled(method, *PATHS)
    assert [(result.verdict, result.blame) for result in found] == [
        (Verdict.PULLED, None),
        (Verdict.PULLED, None),
        (Verdict.AWAY, None),
        (Verdict.AWAY, None),
        (Verdict.FAILED, Blame.UNKNOWN),
        (Verdict.FAILED, Blame.SOURCE),
    ]
    assert [result.error for result in found[2:5]] == [
        "it is on tape only",
        "it is on its way back from tape",
        SAID,
    ]
    assert (pulled.root / "acq/both").read_bytes() == CONTENT
    assert sorted(os.listdir(pulled.root / "acq")) == ["both", "new"]


def test_a_pull_of_what_is_there_already_does_not_ask_for_its_source(pulled: Pulled) -> None:
    (pulled.root / "acq").mkdir()
    (pulled.root / "acq/tape").write_bytes(b"other")
    (result,) = pulled(Method.COPY, "acq/tape")
    assert result.verdict is Verdict.OCCUPIED
    assert pulled.hsm.lfs.asked("hsm_state") == []


def test_neither_node_is_blamed_if_the_location_of_sources_is_unknown(pulled: Pulled) -> None:
    pulled.hsm.lfs.fail("hsm_state", "no idea")
    results = pulled(Method.COPY, "acq/new", "acq/tape")
    assert [(result.verdict, result.blame) for result in results] == [(Verdict.FAILED, Blame.UNKNOWN)] * 2
    assert all("source node disk cannot be used" in result.error for result in results)
    pulled.hsm.root.rename(pulled.hsm.root.with_name("elsewhere"))
    (result,) = pulled(Method.COPY, "acq/new")
    assert (result.verdict, result.blame) == (Verdict.FAILED, Blame.UNKNOWN)


def test_a_part_that_has_come_is_kept_while_its_source_is_away(pulled: Pulled) -> None:
    with pulled.node.stage("part-1") as stage:
        assert stage.keeps_parts
        (Path(stage.path) / "acq").mkdir()
        (Path(stage.path) / "acq/tape").write_bytes(b"con")
    job = PullJob(
        pulled.hsm.node.node,
        pulled.node.node,
        Method.RSYNC,
        (PullFile(1, 1, "acq/tape", len(CONTENT), SUM),),
    )
    (result,) = pull(job, pulled.node, "part-1", Transfer(), Report(), pulled.hsm.node)
    assert result.verdict is Verdict.AWAY
    assert [path.read_bytes() for path in pulled.root.rglob("acq/tape")] == [b"con"]


# --- imports -------------------------------------------------------------------------------------------


def imported(hsm: Tape, *paths: str) -> list[ImportResult]:
    files = tuple(ImportFile(path, *path.partition("/")[::2]) for path in paths)
    return list(import_files(ImportJob(hsm.node.node, 1, 0.0, files), hsm.node, Report()))


def test_an_import_reads_files_on_disk_and_leaves_the_rest_for_later(hsm: Tape) -> None:
    results = imported(hsm, *PATHS)
    assert [result.verdict for result in results] == [
        Verdict.HASHED,
        Verdict.HASHED,
        Verdict.LATER,
        Verdict.LATER,
        Verdict.UNREADABLE,
        Verdict.DECLINED,
    ]
    assert results[1].md5sum == SUM
    assert results[2].error == (f"it is on tape only; restore it with: lfs hsm_restore {hsm.at('acq/tape')}")
    assert results[4].error == SAID


def test_the_remedy_can_be_given_to_a_shell(hsm: Tape) -> None:
    path = hsm.put("acq/it's $HOME", ON_TAPE | RELEASED)
    (result,) = imported(hsm, path)
    assert shlex.split(result.error)[-1] == hsm.at(path)


def test_a_class_without_a_command_for_its_tape_names_none(hsm: Tape) -> None:
    class Other(type(hsm.node)):  # type: ignore[misc]
        restore_command = TapeNode.restore_command

    node = Other(hsm.node.node, hsm.node.settings)
    why = why_unread(node, "acq/tape", node.where(["acq/tape"])["acq/tape"])
    assert why == "it is on tape only; restore it from tape"


def test_detectors_do_not_get_files_that_they_could_not_read(hsm: Tape) -> None:
    found = tuple(FoundFile(path, 1) for path in PATHS[:5])
    results = detect(DetectJob(hsm.node.node, 1, 1, 0.0, found), hsm.node, Report())
    assert [result.later for result in results] == [False, False, True, True, True]
    assert "lfs hsm_restore" in results[2].error and results[4].error == SAID


# --- whether the node is there -------------------------------------------------------------------------


def test_a_node_whose_lfs_fails_cannot_be_used_and_is_not_one_to_be_initialised(hsm: Tape) -> None:
    hsm.lfs.fail("quota", "no such group")
    outcome = probe(ProbeJob(hsm.node.node), hsm.node)
    assert "no such group" in outcome.error and "is Lustre mounted at" in outcome.error
    assert not outcome.uninitialised and not outcome.owner
    hsm.lfs.mend()
    assert probe(ProbeJob(hsm.node.node), hsm.node).error == ""


def test_a_node_where_lustre_is_not_mounted_cannot_be_used(hsm: Tape) -> None:
    unmount(hsm)
    outcome = probe(ProbeJob(hsm.node.node, tidy=True), hsm.node)
    assert "is Lustre mounted at" in outcome.error and not outcome.uninitialised
    assert os.listdir(hsm.root) == []


def test_another_nodes_name_on_the_root_is_reported(hsm: Tape) -> None:
    (hsm.root / "ALPENHORN_NODE").write_text("other\n")
    outcome = probe(ProbeJob(hsm.node.node), hsm.node)
    assert outcome.owner == "other" and "'other'" in outcome.error
