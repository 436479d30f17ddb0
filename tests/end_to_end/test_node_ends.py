"""Nodes that are lost, replaced and deleted: what is recorded, what is refused, and what if a disk comes back."""

import shutil
import signal

import pytest

from tests.end_to_end.test_retirement import copies, done, retirement
from tests.fixtures.archive import wait_for

TABLES_OF_NODES = (
    ("archivefilecopy", "node_id"),
    ("archivefilecopyrequest", "node_from_id"),
    ("archivefileimportrequest", "node_id"),
    ("storagetransferaction", "node_from_id"),
    ("sync_verification", "node_id"),
    ("sync_medium", "node_id"),
    ("sync_node", "node_id"),
    ("sync_retirement", "node_id"),
    ("sync_retirement_group", "node_id"),
    ("sync_former_name", "node_id"),
    ("sync_pin", "node_id"),
    ("sync_event", "node_id"),
)


def unplug(archive, node="old"):
    """Leave an empty mount point; return where the disk is now."""
    aside = archive.base / f"{node}-aside"
    archive.root(node).rename(aside)
    archive.root(node).mkdir()
    return aside


def plug(archive, aside, node="old"):
    shutil.rmtree(archive.root(node))
    aside.rename(archive.root(node))


def refused(result, text):
    assert result.status == 1 and text in result.err, result


# --- lost ----------------------------------------------------------------------------------------------


def test_a_dead_disk_is_declared_lost_in_bulk_and_its_files_are_copied_from_elsewhere(three):
    ids = three.files(300, "old")
    for node, some in (("safe", ids[:250]), ("new", ids[:100])):
        for file_id in some:
            three.set_copy(file_id, node, "YY")
        shutil.copytree(three.root("old") / "many", three.root(node) / "many")
    three.set_copy(ids[0], "old", "YN")
    before = three.dump()
    refused(three.run("node", "retire", "old", "--lost", "--into", "new", "--force"), "its medium is there")
    assert three.dump() == before
    # Nor if its identity cannot be read.
    identity = three.root("old") / ".alpenhorn/identity"
    whole = identity.read_bytes()
    identity.write_bytes(b"damaged")
    refused(three.run("node", "retire", "old", "--lost", "--into", "new", "--force"), "its medium is there")
    identity.write_bytes(whole)
    unplug(three)
    asked = three.run("node", "retire", "old", "--lost", "--into", "new", "--into", "safe")
    assert (
        asked.status == 1
        and "300 copies" in asked.out
        and "50 files have no good copy elsewhere" in asked.out
    )
    assert three.dump() == before
    said = done(three.run("node", "retire", "old", "--lost", "--into", "new", "--into", "safe", "--force"))
    assert "Recorded 300 copies as missing" in said and "Requested 150 files" in said
    assert "50 files cannot be copied elsewhere: no good copy of it is on any node" in said
    assert three.one("SELECT active FROM storagenode WHERE name = 'old'") == 0
    three.synced()
    assert copies(three, "new")["YY"] == 250
    # Enough copies are elsewhere of all but those that are lost for good.
    assert copies(three, "old") == {"NN": 250, "NY": 50}
    found = retirement(three)
    assert (found["declared_lost"], found["missing"], found["nowhere"]) == (True, 50, 50)
    assert (
        three.one("SELECT COUNT(*) FROM sync_event WHERE what = 'missing' AND code = 'declared-lost'") == 300
    )
    assert not three.violations()


def test_a_disk_that_comes_back_after_it_was_declared_lost_does_not_count_before_its_copies_were_checked(
    three,
):
    file_id = three.file("acq/f", b"bytes", "field", "old", "safe")
    three.set_copy(file_id, "field", "YN")
    three.synced("--only", "check")
    aside = unplug(three)
    done(three.run("node", "retire", "old", "--lost", "--into", "new", "--force"))
    three.do("UPDATE archivefilecopyrequest SET cancelled = 1")
    done(three.run("node", "retire", "old", "--cancel"))
    plug(three, aside)
    done(three.run("node", "activate", "old"))
    three.sync("--only", "delete")
    assert three.copy(file_id, "field") == "YN" and three.copy(file_id, "old") == "NY"
    three.run("reconcile", "--node", "old")
    assert three.copy(file_id, "old") == "MY"
    three.sync("--only", "check")
    three.sync("--only", "delete")
    assert (three.copy(file_id, "old"), three.copy(file_id, "field")) == ("YY", "NN")


@pytest.mark.one_engine
def test_a_disk_of_another_host_is_declared_lost_only_if_that_host_cannot_see_it(three):
    three.node("far", archive=1, host="there")
    three.files(3, "far")
    three.sync(host="there")
    retire = ("node", "retire", "far", "--lost", "--into", "safe", "--into", "new", "--force")
    refused(three.run(*retire), "run this command on host there")
    refused(three.run(*retire, host="there"), "its medium is there")
    assert copies(three, "far") == {"YY": 3}
    unplug(three, "far")
    three.sync(host="there")
    done(three.run(*retire))
    assert copies(three, "far") == {"NY": 3}


@pytest.mark.one_engine
def test_a_disk_of_a_host_that_is_dead_is_declared_lost_from_any_other(three):
    three.node("far", archive=1, host="there")
    three.files(3, "far")
    three.sync(host="there")
    three.do("UPDATE sync_run SET started = '2026-01-01 00:00:00'")
    done(three.run("node", "retire", "far", "--lost", "--into", "safe", "--into", "new", "--force"))
    assert copies(three, "far") == {"NY": 3}


def test_a_medium_that_a_run_uses_meanwhile_is_not_declared_lost(three):
    """The state of the medium when it was looked at is compared in each transaction."""
    from alpenhorn.edits import lost
    from alpenhorn.errors import Refused
    from alpenhorn.scan import topology

    three.files(3, "old")
    node = topology.load(three.index).nodes[three.id("storagenode", "old")]
    before = lost.medium_state(three.index, node.id)
    three.synced()
    three.do("UPDATE sync_medium SET generation = generation + 1 WHERE node_id = ?", node.id)
    with pytest.raises(Refused, match="a run has used its medium"):
        lost.declare(three.index, node, before, three.index.now())
    assert copies(three, "old") == {"YY": 3}


# --- replaced ------------------------------------------------------------------------------------------


def test_a_dead_disk_is_replaced_by_one_command_and_a_run(three):
    ids = three.files(200, "old")
    shutil.copytree(three.root("old") / "many", three.root("safe") / "many")
    for file_id in ids[:150]:
        three.set_copy(file_id, "safe", "YY")
    three.synced()
    replace = ("node", "replace", "old", "--force")
    refused(three.run(*replace), "its medium is there")
    aside = unplug(three)
    shutil.rmtree(three.root("old"))
    refused(three.run(*replace), "no such directory")
    three.root("old").mkdir()
    refused(three.run(*replace, "--root", str(aside)), "is the old disk of node old")
    refused(three.run(*replace, "--root", str(three.root("new"))), "is the disk of node new")
    refused(three.run(*replace, host="there"), "it is on host here, and this is there")
    assert copies(three, "old") == {"YY": 200}
    said = done(three.run(*replace))
    assert "Recorded 200 copies as missing" in said and "Requested 150 files from other nodes" in said
    assert "Ran: alpenhorn node modify old --activate --init" in said
    assert "50 copies cannot be brought back" in said
    three.sync()
    three.sync()
    assert copies(three, "old") == {"YY": 150, "NY": 50}
    assert not three.violations()
    identity, medium = three.one(
        "SELECT (SELECT value FROM sync_index WHERE name = 'identity'), medium FROM sync_medium m"
        " JOIN storagenode n ON n.id = m.node_id WHERE n.name = 'old'"
    )
    text = (three.root("old") / ".alpenhorn/identity").read_text()
    assert f"index={identity} medium={medium}" in text
    # The old disk again: it is not taken for the new one.
    shutil.rmtree(three.root("new"))
    aside.rename(three.root("new"))
    assert "node new" in three.sync().err
    assert copies(three, "old") == {"YY": 150, "NY": 50}


def test_an_old_disk_that_comes_back_before_the_first_run_is_checked(three):
    ids = three.files(5, "old")
    shutil.copytree(three.root("old") / "many", three.root("safe") / "many")
    for file_id in ids:
        three.set_copy(file_id, "safe", "YY")
    three.synced()
    aside = unplug(three)
    done(three.run("node", "replace", "old", "--force"))
    plug(three, aside)
    three.sync()
    three.sync()
    assert copies(three, "old") == {"YY": 5} and three.pending() == 0
    assert not three.violations()


# --- deleted -------------------------------------------------------------------------------------------


def test_an_empty_node_is_deleted_with_all_that_refers_to_it_and_the_history_keeps_its_name(three):
    three.do("UPDATE storagenode SET auto_import = 1 WHERE name = 'old'")
    three.configure(sync={"import_settle": 0})
    three.put("old", "acq/f", b"bytes")
    three.synced()
    three.run("node", "scan", "old")
    for group in ("safe", "new"):
        three.run("group", "autosync", group, "old")
    refused(three.run("node", "delete", "old", "--force"), "1 copy is on it")
    done(three.run("node", "retire", "old", "--release", "--force"))
    three.synced()
    refused(three.run("node", "delete", "old", "--force"), "it is active")
    done(three.run("node", "deactivate", "old"))
    node_id = three.id("storagenode", "old")
    copy_id = three.one("SELECT id FROM archivefilecopy WHERE node_id = ?", node_id)
    request_id = three.one("SELECT MAX(id) FROM archivefilecopyrequest WHERE node_from_id = ?", node_id)
    for kind, subject_id in (("check", copy_id), ("source", copy_id), ("pull", request_id)):
        three.do(
            "INSERT INTO sync_attempt (kind, subject_id, count, last, next, blame, error)"
            " VALUES (?, ?, 1, '2026-01-01', '2026-01-01', 'source', 'e')",
            kind,
            subject_id,
        )
    three.insert(
        "sync_priority", request_id=request_id, group_id=three.id("storagegroup", "safe"), priority=5
    )
    notes = f"retirement {node_id}", f"inodes {node_id}"
    for name in notes:
        three.do("DELETE FROM sync_index WHERE name = ?", name)
        three.do("INSERT INTO sync_index (name, value, at) VALUES (?, '', '2026-01-01')", name)
    assert "with 2 rules" in done(three.run("node", "delete", "old", "--dry-run"))
    done(three.run("node", "delete", "old", "--force"))
    for table, column in TABLES_OF_NODES:
        assert not three.all(f"SELECT 1 FROM {table} WHERE {column} = ?", node_id), table
    # A later copy or request may get the number of one that is gone.
    assert three.all("SELECT kind FROM sync_attempt") == []
    assert three.all("SELECT priority FROM sync_priority") == []
    assert three.all("SELECT name FROM sync_index WHERE name IN (?, ?)", *notes) == []
    told = three.run("history", "--node", "old", "--format", "json").json
    assert {"imported", "requested", "released", "deleted"} <= {row["what"] for row in told}
    assert {row["node"] for row in told} == {"old"}
    assert "old" not in three.run("node", "list", "--all").out
    # SQLite gives its number to the next node, which must not get its history.
    three.node("next")
    assert three.run("history", "--node", "next", "--format", "json").json == []
    three.synced()


def test_a_deletion_that_is_killed_goes_on(three):
    acq = three.insert("archiveacq", name="gone")
    node_id = three.id("storagenode", "old")
    three.index.executemany(
        "INSERT INTO archivefile (acq_id, name, size_b, md5sum, registered) VALUES (?, ?, 1, ?, '2026-01-01 00:00:00')",
        [(acq, f"f{number}", f"{number:032x}") for number in range(45_000)],
    )
    three.do(
        "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, last_update)"
        " SELECT id, ?, 'N', 'N', 0, '2026-01-01 00:00:00' FROM archivefile",
        node_id,
    )
    three.do("UPDATE storagenode SET active = 0 WHERE name = 'old'")
    running = three.start("node", "delete", "old", "--force")
    wait_for(
        lambda: (
            three.one("SELECT COUNT(*) FROM archivefilecopy") < 45_000 or running.process.poll() is not None
        ),
        "the first piece",
    )
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()
    if three.all("SELECT 1 FROM storagenode WHERE id = ?", node_id):
        done(three.run("node", "delete", "old", "--force"))
    assert three.one("SELECT COUNT(*) FROM archivefilecopy") == 0
    assert not three.all("SELECT 1 FROM storagenode WHERE id = ?", node_id)


@pytest.mark.one_engine
def test_a_node_with_lost_files_is_deleted_only_if_that_is_meant(three):
    three.file("acq/only", b"o", "old")
    unplug(three)
    done(three.run("node", "retire", "old", "--lost", "--into", "new", "--into", "safe", "--force"))
    refused(three.run("node", "delete", "old", "--force"), "of files without a good copy elsewhere")
    listed = three.run("node", "retire", "old", "--list", "--format", "json").json
    assert [row["path"] for row in listed] == ["acq/only"]
    done(three.run("node", "delete", "old", "--force", "--missing-ok"))


@pytest.mark.one_engine
def test_deactivating_a_node_tells_what_then_waits(three):
    file_id = three.file("acq/f", b"f", "old")
    three.request(file_id, "old", "safe")
    three.request(three.file("acq/g", b"g", "field"), "field", "old")
    done(three.run("group", "autosync", "old", "field"))
    told = three.run("node", "deactivate", "old").err
    assert "1 request waits for node old as source" in told
    assert "1 request waits for group old, which no other node serves" in told
    assert "rule field -> old" in told
    assert three.run("node", "deactivate", "new").err == ""
