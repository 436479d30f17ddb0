"""Deleted files are kept in the trash of their node, brought back from there, and deleted in the end."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alpenhorn.model.trash import batch_name, deleted_at

pytestmark = pytest.mark.one_engine

KEEP = 14 * 86_400
ACQ = "acq"


@pytest.fixture
def nodes(archive):
    """A field node of which all copies may be deleted, and two archive nodes; this host has a trash."""
    return filled(archive)


def filled(archive):
    archive.node("field")
    archive.node("safe1", archive=1)
    archive.node("safe2", archive=1)
    archive.configure(sync={"trash": "14d"})
    archive.ids = [archive.file(f"{ACQ}/dir/{i}", None, "field", "safe1", "safe2") for i in range(3)]
    return archive


def release(archive, *file_ids, node="field"):
    for file_id in file_ids:
        archive.set_copy(file_id, node, "YN")


def trash(archive, node="field") -> Path:
    return archive.root(node) / ".alpenhorn" / "trash"


def batches(archive, node="field"):
    at = trash(archive, node)
    return sorted(path.name for path in at.iterdir()) if at.is_dir() else []


def kept(archive, node="field"):
    """Return the paths of the files in the trash, without their batches."""
    at = trash(archive, node)
    return sorted(str(path.relative_to(at)).partition("/")[2] for path in at.rglob("*") if path.is_file())


def rows(archive):
    return archive.all("SELECT file_id, asked IS NOT NULL FROM sync_trash ORDER BY file_id, batch")


def aged(archive, days, node="field", modified=True):
    """Make everything in the trash older, by its name, its row and the time of its directory."""
    for name in batches(archive, node):
        run, number = name.split("-")[1:]
        old = datetime.fromtimestamp(deleted_at(name), UTC) - timedelta(days=days)
        new = batch_name(old, int(run), int(number))
        (trash(archive, node) / name).rename(trash(archive, node) / new)
        archive.do("UPDATE sync_trash SET batch = ? WHERE batch = ?", new, name)
        if modified:
            os.utime(trash(archive, node) / new, (old.timestamp(), old.timestamp()))


def deleted(archive, *file_ids):
    release(archive, *file_ids)
    archive.synced("--only", "delete")
    assert {archive.copy(file_id, "field") for file_id in file_ids} == {"NN"}


@pytest.mark.both_engines
def test_a_deleted_file_is_kept_brought_back_verified_and_deleted_in_the_end(nodes):
    one, two = nodes.ids[:2]
    inode = (nodes.root("field") / ACQ / "dir/0").stat().st_ino
    release(nodes, one, two)
    nodes.synced()
    # To everybody else, also to the daemon, it is deleted.
    assert [nodes.copy(file_id, "field") for file_id in nodes.ids] == ["NN", "NN", "YY"]
    assert list(nodes.tree("field")) == [f"{ACQ}/dir/2"]
    assert kept(nodes) == [f"{ACQ}/dir/0", f"{ACQ}/dir/1"] and rows(nodes) == [(one, 0), (two, 0)]
    why = nodes.all("SELECT why FROM sync_event WHERE what = 'deleted'")
    assert len(why) == 2 and all(text.endswith("; moved to the trash") for (text,) in why)
    nodes.synced()
    assert len(kept(nodes)) == 2
    result = nodes.run("file", "undelete", f"{ACQ}/dir/0")
    assert (
        result.status == 0
        and "Requested: acq/dir/0 from the trash of field. The next run on here" in result.out
    )
    assert "Already requested" in nodes.run("file", "undelete", f"{ACQ}/dir/0", "--node", "field").out
    assert rows(nodes) == [(one, 1), (two, 0)]
    nodes.synced()
    assert nodes.copy(one, "field") == "YY" and rows(nodes) == [(two, 0)]
    assert (nodes.root("field") / ACQ / "dir/0").stat().st_ino == inode
    assert nodes.events("undeleted") == [(one, "field")]
    assert nodes.violations() == []
    # It is not deleted again at once.
    nodes.synced()
    assert nodes.copy(one, "field") == "YY" and kept(nodes) == [f"{ACQ}/dir/1"]
    aged(nodes, 15)
    nodes.synced()
    assert batches(nodes) == [] and rows(nodes) == []
    assert nodes.copy(two, "field") == "NN"
    result = nodes.run("file", "undelete", f"{ACQ}/dir/1")
    assert result.status == 1 and "not in the trash of any node; nothing was changed" in result.err
