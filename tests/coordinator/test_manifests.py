"""Queries and writes of a run for manifests."""

from __future__ import annotations

import datetime
import os

import pytest

from alpenhorn.config import load
from alpenhorn.coordinator.report import Asked, Report, Unwatched
from alpenhorn.coordinator.sync import sync
from alpenhorn.edits.history import prune
from alpenhorn.errors import StorageError
from alpenhorn.model.nodes import MANIFEST
from alpenhorn.model.tasks import Reporter, Task, TaskKind
from alpenhorn.workers.pool import Pool
from alpenhorn.workers.worker import Worker
from tests.fixtures.archive import Archive
from tests.scan.statements import Statements, counted


def about(statements: Statements, *tables: str) -> list[str]:
    """Return the queries about manifests, which are included in those of the nodes' rows."""
    return [
        sql for sql in statements.sql if any(table in sql for table in tables) and "n.max_total_gb" not in sql
    ]


class Failing(Worker):
    """Fails during a comparison."""

    def __init__(self, how: str) -> None:
        super().__init__(load(None, {"HOME": "/"}).transfer)
        self.how = how

    def __call__(self, task: Task, report: Reporter) -> object:
        if task.kind is not TaskKind.COMPARE:
            return super().__call__(task, report)
        if self.how == "dies":
            os._exit(1)
        raise StorageError("the disk is gone")


def run(
    archive: Archive, stopping: int | None = None, worker: Worker | None = None, **asked: object
) -> Report:
    """Run in this process; `stopping`: the number of checks after which the run is asked to stop."""
    config = load(archive.configure(), {"HOME": str(archive.base)})
    times = 0

    def stop() -> bool:
        nonlocal times
        times += 1
        return stopping is not None and times > stopping

    def clock() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

    with Pool(2, worker or Worker(config.transfer), before_fork=archive.index.disconnect) as pool:
        return sync(archive.index, pool, config, Asked(**asked), Unwatched(), clock, stop)  # type: ignore[arg-type]


@pytest.fixture
def field(archive: Archive) -> Archive:
    archive.node("field")
    archive.file("acq/f", b"bytes", "field")
    return archive


def test_an_idle_run_asks_two_questions_for_all_manifests_and_writes_nothing(field: Archive) -> None:
    field.node("other")
    run(field)
    before = (field.root("field") / MANIFEST).stat().st_ino
    run(field)
    with counted() as statements:
        run(field)
    # What was recorded since, and how many copies there are; of a node without copies whether there is one.
    asked = [sql for sql in about(statements, "sync_event", "sync_node") if "tape_class" not in sql]
    assert len(asked) == 2
    assert (field.root("field") / MANIFEST).stat().st_ino == before
    assert not (field.root("other") / MANIFEST).exists()


def test_a_large_manifest_is_written_now_and_then_and_new_files_are_not_reported_as_changed(
    field: Archive,
) -> None:
    run(field)
    node_id = field.id("storagenode", "field")
    field.do("UPDATE sync_node SET files = ?", 2**31 - 1)  # so that a run in 42,950 writes it
    before = (field.root("field") / MANIFEST).read_bytes()
    late = field.file("acq/late", b"late", "field")
    changed = field.file("acq/changed", b"changed", "field")
    field.change("field", "acq/changed", b"changed")
    field.insert(
        "sync_event", at="2026-01-02 03:04:05", file_id=late, node_id=node_id, what="imported", why=""
    )
    run(field)
    assert (field.root("field") / MANIFEST).read_bytes() == before
    field.do("UPDATE sync_node SET manifest = NULL")
    report = run(field, only=("pull",))
    (told,) = report.warnings.lines()
    assert "acq/changed: it was modified after the manifest was written" in told
    assert (field.copy(late, "field"), field.copy(changed, "field")) == ("YY", "MY")


def test_a_manifest_is_rewritten_though_the_history_before_it_was_pruned(field: Archive) -> None:
    """The number of copies is the same as before, so that only the events tell of the change."""
    field.group("truck", io_class="Transport")
    field.node("disk", group="truck")
    disk = field.id("storagenode", "disk")

    def event(file_id: int, what: str) -> None:
        at = "2026-01-02 03:04:05"
        field.insert("sync_event", at=at, file_id=file_id, node_id=disk, what=what, why="")

    first = field.file("acq/first", b"first", "disk")
    event(first, "imported")
    run(field, only=("pull",))
    assert b"acq/first" in (field.root("disk") / MANIFEST).read_bytes()
    prune(field.index, datetime.datetime(2026, 1, 3))
    field.do("UPDATE archivefilecopy SET has_file = 'N' WHERE file_id = ?", first)
    event(field.file("acq/second", b"second", "disk"), "imported")
    run(field, only=("pull",))
    assert b"acq/second" in (field.root("disk") / MANIFEST).read_bytes()


def test_events_of_other_nodes_are_not_read_repeatedly(field: Archive) -> None:
    run(field, nodes=("field",), manifest=True)
    row = ("2026-01-02 03:04:05", 1, 999, "pulled", "")
    field.index.executemany(
        "INSERT INTO sync_event (at, file_id, node_id, what, why) VALUES (?, ?, ?, ?, ?)", [row] * 1001
    )
    before = (field.root("field") / MANIFEST).stat().st_ino
    run(field)
    assert field.one("SELECT event_id FROM sync_node") == field.one("SELECT MAX(id) FROM sync_event")
    assert (field.root("field") / MANIFEST).stat().st_ino == before


def test_a_run_that_is_stopped_leaves_the_row_and_the_next_compares_again(field: Archive) -> None:
    """The run is stopped at every possible moment."""
    field.group("truck", io_class="Transport")
    field.node("disk", group="truck")
    ids = [field.file(f"acq/{number}", b"x", "disk") for number in range(3)]
    (field.root("disk") / "acq/1").unlink()
    for stopping in range(1, 100):
        if not run(field, stopping, only=("pull",)).stopped:
            break
        # The other node gets a manifest as well, sooner or later.
        row = field.all("SELECT manifest FROM sync_node WHERE node_id = ?", field.id("storagenode", "disk"))
        written = (field.root("disk") / MANIFEST).exists()
        # Nobody vouches for what was not compared.
        assert row in ([], [(None,)]) or (written and field.copy(ids[1], "disk") == "MY")
    assert stopping > 5
    assert field.copy(ids[1], "disk") == "MY" and (field.root("disk") / MANIFEST).exists()
    assert field.one("SELECT COUNT(*) FROM sync_event WHERE what = 'suspect'") == 1


@pytest.mark.parametrize("how", ["dies", "raises"])
def test_a_node_that_could_not_be_compared_is_left_alone(field: Archive, how: str) -> None:
    """Copies that were not seen must not count as good."""
    field.group("truck", io_class="Transport")
    field.node("disk", group="truck")
    lost = field.file("acq/lost", b"x", "disk")
    (field.root("disk") / "acq/lost").unlink()
    request = field.request(field.one("SELECT MIN(id) FROM archivefile"), "field", "truck")
    report = run(field, worker=Failing(how))
    assert report.exit_status == 1
    (told,) = report.failures.lines()
    assert told.startswith("node disk: its files could not be compared with the index")
    assert field.copy(lost, "disk") == "YY" and field.state(request) == "pending"
    assert not (field.root("disk") / MANIFEST).exists()
    assert field.one("SELECT COUNT(*) FROM sync_node") == 1  # that of the other node
    run(field)
    assert field.copy(lost, "disk") == "NY" and field.state(request) == "done"


def test_a_node_deactivated_while_its_manifest_is_written_is_not_trusted(field: Archive) -> None:
    """`records.record_token` checks the current row of the node."""
    from alpenhorn.edits import nodes as edit_node
    from alpenhorn.record.manifest import record_token
    from alpenhorn.scan import topology

    (node,) = topology.load(field.index).named(["field"])
    assert record_token(field.index, node, "a" * 32, 1, 1)
    now = datetime.datetime(2026, 1, 1)
    for edit in ({"active": False}, {"active": True, "root": "/elsewhere"}):
        edit_node.modify(field.index, node.id, edit, {}, now)
        assert not record_token(field.index, node, "a" * 32, 1, 1)
        assert field.one("SELECT manifest FROM sync_node") is None
