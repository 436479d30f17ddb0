"""Renamed nodes, whose roots have markers with the former names."""

import os

import pytest

from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import stand_in, wait_for

pytestmark = pytest.mark.one_engine


def mark(archive, root):
    return (archive.root(root) / MARKER).read_text()


def pair(archive):
    archive.node("field")
    archive.node("safe", archive=1)
    return archive.files(5, "field", 100)


def test_the_next_run_updates_the_marker_of_a_renamed_node_and_works_on_it(archive):
    ids = pair(archive)
    (archive.root("safe") / MARKER).write_text("safe\nbought in 2020\n")
    archive.requests(ids, "field", "safe")
    assert archive.run("node", "rename", "safe", "vault").status == 0
    planned = archive.run("plan")
    assert (
        "vault is left out" not in planned.out + planned.err
        and mark(archive, "safe") == "safe\nbought in 2020\n"
    )
    archive.synced()
    assert mark(archive, "safe") == "vault\nbought in 2020\n"
    assert archive.pending() == 0
    assert archive.stray("safe") == []
    archive.run("node", "rename", "vault", "safe")
    archive.synced()
    assert mark(archive, "safe") == "safe\nbought in 2020\n"


def test_a_disk_that_was_away_while_its_node_was_renamed_twice_is_known_again(sqlite_archive):
    archive = sqlite_archive
    pair(archive)
    for old, new in (("safe", "one"), ("one", "two")):
        archive.run("node", "rename", old, new)
    archive.synced()
    assert mark(archive, "safe") == "two\n"


def test_another_nodes_disk_is_not_taken_for_the_renamed_nodes(sqlite_archive):
    archive = sqlite_archive
    pair(archive)
    archive.run("node", "rename", "safe", "vault")
    # A new node has the old name: whose disk this is can no longer be told.
    archive.run("node", "create", "safe", "--group", "field", "--host", "here")
    result = archive.sync("--node", "vault")
    assert result.status == 1 and "belongs to node 'safe'" in result.err
    assert mark(archive, "safe") == "safe\n"
    (archive.root("safe") / MARKER).write_text("stranger\n")
    assert "'stranger'" in archive.sync("--node", "vault").err
    assert mark(archive, "safe") == "stranger\n"


def test_without_our_rows_a_renamed_node_is_left_out_and_named(sqlite_archive):
    archive = sqlite_archive
    pair(archive)
    archive.run("node", "rename", "safe", "vault")
    archive.do("DELETE FROM sync_former_name")
    result = archive.sync()
    assert result.status == 0 and "node vault is left out" in result.err
    assert mark(archive, "safe") == "safe\n"


def test_the_marker_of_a_root_that_another_run_holds_is_not_updated(sqlite_archive):
    archive = sqlite_archive
    pair(archive)
    lock = RunLock(str(archive.root("safe") / RUN_LOCK))
    assert lock.acquire()
    try:
        archive.run("node", "rename", "safe", "vault")
        result = archive.sync("--node", "vault")
        assert result.status == 75 and "another run" in result.err
        assert mark(archive, "safe") == "safe\n"
    finally:
        lock.release()
    archive.synced("--node", "vault")
    assert mark(archive, "safe") == "vault\n"


def test_a_run_goes_on_when_its_nodes_group_and_host_rows_are_renamed_or_changed(archive, tmp_path):
    """The names change before the next round; the locks and roots of the run do not."""
    ids = pair(archive)
    archive.run("node", "modify", "safe", "--io-var", "method=rsync", "--io-var", "jobs=1")
    gate, started = tmp_path / "gate", tmp_path / "started"
    os.mkfifo(gate)
    real = "/usr/bin/rsync"
    bin_ = stand_in(
        tmp_path / "bin",
        "rsync",
        f'if [ ! -e {started} ]; then touch {started}; read line < {gate}; fi\nexec {real} "$@"\n',
    )
    archive.configure(transfer={"rsync": str(bin_)})
    archive.requests(ids[:2], "field", "safe")
    run = archive.start("sync")
    wait_for(started.exists, "the first copy")
    for command in (
        ("node", "rename", "safe", "vault"),
        ("node", "rename", "field", "telescope"),
        ("group", "rename", "safe", "vaults"),
        ("host", "modify", "here", "--notes", "x"),
    ):
        assert archive.run(*command).status == 0
    # Asked for while the run goes on, so that it needs another round.
    archive.requests(ids[2:], "telescope", "vaults")
    gate.write_text("go\n")
    result = run.result()
    assert (result.status, result.err) == (0, "")
    assert archive.pending() == 0 and archive.claims() == 0
    assert (mark(archive, "safe"), mark(archive, "field")) == ("safe\n", "field\n")
    archive.synced()
    assert (mark(archive, "safe"), mark(archive, "field")) == ("vault\n", "telescope\n")
    for name, old in (("vault", "safe"), ("telescope", "field")):
        archive.run("node", "rename", name, old)  # the roots of the tests are called as the nodes were
    assert archive.violations() == []
