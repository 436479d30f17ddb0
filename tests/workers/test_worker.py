from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alpenhorn.config import Transfer
from alpenhorn.errors import StorageError
from alpenhorn.model.checks import CheckFile, CheckJob
from alpenhorn.model.deletions import DeleteFile, DeleteJob
from alpenhorn.model.imports import ImportFile, ImportJob
from alpenhorn.model.nodes import MARKER, InitJob, NodeFact, ProbeJob
from alpenhorn.model.pulls import Method, PullFile, PullJob
from alpenhorn.model.searches import RememberJob, SearchJob, Stamp, SurveyJob
from alpenhorn.model.tasks import Blame, Task, TaskKind, Verdict
from alpenhorn.workers.worker import Worker
from tests.io.nodes import Report, fact, make, put


def done(kind: TaskKind, job: Any, stage: str = "run-1-0") -> Any:
    return Worker(Transfer())(Task(kind, 2, job, stage=stage), Report())


@pytest.fixture
def node(tmp_path: Path) -> NodeFact:
    return make(tmp_path / "root").node


def test_each_kind_of_job_is_done_by_its_own_code(node: NodeFact, tmp_path: Path) -> None:
    md5sum = put(tmp_path / "root", "acq/a")
    assert done(TaskKind.PROBE, ProbeJob(node)).error == ""
    assert done(TaskKind.INIT, InitJob(node, 3)).error == ""
    search = done(TaskKind.SEARCH, SearchJob(node, 3, ("acq",)))
    assert [file.path for file in search.files] == ["acq/a"]
    assert done(TaskKind.SURVEY, SurveyJob(node, 3)).heading is None
    assert done(TaskKind.REMEMBER, RememberJob(node, 3, "heading", (), (Stamp("acq", 1, 2),))) == ""
    assert done(TaskKind.SURVEY, SurveyJob(node, 3)).changed == (Stamp("acq", 1, 2),)
    (result,) = done(TaskKind.IMPORT, ImportJob(node, 3, 0.0, (ImportFile("acq/a", "acq", "a"),)))
    assert result.md5sum == md5sum
    (result,) = done(TaskKind.CHECK, CheckJob(node, (CheckFile(1, 2, "acq/a", 7, md5sum),)))
    assert result.verdict is Verdict.GOOD
    (result,) = done(TaskKind.DELETE, DeleteJob(node, (DeleteFile(1, 2, "acq/a", 7, "Y"),))).results
    assert result.verdict is Verdict.DELETED


@pytest.mark.parametrize("method", [Method.COPY, Method.LINK, Method.RSYNC])
def test_a_file_is_pulled_between_nodes_of_this_host(node: NodeFact, tmp_path: Path, method: Method) -> None:
    start = make(tmp_path / "from", "start").node._replace(id=1)
    md5sum = put(tmp_path / "from", "acq/a")
    job = PullJob(start, node, method, (PullFile(1, 2, "acq/a", 7, md5sum),))
    (result,) = done(TaskKind.PULL, job)
    assert (result.verdict, result.error) == (Verdict.PULLED, "")
    assert (tmp_path / "root/acq/a").read_bytes() == b"content"


@pytest.mark.parametrize("method", [Method.COPY, Method.LINK, Method.RSYNC])
@pytest.mark.parametrize("mounted", [True, False])
def test_a_source_is_blamed_for_a_missing_file_only_while_its_node_is_there(
    node: NodeFact, tmp_path: Path, method: Method, mounted: bool
) -> None:
    start = make(tmp_path / "from", "start").node._replace(id=1)
    put(tmp_path / "from", "acq/other")
    if not mounted:
        (tmp_path / "from" / MARKER).unlink()
    job = PullJob(start, node, method, (PullFile(1, 2, "acq/a", 7, "0" * 32),))
    (result,) = done(TaskKind.PULL, job)
    assert result.verdict is Verdict.FAILED
    assert (result.blame is Blame.SOURCE) is mounted, result


def test_storage_of_an_unknown_class_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Unheard"):
        done(TaskKind.PROBE, ProbeJob(fact(tmp_path, io_class="Unheard")))
