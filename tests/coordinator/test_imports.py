"""The searches of a round, driven step by step: which tasks they create, and how much they hold in memory.

Without --long, what may be held is a tenth, or less, of what the program holds.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.config import Transfer, load
from alpenhorn.coordinator import search_node, searches
from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.imports import Imports
from alpenhorn.coordinator.nodes import Nodes
from alpenhorn.coordinator.report import Asked, Report, Unwatched
from alpenhorn.coordinator.search_node import NodeSearch
from alpenhorn.coordinator.sync import _Session
from alpenhorn.extensions.registry import node_io
from alpenhorn.fs.remembered import Memory
from alpenhorn.model.imports import ImportJob
from alpenhorn.model.nodes import MARKER, ProbeOutcome
from alpenhorn.model.searches import RememberJob, SearchJob
from alpenhorn.model.tasks import Done, Fate, Task, TaskKind
from alpenhorn.plan.searches import parse
from alpenhorn.record import run as runs
from alpenhorn.scan import topology
from alpenhorn.workers import search as search_worker
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.worker import Worker
from tests.fixtures.archive import Archive, wait_for
from tests.io.nodes import Report as Told


def clock() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def begin(archive: Archive, pool: Pool) -> Context:
    """Begin a round on all nodes of the archive."""
    nodes = topology.load(archive.index).here("here")
    config = load(archive.configure(sync={"import_settle": 0}), {"HOME": "/"})
    found = Nodes(
        ios={node.id: node_io(node) for node in nodes},
        answers={node.id: ProbeOutcome(node.id, 10**12) for node in nodes},
    )
    session = _Session(
        index=archive.index,
        pool=pool,
        config=config,
        asked=Asked(),
        watcher=Unwatched(),
        clock=clock,
        stopping=lambda: False,
        report=Report(),
        run=runs.begin(archive.index, "here", [node.name for node in nodes], clock),
        started=time.monotonic(),
        start=topology.load(archive.index),
        nodes=nodes,
        found=found,
    )
    return session._context()


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(1, lambda task, report: None) as made:
        yield made


def work(task: Task) -> Done:
    return Done(task, Fate.DONE, Worker(Transfer())(task, Told()))


def fill(root: Path, directories: int, each: int = 50) -> None:
    for directory in range(directories):
        (root / f"acq{directory % 10}/{directory}").mkdir(parents=True)
        for number in range(each):
            (root / f"acq{directory % 10}/{directory}/{number}").touch()


def test_the_files_of_a_node_are_never_all_held(
    sqlite_archive: Archive, pool: Pool, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = sqlite_archive
    directories, each = 240, 500
    if not long:
        directories, each = 60, 50
        for module, name in ((searches, "MOST_FOUND"), (search_worker, "ENOUGH")):
            monkeypatch.setattr(module, name, getattr(module, name) // 40)
    fill(archive.node("field", auto_import=1), directories, each)
    context = begin(archive, pool)
    imports = Imports(context)
    queue: list[Task] = []
    most = 0
    while True:
        # As a run does: a page when little is queued.  The longest wait is that of files to be hashed.
        if len(queue) < 4:
            queue.extend(imports.feed())
        if not queue:
            break
        queue.sort(key=lambda task: task.kind is TaskKind.IMPORT)
        imports.task_ended(work(queue.pop(0)))
        waiting = sum(len(task.job.files) for task in queue if isinstance(task.job, ImportJob))
        most = max(most, waiting, *(search.waiting for search in imports._under_way.values()), 0)
    assert archive.one("SELECT COUNT(*) FROM archivefilecopy") == directories * each
    in_flight = 2 * context.limits.workers
    assert most <= searches.MOST_FOUND + in_flight * (search_worker.ENOUGH + each)
    assert most < directories * each / 2


def complete(imports: Imports) -> list[Task]:
    """Carry out all tasks; return them."""
    carried_out: list[Task] = []
    while tasks := imports.feed():
        for task in tasks:
            imports.task_ended(work(task))
        carried_out += tasks
    return carried_out


def let_tick(root: Path) -> None:
    """Wait until the times of all directories are older than those of two changes could be."""
    newest = max(os.lstat(path).st_ctime for path, _, _ in os.walk(root))
    wait_for(lambda: time.time() > newest + 2.1, "the clock to tick")


def test_more_directories_than_are_held_are_remembered_in_pieces(
    sqlite_archive: Archive, pool: Pool, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 60_000 if long else 1500
    if not long:
        for name in ("MOST_LISTED", "MOST_CHANGED"):
            monkeypatch.setattr(search_node, name, getattr(search_node, name) // 50)
    root = sqlite_archive.node("field", auto_import=1)
    for parent in range(60):
        for directory in range(number // 60):
            (root / f"{parent}/{directory:04}").mkdir(parents=True)

    def put(path: str) -> None:
        os.utime(sqlite_archive.put("field", path, path.encode()), (1, 1))

    def searched() -> list[Task]:
        """Search the node; return the tasks."""
        return complete(Imports(begin(sqlite_archive, pool)))

    put("7/0007/f")
    written = [task for task in searched() if isinstance(task.job, RememberJob)]
    assert len(written) > 1
    assert all(len(task.job.listed) < number for task in written if isinstance(task.job, RememberJob))
    with Memory(str(root)) as found:
        assert found.is_intact() and parse(found.heading) is not None
        assert sum(1 for _ in found.entries()) == number + 60 + 1
    let_tick(root)
    searched()  # what had changed just before the first search has to be looked at again
    put("8/0008/f")
    listed = {path for task in searched() if isinstance(task.job, SearchJob) for path in task.job.paths}
    assert listed == {"8/0008"}
    for path, _, _ in os.walk(root):  # more have changed than are held
        os.utime(path)
    put("9/0009/f")
    searched()
    assert sqlite_archive.all("SELECT name FROM archivefile ORDER BY name") == [
        ("0007/f",),
        ("0008/f",),
        ("0009/f",),
    ]


def test_a_node_is_searched_once_in_a_run(sqlite_archive: Archive, pool: Pool) -> None:
    fill(sqlite_archive.node("field", auto_import=1), 1)
    context = begin(sqlite_archive, pool)
    imports = Imports(context)
    assert [task.kind for task in imports.feed()] == [TaskKind.SURVEY]
    assert imports.feed() == []
    assert Imports(context).feed() == []


def test_a_search_of_a_node_that_went_away_ends(sqlite_archive: Archive, pool: Pool) -> None:
    root = sqlite_archive.node("field", auto_import=1)
    fill(root, 3)
    context = begin(sqlite_archive, pool)
    imports = Imports(context)
    (survey,) = imports.feed()
    imports.task_ended(work(survey))
    (first, *_) = imports.feed()
    (root / MARKER).unlink()
    imports.task_ended(Done(first, Fate.BROKEN, error="the marker is gone"))
    assert imports.feed() == []
    assert not imports._under_way
    assert "the marker is gone" in context.report.left_out["field"]
    assert not (root / ".alpenhorn/searched").exists()


@pytest.mark.parametrize("fate", [Fate.DIED, Fate.TIMED_OUT])
def test_an_incomplete_search_is_not_remembered_and_is_reported(
    sqlite_archive: Archive, pool: Pool, fate: Fate
) -> None:
    fill(sqlite_archive.node("field", auto_import=1), 3)
    context = begin(sqlite_archive, pool)
    imports = Imports(context)
    kinds = set()
    while tasks := imports.feed():
        for task in tasks:
            kinds.add(task.kind)
            lost = task.kind is TaskKind.SEARCH and "" not in task.job.paths  # type: ignore[union-attr]
            imports.task_ended(Done(task, fate, error="lost") if lost else work(task))
    assert kinds == {TaskKind.SURVEY, TaskKind.SEARCH}
    assert "incomplete" in context.report.failures.lines()[0]


def test_withdrawn_files_are_left_to_the_next_run(sqlite_archive: Archive, pool: Pool) -> None:
    fill(sqlite_archive.node("field", auto_import=1), 3)
    imports = Imports(begin(sqlite_archive, pool))
    (survey,) = imports.feed()
    imports.task_ended(work(survey))
    for task in imports.feed():
        imports.task_withdrawn(task)
    (search,) = imports._under_way.values()
    assert isinstance(search, NodeSearch)
    assert search.stopped and not search._due()


def test_a_copy_claimed_for_deletion_meanwhile_is_not_recorded(sqlite_archive: Archive, pool: Pool) -> None:
    archive = sqlite_archive
    archive.node("field", auto_import=1)
    kept, going = (archive.file(f"acq/{name}", b"bytes", "field") for name in ("kept", "going"))
    for file_id in (kept, going):
        archive.set_copy(file_id, "field", "NN")
    context = begin(archive, pool)
    imports = Imports(context)
    while tasks := imports.feed():
        for task in tasks:
            done = work(task)
            if task.kind is TaskKind.IMPORT:
                context.deleting.add((archive.id("storagenode", "field"), going))
            imports.task_ended(done)
    assert (archive.copy(kept, "field"), archive.copy(going, "field")) == ("YY", "NN")
