"""Nodes that cannot be worked on, hosts that share a group, runs that overlap."""

import os
import shutil
import signal
import subprocess

import pytest

from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.fs.tree_lock import TreeLock
from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import wait_for


def filled(archive):
    """A plain node and an archive node with a request between them, and another request that can always be served."""
    archive.node("field")
    archive.node("safe", archive=1)
    archive.node("other", archive=1)
    archive.file_id = archive.file("acq/f", b"bytes", "field")
    archive.pull = archive.request(archive.file_id, "field", "safe")
    archive.certain = archive.request(archive.file_id, "field", "other")
    return archive


@pytest.fixture
def pair(sqlite_archive):
    return filled(sqlite_archive)


def unmark(archive):
    (archive.root("safe") / MARKER).unlink()


def remark(archive):
    (archive.root("safe") / MARKER).write_text("elsewhere\n")


def remove(archive):
    unmark(archive)
    shutil.rmtree(archive.root("safe"))


def cut(archive):
    remove(archive)
    archive.root("safe").write_text("no directory")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(unmark, MARKER), (remark, "'elsewhere'"), (remove, "does not exist"), (cut, "does not exist")],
    ids=["not mounted", "another node's disk", "no root", "root is a file"],
)
def test_an_absent_node_is_left_out_and_nothing_is_created_on_it(pair, spoil, said):
    known = pair.file("acq/known", b"known")
    pair.set_copy(known, "safe", "YY")
    doubtful = pair.file("acq/doubtful", b"doubtful")
    pair.set_copy(doubtful, "safe", "MY")
    spoil(pair)
    before = pair.everything("safe") if pair.root("safe").is_dir() else None
    result = pair.sync()
    assert result.status == 0
    assert "node safe is left out" in result.err and said in result.err
    assert pair.state(pair.pull) == "pending" and pair.state(pair.certain) == "done"
    assert (pair.copy(known, "safe"), pair.copy(doubtful, "safe")) == ("YY", "MY")
    assert before == (pair.everything("safe") if pair.root("safe").is_dir() else None)
    assert pair.sync("--node", "safe").status == 1
    assert pair.run("plan").out.count("safe") > 0


def test_a_source_node_that_is_not_there_is_not_blamed_for_missing_files(pair):
    (pair.root("field") / MARKER).unlink()
    (pair.root("field") / "acq" / "f").unlink()
    result = pair.sync()
    assert "field" in result.err
    assert pair.copy(pair.file_id, "field") == "YY"
    assert pair.state(pair.pull) == "pending"


def test_an_unknown_node_is_named_with_status_1(pair):
    result = pair.sync("--node", "nowhere")
    assert result.status == 1 and "'nowhere'" in result.err
    assert pair.state(pair.certain) == "pending"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE storagenode SET active = 0 WHERE name = 'safe'", "not active"),
        ("UPDATE storagenode SET host_id = NULL WHERE name = 'safe'", "host"),
        ("UPDATE storagenode SET root = NULL WHERE name = 'safe'", "no root"),
        ("UPDATE storagenode SET root = 'relative' WHERE name = 'safe'", "root"),
        ("UPDATE storagenode SET io_config = 'no json' WHERE name = 'safe'", "JSON"),
        ("UPDATE storagenode SET io_config = '[1]' WHERE name = 'safe'", "JSON object"),
        ("UPDATE storagenode SET io_class = 'Nonsense' WHERE name = 'safe'", "Nonsense"),
        ("UPDATE storagegroup SET io_config = '{' WHERE name = 'safe'", "JSON"),
        ("UPDATE storagegroup SET io_class = 'Nonsense' WHERE name = 'safe'", "Nonsense"),
        ("UPDATE storagenode SET group_id = 9999 WHERE name = 'safe'", "group"),
    ],
)
def test_a_node_whose_row_is_wrong_is_skipped_with_the_reason_and_the_others_go_on(pair, change, said):
    pair.do(change)
    result = pair.sync()
    assert pair.state(pair.certain) == "done", result
    assert pair.state(pair.pull) == "pending"
    asked = pair.sync("--node", "safe")
    assert asked.status == 1 and said in asked.err, asked
    assert pair.run("plan").status in (0, 1)


@pytest.mark.parametrize("column", ["io_config = 'no json'", "io_class = 'Nonsense'"])
def test_a_source_node_whose_row_is_wrong_does_not_stop_the_others(pair, column):
    pair.node("odd")
    odd = pair.request(pair.file("acq/odd", b"odd", "odd"), "odd", "safe")
    pair.do(f"UPDATE storagenode SET {column} WHERE name = 'odd'")
    result = pair.sync()
    assert pair.state(pair.pull) == pair.state(pair.certain) == "done", result
    assert pair.state(odd) == "pending"
    assert "odd" in result.err


def test_two_active_nodes_of_a_default_group_on_one_host_are_refused(pair):
    pair.node("twin", group="safe", archive=1)
    result = pair.sync()
    assert result.status == 1 and "safe, twin" in result.err
    assert pair.state(pair.certain) == "done" and pair.state(pair.pull) == "pending"


def test_a_node_is_initialised_on_request_and_used_in_the_same_run(pair):
    unmark(pair)
    assert pair.run("node", "init", "safe").status == 0
    pair.synced()
    assert (pair.root("safe") / MARKER).read_text().splitlines()[0] == "safe"
    assert pair.state(pair.pull) == "done"
    assert pair.one("SELECT completed FROM archivefileimportrequest") == 1


@pytest.mark.parametrize("spoil", [remark, remove])
def test_an_absent_root_or_one_of_another_node_is_never_initialised(pair, spoil):
    spoil(pair)
    pair.run("node", "init", "safe")
    result = pair.sync()
    assert "safe" in result.err
    assert (
        not (pair.root("safe") / MARKER).exists() or (pair.root("safe") / MARKER).read_text() == "elsewhere\n"
    )
    assert pair.state(pair.pull) == "pending"


def test_a_disk_that_is_unmounted_during_a_run_loses_nothing(sqlite_archive):
    archive = sqlite_archive
    archive.node("field", made=False).mkdir()
    archive.node("safe", archive=1)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", archive.root("field")], check=True)
    try:
        (archive.root("field") / MARKER).write_text("field\n")
        ids = archive.files(1500, "field", 8000)
        requests = archive.requests(ids, "field", "safe")
        run = archive.start("sync")
        wait_for(lambda: archive.claims() or run.process.poll() is not None, "the first claim")
        subprocess.run(["umount", "-l", archive.root("field")], check=True)
        result = run.result()
        assert result.status in (0, 1)
    finally:
        subprocess.run(["umount", "-l", archive.root("field")], stderr=subprocess.DEVNULL)
    archive.sync()
    # The node is empty now: nothing may be called missing or suspect for that.
    node_id = archive.id("storagenode", "field")
    states = archive.all(
        "SELECT DISTINCT has_file, wants_file FROM archivefilecopy WHERE node_id = ?", node_id
    )
    assert states == [("Y", "Y")]
    assert sorted(os.listdir(archive.root("field"))) == []
    assert all(archive.state(request) in ("done", "pending") for request in requests)
    assert not [text for text in archive.violations() if "on safe" in text]


# --- many at once --------------------------------------------------------------------------------------


def test_overlapping_runs_of_one_host_do_every_request_once(archive):
    archive.node("field")
    for name in ("safe1", "safe2"):
        archive.node(name, archive=1)
    ids = archive.files(600, "field", 2000)
    for name in ("safe1", "safe2"):
        archive.requests(ids, "field", name)
    runs = [
        archive.start("sync"),
        archive.start("sync", "--node", "safe1"),
        archive.start("sync", "--node", "safe2"),
    ]
    results = [run.result() for run in runs]
    assert {result.status for result in results} <= {0, 1, 75}
    archive.synced()
    assert archive.pending() == 0 and archive.claims() == 0
    assert sorted(archive.events("pulled")) == sorted((i, name) for i in ids for name in ("safe1", "safe2"))
    assert archive.violations() == []


def test_two_hosts_with_nodes_in_one_group_do_every_request_once(archive):
    archive.node("field")
    # The storage of `source` is mounted on both hosts.
    archive.node("left", group="store", archive=1)
    archive.node("right", group="store", host="there", archive=1)
    archive.do("UPDATE storagehost SET address = 'localhost', username = 'nobody'")
    twin = archive.node("twin", host="there")
    ids = archive.files(800, "field", 500)
    for file_id in ids:
        archive.set_copy(file_id, "twin", "YY")
    for path, content in archive.tree("field").items():
        archive.put("twin", path, content)
    assert twin.is_dir()
    # Two requests for each file, one for each host to serve without a network.
    archive.requests(ids, "field", "store")
    archive.requests(ids, "twin", "store")
    archive.do("UPDATE storagehost SET address = NULL")
    runs = [archive.start("sync", host="here"), archive.start("sync", host="there")]
    assert [run.result().status for run in runs] == [0, 0]
    archive.sync()
    archive.sync(host="there")
    assert archive.pending() == 0 and archive.claims() == 0
    pulled = archive.events("pulled")
    assert sorted(file_id for file_id, _ in pulled) == ids
    assert len(archive.tree("left")) + len(archive.tree("right")) == len(ids)
    assert archive.violations() == []


def claim(archive, file_id, group, node, host, run_id=998877):
    archive.insert(
        "sync_claim",
        kind="pull",
        file_id=file_id,
        target_id=archive.id("storagegroup", group),
        node_id=archive.id("storagenode", node),
        reserved_b=100,
        host=host,
        run_id=run_id,
        expires="2126-01-01 00:00:00",
        fence=1,
    )


def test_the_claim_of_a_killed_run_is_taken_over_at_once_on_that_host(archive):
    pair = filled(archive)
    claim(pair, pair.file_id, "safe", "safe", "here")
    pair.synced()
    assert pair.state(pair.pull) == "done" and pair.claims() == 0


def test_the_claim_of_another_hosts_run_is_respected_until_it_expires(archive):
    pair = filled(archive)
    pair.node("far", group="safe", host="there", made=False)
    claim(pair, pair.file_id, "safe", "far", "there")
    pair.synced()
    assert pair.state(pair.pull) == "pending" and pair.tree("safe") == {}
    assert "there" in pair.run("plan").out
    pair.do("UPDATE sync_claim SET expires = '2020-01-01 00:00:00'")
    pair.synced()
    assert pair.state(pair.pull) == "done" and pair.claims() == 0


def test_a_stopped_holder_of_the_tree_lock_is_waited_for_and_never_broken(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1)
    request = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    lock = TreeLock(str(archive.root("safe")))
    with lock.down():
        run = archive.start("sync")
        wait_for(lambda: archive.claims() or run.process.poll() is not None, "the claim")
        wait_for(lambda: archive.stray("safe"), "the file's arrival in the stage")
        assert archive.tree("safe") == {}
        assert run.process.poll() is None
    lock.close()
    assert run.result().status == 0
    assert archive.state(request) == "done"


def test_a_lock_held_by_a_stopped_run_is_not_broken(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1)
    archive.request(archive.file("acq/f", os.urandom(80 * 2**20), "field"), "field", "safe")
    run = archive.start("sync")
    wait_for(archive.claims, "the claim")
    run.process.send_signal(signal.SIGSTOP)
    assert archive.sync().status == 75
    assert not RunLock(archive.root("safe") / RUN_LOCK).acquire()
    run.process.send_signal(signal.SIGCONT)
    assert run.result().status == 0
    assert archive.pending() == 0


def test_a_host_that_the_index_does_not_know_is_reported(pair):
    result = pair.sync(host="nowhere")
    assert result.status == 0 and "no host of that name" in result.err and "alpenhorn doctor" in result.err
    pair.host("idle")
    pair.synced(host="idle")
