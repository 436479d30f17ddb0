"""Nodes that are retired: their files are copied elsewhere, their copies count no more, and nothing is lost."""

import os

import pytest

from alpenhorn.coordinator.retirement import comparisons
from alpenhorn.edits.retirement_comparison import compare
from alpenhorn.model.deletions import Evidence
from alpenhorn.scan.topology import load
from tests.fixtures.archive import WHEN, Archive, wait_for
from tests.scan.statements import counted

MANY = 2500


def done(result, status=0):
    assert result.status == status, result
    return result.out


def retirement(archive, node="old"):
    (found,) = archive.run("status", "--format", "json").json["retirements"]
    assert found["node"] == node
    return found


def copies(archive, node):
    """The numbers of copies by state."""
    rows = archive.all(
        "SELECT c.has_file, c.wants_file, COUNT(*) FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
        " WHERE n.name = ? GROUP BY c.has_file, c.wants_file",
        node,
    )
    return {has + wants: number for has, wants, number in rows}


# --- what a retired node is ----------------------------------------------------------------------------


def test_copies_on_a_retired_node_do_not_count_for_a_deletion(three):
    """The decision is the same on each host, and on what was released before the retirement."""
    file_id = three.file("acq/f", b"bytes", "field", "old", "safe")
    three.set_copy(file_id, "field", "YN")
    done(three.run("node", "retire", "old", "--into", "new", "--force"))
    three.do("UPDATE archivefilecopyrequest SET cancelled = 1")
    for host in ("here", "there"):
        plan = three.run("plan", "--only", "delete", host=host)
        assert host == "there" or "old: retired" in plan.out
    three.synced("--only", "delete")
    assert three.copy(file_id, "field") == "YN"
    done(three.run("node", "retire", "old", "--cancel"))
    three.synced("--only", "delete")
    assert three.copy(file_id, "field") == "NN"


def test_a_retired_node_is_a_source_and_receives_nothing(three):
    """Not by a request that was pending, nor by a rule; and the same group may have its successor."""
    from_old = three.file("acq/out", b"out", "old")
    into_old = three.file("acq/in", b"in", "field")
    request, waiting = three.request(from_old, "old", "field"), three.request(into_old, "field", "old")
    done(three.run("node", "retire", "old", "--into", "safe", "--into", "new", "--force"))
    three.synced()
    assert (three.state(request), three.state(waiting)) == ("done", "pending")
    assert three.copy(into_old, "old") is None
    assert "whose active nodes are retired (old)" in three.run("status").out
    assert "all active nodes of its group are retired (old)" in three.run("request", "show", str(waiting)).out
    assert "is retired and receives nothing" not in three.run("repair", "--check").out
    three.node("heir", group="old", archive=1)
    three.synced()
    assert three.state(waiting) == "done"
    assert (three.copy(into_old, "old"), three.copy(into_old, "heir")) == (None, "YY")


def test_new_files_on_a_retired_node_are_imported_and_copied_elsewhere(three):
    three.do("UPDATE storagenode SET auto_import = 1 WHERE name = 'old'")
    three.configure(sync={"import_settle": 0})
    done(three.run("node", "retire", "old", "--into", "safe", "--into", "new", "--release", "--force"))
    three.put("old", "acq/late", b"late")
    three.synced()
    assert set(three.tree("safe")) == set(three.tree("new")) == {"acq/late"}
    assert three.tree("old") == {}


@pytest.mark.one_engine
def test_a_retirement_takes_effect_during_a_run(three):
    """A run in progress pulls nothing more onto the node, except for what is being copied."""
    ids = [three.file(f"acq/{number}", bytes([number]) * 70_000_000, "field") for number in range(4)]
    three.do("UPDATE storagenode SET io_config = ? WHERE name = 'field'", '{"bwlimit": "30MB"}')
    three.requests(ids, "field", "old")
    three.configure(sync={"jobs": 1})
    run = three.start("sync", "--only", "pull")
    wait_for(lambda: copies(three, "old").get("YY", 0) > 0, "the first copy")
    done(three.run("node", "retire", "old", "--into", "safe", "--into", "new", "--force"))
    run.result()
    assert 0 < copies(three, "old")["YY"] < 4
    assert three.claims() == 0 and three.stray("old") == []


# --- from the first request to the last deletion -------------------------------------------------------


def test_a_retirement_of_thousands_of_copies_on_two_hosts_survives_kills(archive: Archive, sshd) -> None:
    """One destination is full at first, and some files have no good copy."""
    archive.host("here", address=sshd.address, username=sshd.username)
    archive.node("old", archive=1)
    archive.node("near", archive=1)
    archive.node("far", archive=1, host="there", max_total_gb=1e-9)
    archive.configure("there", transfer={"ssh": sshd.ssh})
    ids = archive.files(MANY, "old")
    for file_id in ids[:5]:
        archive.do("UPDATE archivefilecopy SET has_file = 'X' WHERE file_id = ?", file_id)
    archive.do("UPDATE archivefilecopy SET has_file = 'M' WHERE file_id = ?", ids[-1])
    said = done(
        archive.run("node", "retire", "old", "--into", "near", "--into", "far", "--release", "--force")
    )
    assert (
        f"Requested {MANY - 6} files" in said and "5 files cannot be copied elsewhere: no good copy" in said
    )
    assert archive.pending() == 2 * (MANY - 6)
    for _ in range(2):
        run = archive.start("sync")
        so_far = copies(archive, "near").get("YY", 0)
        wait_for(lambda so_far=so_far: copies(archive, "near").get("YY", 0) > so_far, "a pull")
        run.kill()
        run.wait_until_nothing_is_left()
    archive.sync()
    archive.sync(host="there")
    assert copies(archive, "near")["YY"] >= MANY - 6 and copies(archive, "far") == {}
    assert len(archive.tree("old")) == MANY, "nothing goes while the second copy is missing"
    archive.do("UPDATE storagenode SET max_total_gb = NULL WHERE name = 'far'")
    archive.do("DELETE FROM sync_attempt")
    archive.sync(host="there")
    archive.sync()
    assert copies(archive, "far")["YY"] == MANY - 5 == copies(archive, "near")["YY"], (
        "the suspect one was checked"
    )
    assert set(copies(archive, "old")) == {"NN", "XY"} and copies(archive, "old")["XY"] == 5
    assert len(archive.tree("old")) == 5
    found = retirement(archive)
    assert (found["left"]["files"], found["stuck"], found["nowhere"]) == (5, 5, 5)
    listed = archive.run("node", "retire", "old", "--list", "--format", "json").json
    assert [row["code"] for row in listed] == ["retirement-no-good-copy"] * 5
    assert "5 files on old, which is retired, cannot be copied elsewhere" in archive.run("status").out
    assert not archive.violations()


def test_a_cancelled_retirement_undoes_what_is_pending_and_nothing_else(three):
    """Not the requests and releases of people, nor what was done already; and a second call goes on."""
    ids = three.files(30, "old")
    own = three.request(ids[0], "old", "field")
    done(three.run("node", "retire", "old", "--into", "safe", "--into", "new", "--release", "--force"))
    for file_id in ids[10:20]:
        for node in ("safe", "new"):
            three.set_copy(file_id, node, "YY")
    three.set_copy(ids[29], "old", "YN")
    done(three.run("node", "retire", "old"))
    assert copies(three, "old") == {"YN": 11, "YY": 19}
    # As if the cancellation had been killed after its first step.
    three.do("UPDATE sync_retirement SET cancelled = 1")
    assert three.run("status", "--format", "json").json["retirements"] == []
    said = done(three.run("node", "retire", "old", "--cancel"))
    assert "Cancelled 60 requests and 10 releases" in said
    assert copies(three, "old") == {"YN": 1, "YY": 29}
    assert three.state(own) == "pending" and three.pending() == 1
    assert "is not retired" in done(three.run("node", "retire", "old", "--cancel"))


def test_the_delete_limit_does_not_stop_a_retirement_with_release(three):
    ids = three.files(1500, "old")
    acq = three.root("old")
    for node in ("safe", "new"):
        for path in acq.rglob("*.dat"):
            there = three.root(node) / path.relative_to(acq)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())
        three.index.executemany(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update)"
            " VALUES (?, ?, 'Y', 'Y', 1, 4096, '2026-01-02 03:04:05')",
            [(file_id, three.id("storagenode", node)) for file_id in ids],
        )
    asked = three.run("node", "retire", "old", "--release")
    assert asked.status != 0 and "and delete its copies?" in asked.err, "it asks first"
    assert three.all("SELECT * FROM sync_retirement") == []
    said = done(three.run("node", "retire", "old", "--release", "--dry-run"))
    assert "Would retire node old: 1500 copies" in said and "1500 of them with 2 good copies" in said
    done(three.run("node", "retire", "old", "--release", "--force"))
    three.synced()
    assert three.tree("old") == {}
    assert retirement(three)["left"]["files"] == 0


# --- where a rule is not so ----------------------------------------------------------------------------


def test_two_retired_nodes_do_not_keep_for_each_other(three):
    file_id = three.file("acq/f", b"bytes", "old", "safe", "new")
    three.set_copy(file_id, "old", "YN")
    done(three.run("node", "retire", "safe", "--into", "new", "--force"))
    done(three.run("node", "retire", "new", "--into", "old", "--force"))
    three.sync("--only", "delete")
    assert three.copy(file_id, "old") == "YN"


def test_a_retirement_with_wrong_values_in_its_row_holds(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    for name in ("old", "safe"):
        archive.node(name, archive=1)
    file_id = archive.file("acq/f", b"bytes", "field", "old", "safe")
    archive.set_copy(file_id, "field", "YN")
    done(archive.run("node", "retire", "old", "--into", "safe", "--force"))
    archive.do("UPDATE sync_retirement SET cancelled = 'no', releases = 'yes', began = x'ff', event_id = 'z'")
    archive.do("INSERT INTO sync_retirement_group (node_id, group_id) VALUES (2, 999)")
    assert "releases holds the text 'yes'" in archive.sync("--only", "delete").err
    assert archive.copy(file_id, "field") == "YN"
    for command in (("status",), ("node", "retire", "old"), ("node", "retire", "old", "--list")):
        assert archive.run(*command).status == 0


def test_a_keeper_that_is_retired_while_a_deletion_waits_for_its_rows_does_not_count(mariadb_archive):
    """The claim reads the state after it holds the locks of the rows."""
    archive = mariadb_archive
    archive.node("field")
    for name in ("old", "safe"):
        archive.node(name, archive=1)
    file_id = archive.file("acq/f", b"bytes", "field", "old", "safe")
    archive.set_copy(file_id, "field", "YN")
    with archive.index.transaction():
        archive.index.execute(
            "SELECT id FROM archivefilecopy WHERE file_id = ? ORDER BY node_id FOR UPDATE", (file_id,)
        ).fetchall()
        run = archive.start("sync", "--only", "delete")
        wait_for(
            lambda: archive.all(
                "SELECT 1 FROM information_schema.processlist WHERE state <> '' AND info LIKE"
                " '%FOR UPDATE%' AND info LIKE '%archivefilecopy%' AND id <> CONNECTION_ID()"
            ),
            "the claim to wait for the rows",
        )
        archive.index.execute(
            "INSERT INTO sync_retirement (node_id, began, releases, declared_lost, cancelled, event_id, stuck, nowhere)"
            " VALUES (?, UTC_TIMESTAMP(), 0, 0, 0, 0, 0, 0)",
            (archive.id("storagenode", "old"),),
        )
    run.result()
    assert archive.copy(file_id, "field") == "YN"


@pytest.mark.one_engine
def test_a_retirement_without_a_place_for_the_files_is_refused(three):
    three.file("acq/f", b"bytes", "old")
    refused = three.run("node", "retire", "old", "--force")
    assert refused.status != 0 and "name a group with --into GROUP" in refused.err
    refused = three.run("node", "retire", "old", "--into", "field", "--force")
    assert "has no active archive node that is not retired" in refused.err
    assert three.all("SELECT * FROM sync_retirement") == []
    done(three.run("group", "autosync", "safe", "old"))
    said = done(three.run("node", "retire", "old", "--force"))
    assert "needs 1 copy more, and no other group may take it" in said and "Requested 1 file." in said


@pytest.mark.one_engine
def test_an_idle_run_does_not_compare_a_retired_node_again(three):
    three.files(10, "old")
    done(three.run("node", "retire", "old", "--into", "safe", "--into", "new", "--force"))
    three.synced()
    three.synced()
    when = three.one("SELECT event_id, compared_at FROM sync_retirement")
    three.do("UPDATE sync_retirement SET stuck = 7")
    three.synced()
    assert three.one("SELECT event_id, compared_at FROM sync_retirement") == when
    three.do("UPDATE sync_retirement SET compared_at = '2026-01-01 00:00:00'")
    three.synced()
    assert three.one("SELECT stuck FROM sync_retirement") == 0
    three.do("UPDATE storagenode SET active = 0 WHERE name = 'old'")
    assert "10 copies are left on old, which is retired, and no run works on it" in three.run("status").out


@pytest.mark.one_engine
def test_names_from_outside_are_harmless(three):
    name = "o'ld %s \x1b[31m$(x)"
    three.file("acq/f", b"bytes", "old")
    three.do("UPDATE storagenode SET name = ? WHERE name = 'old'", name)
    (three.root("old") / "ALPENHORN_NODE").write_text(f"{name}\n")
    said = done(three.run("node", "retire", name, "--into", "safe", "--into", "new", "--release", "--force"))
    assert "\x1b" not in said
    three.synced()
    assert three.tree("old") == {}
    assert "\x1b" not in done(three.run("status"))
    assert os.listdir(three.root("old")) != []
    listed = [row["name"] for row in three.run("node", "list", "--format", "json").json]
    assert listed == ["field", "new", "safe"]
    assert name in [row["name"] for row in three.run("node", "list", "--all", "--format", "json").json]


def compared(archive):
    """Compare as a run does, and return the number of statements that read copies; none if nothing is compared."""
    nodes = load(archive.index).nodes
    here = [node.id for node in nodes.values() if node.host == "here"]
    with counted() as statements:
        for comparison in comparisons(
            archive.index, nodes, here, (), Evidence(2, 10**9, False, {}), archive.index.now(), None
        ):
            compare(comparison, True, 0, lambda done, of: None)
    return sum("archivefilecopy c" in sql for sql in statements.sql)


def test_a_run_without_news_compares_no_copies_and_one_with_news_only_those(three):
    ids = three.files(50, "old")
    three.do("UPDATE archivefilecopy SET has_file = 'X' WHERE file_id = ?", ids[0])
    three.set_copy(ids[1], "old", "MY")
    done(three.run("node", "retire", "old", "--into", "safe", "--into", "new", "--release", "--force"))
    assert three.one("SELECT stuck, nowhere FROM sync_retirement") == (2, 1)
    compared(three)  # what counts for deletions, as this test sees it, may differ from what the command saw
    assert compared(three) == 0
    for node in ("safe", "new"):
        three.set_copy(ids[2], node, "YY")
    assert compared(three) == 0, "a change without an event"
    three.insert(
        "sync_event", at=WHEN, file_id=ids[2], node_id=three.id("storagenode", "new"), what="pulled", why=""
    )
    assert 0 < compared(three) <= 13, "one file, in each state"
    assert three.copy(ids[2], "old") == "YN"

    # What becomes of the files that were stuck.
    three.set_copy(ids[1], "old", "YY")
    three.insert(
        "sync_event", at=WHEN, file_id=ids[1], node_id=three.id("storagenode", "old"), what="checked", why=""
    )
    compared(three)
    assert three.one("SELECT stuck, nowhere FROM sync_retirement") == (1, 1)
    assert three.one("SELECT COUNT(*) FROM archivefilecopyrequest WHERE file_id = ?", ids[1]) == 2
    three.set_copy(ids[3], "old", "XY")
    three.insert(
        "sync_event", at=WHEN, file_id=ids[3], node_id=three.id("storagenode", "old"), what="corrupt", why=""
    )
    compared(three)
    assert three.one("SELECT stuck, nowhere FROM sync_retirement") == (2, 2)
    compared(three)  # the events of the releases
    assert compared(three) == 0

    # All copies are compared after an hour, after edits of nodes, and if nothing valid is remembered.
    for sql in (
        "UPDATE sync_retirement SET compared_at = '2026-01-01 00:00:00'",
        "UPDATE sync_retirement SET compared_at = '2199-01-01 00:00:00'",
        "UPDATE storagenode SET active = 0 WHERE name = 'field'",
        "UPDATE sync_index SET value = 'x' WHERE name LIKE 'retirement %'",
        "UPDATE sync_index SET value = '{\"stuck\": {\"a\": 1}}' WHERE name LIKE 'retirement %'",
        "DELETE FROM sync_index WHERE name LIKE 'retirement %'",
    ):
        three.do(sql)
        assert compared(three) > 10, sql
        assert compared(three) == 0, sql
        assert three.one("SELECT stuck, nowhere FROM sync_retirement") == (2, 2)


def test_a_node_with_more_stuck_files_than_are_remembered_is_compared_in_full(sqlite_archive):
    for name in ("old", "safe"):
        sqlite_archive.node(name, archive=1)
    sqlite_archive.files(1001, "old")
    sqlite_archive.do("UPDATE archivefilecopy SET has_file = 'X'")
    done(sqlite_archive.run("node", "retire", "old", "--into", "safe", "--force"))
    assert sqlite_archive.one("SELECT stuck, nowhere FROM sync_retirement") == (1001, 1001)
    compared(sqlite_archive)
    assert compared(sqlite_archive) == 0
    file_id = sqlite_archive.file("acq/new", None, "old")
    sqlite_archive.insert("sync_event", at=WHEN, file_id=file_id, node_id=1, what="imported", why="")
    assert compared(sqlite_archive) > 0
    assert sqlite_archive.one("SELECT stuck, nowhere FROM sync_retirement") == (1002, 1001)
