from __future__ import annotations

import time
from datetime import datetime, timedelta
from shlex import quote
from typing import Any

import pytest

from alpenhorn.cli import attention_lines
from alpenhorn.config import load
from alpenhorn.listings import host_runs, kept_releases
from alpenhorn.listings import status as listing
from alpenhorn.monitoring.attention import look
from tests.cli.conftest import Archive
from tests.cli.test_output import on_a_terminal
from tests.fixtures.seen import mark_seen


def ago(archive: Archive, **span: float) -> datetime:
    """A time by the server's clock, in whole seconds."""
    return archive.index.now().replace(microsecond=0) - timedelta(**span)


def run_row(archive: Archive, **values: Any) -> int:
    return archive.insert(
        "sync_run",
        **{
            "host": "alp1",
            "nodes": "field1",
            "started": ago(archive, minutes=5),
            "ended": ago(archive, minutes=4),
            "exit_status": 0,
            "done": 5,
            "failed": 0,
            "bytes": 100,
            **values,
        },
    )


def seen(archive: Archive) -> None:
    """Let all nodes have been worked on, with room to spare, and the index have a backup."""
    backup(archive, timedelta())
    archive.index.execute(
        "UPDATE storagenode SET avail_gb = 10, avail_gb_last_checked = '2026-07-22 12:00:00'"
    )


def backup(archive: Archive, age: timedelta) -> None:
    archive.index.execute("DELETE FROM sync_index WHERE name = 'backup'")
    at = archive.index.now().replace(microsecond=0) - age
    archive.insert("sync_index", name="backup", value="/kept/index.db", at=at)


def attention(archive: Archive) -> list[str]:
    return [one["what"] for one in archive("status", "--json").json["attention"]]


def row(archive: Archive, node: str, *options: str) -> str:
    """The line of a node in the table."""
    (line,) = [line for line in archive.ok("status", *options).splitlines() if line.startswith(f"{node} ")]
    return line.rstrip()


def test_status_says_that_nothing_needs_attention(archive: Archive) -> None:
    seen(archive)
    archive.file("a", field1="YY", off1="NM", off2="XN")
    assert attention(archive) == []
    assert archive.ok("status").startswith("Node ")
    assert archive("status", "--check")[:2] == (
        0,
        "ALPENHORN OK: 3 nodes, nothing needs attention | items=0 nodes=3\n",
    )


def test_an_empty_index(empty: Archive) -> None:
    assert empty.ok("status").startswith("No nodes")
    assert empty("status", "--json").json == {
        "attention": [],
        "backup": None,
        "conditions": [],
        "few_copies": None,
        "retirements": [],
        "nodes": [],
    }


def test_wrong_copies_come_first_with_the_command_that_lists_them(archive: Archive) -> None:
    seen(archive)
    archive.file("a", field1="MY", off1="NY", off2="XM")
    archive.file("b", off1="NY")
    assert attention(archive) == [
        "1 file has no good copy anywhere: pilot/b",
        "1 corrupt copy on off2",
        "2 missing copies on off1",
        "1 suspect copy on field1",
    ]
    text = archive.ok("status")
    assert text.splitlines()[1].endswith("; see: alpenhorn history --file pilot/b")
    assert text.splitlines()[2] == (
        "  1 corrupt copy on off2; see: alpenhorn file find --node off2 --corrupt"
    )
    assert archive("file", "find", "--node", "off2", "--corrupt", "--json").json[0]["path"] == "pilot/a"


def test_status_counts_repairable_copies_with_the_command_until_they_are_requested(archive: Archive) -> None:
    seen(archive)
    corrupt = archive.file("corrupt", field1="YY", off1="XY")
    archive.file("gone", field1="YN", off1="NY")
    archive.file("released", field1="YY", off1="XN", off2="NM")
    can = "2 bad copies on off1 can be replaced from a good copy"
    assert attention(archive)[0] == can
    assert "; see: alpenhorn repair --node off1" in archive.ok("status").splitlines()[1]
    assert archive("status", "--json").json["nodes"][1]["mendable"] == 2
    archive.request(corrupt)
    assert attention(archive)[0] == can.replace("2 bad copies", "1 bad copy")


def test_a_copy_that_its_owner_changed_is_bad_but_not_corrupt(archive: Archive) -> None:
    seen(archive)
    archive.file("rotten", field1="YY", off1="XY")
    archive.file("gone", field1="YY", off1="NY")
    for name in ("edited", "edited too"):
        event = {"file_id": archive.file(name, field1="YY", off1="XY"), "what": "changed", "why": "newer"}
        archive.insert(
            "sync_event", at="2026-07-22 10:00:00", node_id=archive.id("storagenode", "off1"), **event
        )
    node = archive("status", "--json").json["nodes"][1]
    assert [node[key] for key in ("corrupt", "changed", "missing", "suspect")] == [1, 2, 1, 0]
    assert " 1 corrupt, 2 changed, 1 missing " in row(archive, "off1", "--wide")
    assert row(archive, "off1").split()[-2:] == ["4", "-"]
    assert "1 corrupt copy on off1" in attention(archive)


def test_status_counts_no_bad_copy_as_repairable_without_a_good_source(archive: Archive) -> None:
    seen(archive)
    archive.file("its group has it", off1="YY", off2="XY")
    archive.file("source is not active", off2="YY", field1="NY")
    archive.file("suspect elsewhere", off1="MY", field1="XY")
    archive.file("not active itself", field1="YY", off2="NY")
    assert {node["mendable"] for node in archive("status", "--json").json["nodes"]} == {0}
    assert not any("anywhere" in what or "replaced" in what for what in attention(archive))


def test_files_without_any_good_copy_are_told_first_and_once(archive: Archive) -> None:
    seen(archive)
    archive.file("with blank", field1="XY", off1="NY", off2="XN")
    archive.file("b", field1="NY")
    archive.file("good", field1="NY", off1="YN")
    assert attention(archive)[0] == "2 files have no good copy anywhere, the first: pilot/with blank"
    assert "alpenhorn history --file 'pilot/with blank'" in archive.ok("status")


def test_failing_requests_and_sources_that_are_not_active(archive: Archive) -> None:
    seen(archive)
    request = archive.request(archive.file("a", field1="YY"))
    archive.attempt(request, blame="network")
    archive.request(archive.file("b", off2="YY"), node="off2", group="field")
    archive.attempt(archive.request(archive.file("c"), completed=1))
    assert attention(archive) == [
        "1 request is failing because of: network",
        "1 request waits for off2, which is not active",
    ]
    assert f"alpenhorn request show {request}" in archive.ok("status")


def test_nodes_without_host_never_worked_on_or_full(archive: Archive) -> None:
    archive.index.execute("UPDATE storagenode SET host_id = NULL WHERE name = 'field1'")
    assert attention(archive) == ["field1 is active and has no host", "no run has worked on off1 yet"]
    seen(archive)
    archive.index.execute("UPDATE storagenode SET min_avail_gb = 20 WHERE name = 'off1'")
    archive.file("a", size=2**30, field1="YY")
    archive.index.execute("UPDATE storagenode SET max_total_gb = 1 WHERE name = 'field1'")
    assert attention(archive) == [
        "field1 is active and has no host",
        "field1 has no room for more files",
        "off1 has no room for more files",
    ]


def test_the_last_run_of_a_host_that_failed(archive: Archive) -> None:
    seen(archive)
    started = ago(archive, minutes=9)
    failed = run_row(archive, exit_status=1, started=started)
    run_row(archive, host="alp2", nodes="off1", exit_status=0)
    assert attention(archive) == [f"the last run on alp1, started {started} UTC, ended with status 1"]
    assert f"see: alpenhorn history --run {failed}" in archive.ok("status")
    run_row(archive, exit_status=0)
    assert attention(archive) == []


def test_status_shows_space_requests_and_last_run_of_a_node(archive: Archive) -> None:
    seen(archive)
    started = ago(archive, minutes=3)
    run_row(archive)
    run_row(archive, nodes="off1 field1", started=started, ended=None, exit_status=None)
    run_row(archive, nodes="field12", started=ago(archive, minutes=2))
    archive.file("big", size=30 * 2**30, field1="YY")
    archive.request(archive.file("a", size=7, field1="YY"))
    archive.request(archive.file("b", size=8, off1="YY"), node="off1", group="field")
    archive.ok("node", "scan", "field1")
    node = archive("status", "--json").json["nodes"][0]
    last = node.pop("last_run")
    assert (last["started"], last["ended"], last["nodes"]) == (
        f"{started.isoformat()}Z",
        None,
        ["off1", "field1"],
    )
    full = node.pop("full")
    assert 0.74 < full < 0.76
    assert node == {
        "name": "field1",
        "group": "field",
        "host": "alp1",
        "active": True,
        "avail_b": 10 * 2**30,
        "avail_checked": "2026-07-22T12:00:00Z",
        "in": {"files": 1, "size_b": 8},
        "out": {"files": 1, "size_b": 7},
        "imports": 1,
        "corrupt": 0,
        "changed": 0,
        "missing": 0,
        "suspect": 0,
        "mendable": 0,
        "trash": 0,
        "to_tape": {"files": None, "in_batches": None, "size_b": None, "since": None},
        "verified": None,
        "away_since": None,
        "items": 0,
    }
    (line,) = [line for line in archive.ok("status", "--wide").splitlines() if line.startswith("field1")]
    assert "75.0 %" in line and "1 (7 B)" in line and f"{started}"[:16] + ", not ended" in line
    (line,) = [line for line in archive.ok("status").splitlines() if line.startswith("field1")]
    assert line.split() == ["field1", "-", "alp1", "75", "%", "10.00", "GiB", "1", "1", "-", "not", "ended"]


def test_the_last_run_of_a_host_that_is_no_more_needs_no_attention(archive: Archive) -> None:
    seen(archive)
    run_row(archive, exit_status=1)
    archive.ok("host", "rename", "alp1", "new")
    assert attention(archive) == []


def test_an_old_backup_needs_attention(archive: Archive) -> None:
    seen(archive)
    assert attention(archive) == []
    document = archive("status", "--json").json["backup"]
    assert document["path"] == "/kept/index.db" and document["at"].endswith("Z")
    backup(archive, timedelta(days=8))
    assert attention(archive) == ["the newest backup of the index is 8 days old: /kept/index.db"]
    assert "; see: alpenhorn db backup --help" in archive.ok("status")
    backup(archive, timedelta(days=-2))
    assert attention(archive) == ["the newest backup of the index is dated in the future: /kept/index.db"]


def test_an_index_without_a_backup_is_left_a_week(archive: Archive) -> None:
    seen(archive)
    archive.index.execute("DELETE FROM sync_index")
    started = archive.index.now().replace(microsecond=0)
    for age, told in ((timedelta(days=6), []), (timedelta(days=8), ["the index has no backup"])):
        run_row(archive, started=started - age, ended=started)
        archive.index.execute("UPDATE sync_run SET started = ?", (started - age,))
        run_row(archive)
        assert attention(archive) == told


def test_a_lasting_condition_names_what_to_do_once(archive: Archive) -> None:
    seen(archive)
    at = archive.index.now().replace(microsecond=0)
    for code, subject, why in (
        ("roots-nested", "a", "root of a is below that of b; see: alpenhorn doctor"),
        ("host-silent", "b", "host b does not answer"),
    ):
        archive.insert(
            "sync_condition", host="alp1", code=code, subject=subject, why=why, began=at, seen=at, reported=at
        )
    began = f"runs on alp1 have reported since {at} UTC: "
    shown = archive.ok("status").splitlines()
    assert f"  {began}root of a is below that of b; see: alpenhorn doctor" in shown
    assert f"  {began}host b does not answer; see: alpenhorn doctor, on host alp1" in shown


# --- items of hosts and requests -----------------------------------------------------------------------


def test_the_last_run_of_a_host_is_old_after_a_day(archive: Archive) -> None:
    seen(archive)
    started = ago(archive, hours=25)
    run_row(archive, started=started, ended=started)
    run_row(archive, host="alp2", nodes="off1", started=ago(archive, hours=23))
    (item,) = archive("status", "--json").json["attention"]
    assert item["what"] == f"the last run on alp1 began 1 day ago, at {started} UTC"
    assert (item["code"], item["node"], item["host"]) == ("host-run-old", None, "alp1")
    assert (item["command"], item["on_host"]) == ("alpenhorn doctor", "alp1")
    run_row(archive)
    assert attention(archive) == []


def test_a_host_that_runs_weekly_is_late_after_two_weeks(archive: Archive) -> None:
    """Many newer runs of another host do not hide that."""
    seen(archive)
    for days in (34, 27, 20, 13):
        run_row(archive, started=ago(archive, days=days), ended=ago(archive, days=days))
    for _ in range(1001):
        run_row(archive, host="alp2", nodes="off1")
    assert attention(archive) == []
    archive.index.execute("DELETE FROM sync_run WHERE host = 'alp1'")
    for days in (36, 29, 22, 15):
        run_row(archive, started=ago(archive, days=days), ended=ago(archive, days=days))
    for _ in range(1001):
        run_row(archive, host="alp2", nodes="off1")
    (what,) = attention(archive)
    assert what.startswith("the last run on alp1 began 15 days ago")
    assert what.endswith(" UTC; usually there is one every 7 days")


def test_a_run_on_another_host_that_recorded_no_end(archive: Archive) -> None:
    seen(archive)
    started = ago(archive, days=2)
    run_row(archive, host="alp2", nodes="off1", started=started, ended=None, exit_status=None)
    assert attention(archive) == [
        f"the last run on alp2 began 2 days ago, at {started} UTC, and has recorded no end"
    ]
    # Known to be dead since another run took its lock.
    run_row(archive, host="alp1", nodes="off1")
    assert attention(archive)[0].startswith(f"the last run on alp2, started {started} UTC, did not end")
    assert len(attention(archive)) == 1


def test_an_idle_host_needs_no_runs(archive: Archive) -> None:
    seen(archive)
    run_row(archive, started=ago(archive, days=2), ended=ago(archive, days=2))
    archive.index.execute("UPDATE storagenode SET active = 0 WHERE name = 'field1'")
    assert attention(archive) == []


def test_requests_that_no_run_carries_out(archive: Archive) -> None:
    seen(archive)
    archive.request(archive.file("a", field1="YY"), group="spare")
    archive.request(archive.file("b", field1="YY"), group="offsite")
    assert attention(archive) == ["1 request waits for group spare, which has no node"]
    archive.ok("node", "deactivate", "off1")
    archive.request(archive.file("c", field1="YY"), group="offsite")
    archive.request(archive.file("d", field1="YY"), group="offsite", completed=1)
    assert attention(archive) == [
        "2 requests wait for group offsite, which has no active node",
        "1 request waits for group spare, which has no node",
    ]
    item = archive("status", "--json").json["attention"][0]
    assert (item["group"], item["node"], item["command"]) == (
        "offsite",
        None,
        "alpenhorn group show offsite",
    )


def test_import_requests_that_no_run_carries_out(archive: Archive) -> None:
    seen(archive)
    archive.ok("node", "scan", "field1", "--register-new")
    assert attention(archive) == []
    archive.ok("node", "deactivate", "field1")
    (item,) = archive("status", "--json").json["attention"]
    assert item["what"] == "1 import request waits for field1, which is not active"
    assert (item["code"], item["node"]) == ("imports-for-inactive-node", "field1")
    assert item["command"] == "alpenhorn node show field1 --imports"
    assert archive("status", "--check").status == 4
    mark_seen(archive.index, archive.id("storagenode", "field1"), seen=ago(archive, days=3))
    archive.ok("node", "modify", "field1", "--absent-ok", "4")
    assert attention(archive) == []
    archive.ok("node", "modify", "field1", "--absent-ok", "2")
    assert attention(archive)[1:] == [item["what"]]
    archive.ok("node", "activate", "field1")
    archive.index.execute("UPDATE storagenode SET host_id = NULL WHERE name = 'field1'")
    another = {"path": "a", "recurse": 0, "register": 0, "completed": 0}
    archive.insert("archivefileimportrequest", node_id=archive.id("storagenode", "field1"), **another)
    assert attention(archive) == [
        "2 import requests wait for field1, which has no host",
        "field1 is active and has no host",
    ]


def test_requests_for_what_is_no_longer_in_the_index(archive: Archive) -> None:
    seen(archive)
    if not archive.index.dialect.in_a_file:
        archive.index.execute("SET foreign_key_checks = 0")
    request = archive.request(archive.file("a", field1="YY"))
    archive.index.execute("UPDATE archivefilecopyrequest SET node_from_id = 99 WHERE id = ?", (request,))
    assert attention(archive) == ["1 request waits for a node or group that is no longer in the index"]


# --- items of nodes ------------------------------------------------------------------------------------


def test_releases_that_wait_with_the_most_frequent_reason(archive: Archive) -> None:
    seen(archive)
    for name in ("a", "b"):
        archive.file(name, field1="YN")
    archive.file("c", field1="YN", off1="YY")
    mark_seen(archive.index, archive.id("storagenode", "off1"))
    archive.file("wanted", field1="YY")
    item = archive("status", "--json").json["attention"][0]
    assert item["what"] == (
        "3 released copies on field1 cannot be deleted, such as pilot/a: needs 2 other good archive copies; has 0"
        " (copy it to another with: alpenhorn node sync field1 GROUP)"
    )
    assert (item["code"], item["node"], item["group"], item["host"]) == (
        *("releases-kept", "field1"),
        *("field", "alp1"),
    )
    assert (item["command"], item["on_host"]) == ("alpenhorn plan --node field1 --only delete", "alp1")
    assert "; see: alpenhorn plan --node field1 --only delete, on host alp1\n" in archive.ok("status")
    archive.index.execute("UPDATE storagenode SET host_id = NULL WHERE name = 'field1'")
    item = archive("status", "--json").json["attention"][1]
    assert (item["code"], item["on_host"]) == ("releases-kept", None)


def test_a_release_that_the_next_run_carries_out_does_not_wait(archive: Archive) -> None:
    seen(archive)
    archive.ok("node", "activate", "off2")
    for node in ("off1", "off2"):
        mark_seen(archive.index, archive.id("storagenode", node))
    file_id = archive.file("a", field1="YN", off1="YY", off2="YY")
    assert attention(archive) == []
    archive.ok("file", "pin", "pilot/a", "--reason", "mine")
    (what,) = attention(archive)
    assert what.startswith("1 released copy on field1 cannot be deleted, such as pilot/a: pinned")
    archive.ok("file", "unpin", "pilot/a")
    mark_seen(archive.index, archive.id("storagenode", "off2"), seen=ago(archive, days=8))
    assert "does not count: off2: not seen since" in attention(archive)[0]
    # A request that pulls from the copy ends by itself.
    archive.request(file_id)
    assert attention(archive) == []


def test_of_many_releases_the_first_are_looked_at(archive: Archive) -> None:
    seen(archive)
    for number in range(60):
        archive.file(f"{number}", field1="YN")
    (what,) = attention(archive)
    assert what.startswith("at least 50 released copies on field1 cannot be deleted, such as pilot/0: ")


def absent(archive: Archive, node: str, code: str = "root-not-mounted", **columns: Any) -> None:
    mark_seen(
        archive.index,
        archive.id("storagenode", node),
        **{"wrong": ago(archive, days=2), "why": "its disk is not mounted", "code": code} | columns,
    )


def test_a_disk_that_travels_is_not_missed_until_it_is_overdue(archive: Archive) -> None:
    seen(archive)
    since = ago(archive, days=3)
    absent(archive, "off1", seen=since)
    assert len(attention(archive)) == 1 and "was left out" in attention(archive)[0]
    archive.ok("node", "modify", "off1", "--absent-ok", "4")
    assert attention(archive) == []
    assert archive("status", "--json").json["nodes"][1]["away_since"] == f"{since.isoformat()}Z"
    assert row(archive, "off1").endswith("away 3 d") and row(archive, "off1", "--wide").endswith("away 3 d")
    run_row(archive, host="alp2", nodes="off1", failed=1)
    assert row(archive, "off1").endswith("away 3 d")
    assert row(archive, "off1", "--wide").endswith(", 1 failed, away 3 d")
    archive.ok("node", "deactivate", "off1")
    assert row(archive, "off1").endswith("away 3 d") and row(archive, "off2").endswith("inactive")
    archive.ok("node", "activate", "off1")
    archive.ok("node", "modify", "off1", "--absent-ok", "2")
    item = archive("status", "--json").json["attention"][0]
    assert item["what"] == f"off1 is away since {since} UTC, and was expected back within 2 days"
    assert (item["code"], item["node"]) == ("node-overdue", "off1")
    assert len(attention(archive)) == 1
    mark_seen(archive.index, archive.id("storagenode", "off1"))
    assert attention(archive) == []


def test_a_run_that_found_only_absent_disks_did_not_fail(archive: Archive) -> None:
    seen(archive)
    why = "no node of host alp2 could be used"
    run_row(archive, host="alp2", nodes="", exit_status=1, ending=why)
    absent(archive, "off1", seen=ago(archive, days=3))
    assert any(why in what for what in attention(archive))
    archive.ok("node", "modify", "off1", "--absent-ok", "4")
    assert attention(archive) == []
    archive.ok("node", "modify", "off1", "--absent-ok", "2")
    assert any(why in what for what in attention(archive))
    archive.ok("node", "modify", "off1", "--absent-ok", "4")
    archive.ok("node", "activate", "off2")
    assert any(why in what for what in attention(archive))


def test_only_absence_is_excused(archive: Archive) -> None:
    seen(archive)
    archive.ok("node", "modify", "off1", "--absent-ok", "30")
    absent(archive, "off1", code="medium-of-other-index", seen=ago(archive, days=2))
    (what,) = attention(archive)
    assert "was left out" in what
    absent(archive, "off1", code="root-of-other-node", seen=ago(archive, days=2))
    assert attention(archive) == []


def test_requests_wait_for_an_inactive_disk_that_is_expected_back(archive: Archive) -> None:
    seen(archive)
    archive.ok("node", "deactivate", "off1")
    archive.request(archive.file("a", off2="YY"), node="off2", group="field")
    archive.request(archive.file("b", field1="YY"))
    waits = [
        "1 request waits for group offsite, which has no active node",
        "1 request waits for off2, which is not active",
    ]
    assert attention(archive) == waits
    mark_seen(archive.index, archive.id("storagenode", "off2"), seen=ago(archive, days=5))
    archive.ok("node", "modify", "off2", "--absent-ok", "6")
    assert attention(archive) == []
    archive.ok("node", "modify", "off2", "--absent-ok", "4")
    assert attention(archive)[0] == waits[0] and attention(archive)[2] == waits[1]
    assert "off2 is away since" in attention(archive)[1]


def test_the_oldest_verification_of_a_node_that_verifies(archive: Archive) -> None:
    seen(archive)
    node = archive.id("storagenode", "off1")
    for name, state, days in (("a", "YY", 400), ("b", "YY", 10), ("gone", "NN", 900), ("bad", "XM", 800)):
        archive.insert(
            "sync_verification",
            file_id=archive.file(name, off1=state, field1="YY"),
            node_id=node,
            verified=ago(archive, days=days),
        )
    archive.index.execute("UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N' WHERE has_file = 'X'")
    # Recorded as good by another program, and never read.
    unread = archive.file("unread", off1="YY", field1="YY")
    archive.insert("sync_verification", file_id=unread, node_id=node, verified="1970-01-01 00:00:00")
    assert attention(archive) == []
    archive.ok("node", "modify", "off1", "--auto-verify", "10")
    assert attention(archive) == ["a copy on off1 was last verified 400 days ago"]
    verified = archive("status", "--json").json["nodes"][1]["verified"]
    assert verified == f"{ago(archive, days=400).date()}T{verified[11:]}"
    archive.index.execute("UPDATE sync_verification SET verified = ?", (ago(archive),))
    assert attention(archive) == []


def test_every_new_query_uses_an_index(archive: Archive) -> None:
    for number in range(200):
        run_row(archive, host=f"host{number % 20}")
        archive.file(f"{number}", field1="YY" if number else "YN")
    archive.index.execute(
        "INSERT INTO sync_verification (node_id, file_id, verified)"
        " SELECT node_id, file_id, last_update FROM archivefilecopy"
    )
    node = archive.id("storagenode", "field1")
    statements: tuple[tuple[str, tuple[Any, ...], str], ...] = (
        (host_runs.RUNS, ("host7",), "sync_run_host"),
        (kept_releases.RELEASED.format(marks="?"), (node,), "sync_copy_by_state"),
        (listing.OLDEST, (node, "1970-01-01"), "sync_verification_node_id_verified_file_id"),
    )
    for sql, values, used in statements:
        if archive.index.dialect.in_a_file:
            steps = [str(row[3]) for row in archive.all(f"EXPLAIN QUERY PLAN {sql}", *values)]
            assert any(used in step for step in steps), steps
            assert not any(step.startswith("SCAN ") and step != "SCAN v" for step in steps), steps
        else:
            archive.index.execute("ANALYZE TABLE sync_run, sync_verification, archivefilecopy").fetchall()
            rows = archive.all(f"EXPLAIN {sql}", *values)
            assert used in [row[5] for row in rows], rows
            assert not any(
                row[3] in ("ALL", "index") and not row[2].startswith("<derived") for row in rows
            ), rows


# --- filters, order and --check ------------------------------------------------------------------------


def several(archive: Archive) -> None:
    """A corrupt copy on off2, a missing one on off1, a failed run on alp1, and an index without a good backup."""
    seen(archive)
    archive.file("a", off2="XY", field1="YY")
    archive.file("b", off1="NY", field1="YY", off2="YY")
    run_row(archive, exit_status=1)
    backup(archive, timedelta(days=8))


def filtered(archive: Archive, *options: str) -> tuple[list[str], list[str]]:
    """The codes of the items, and the nodes."""
    document = archive("status", *options, "--json").json
    return [one["code"] for one in document["attention"]], [one["name"] for one in document["nodes"]]


def test_filters_choose_nodes_and_what_needs_attention(archive: Archive) -> None:
    several(archive)
    everything = ["copies-corrupt", "copies-missing", "last-run-failed", "backup-old"]
    assert filtered(archive) == (everything, ["field1", "off1", "off2"])
    assert filtered(archive, "--attention") == (everything, ["off1", "off2"])
    assert filtered(archive, "--node", "off2") == (["copies-corrupt"], ["off2"])
    assert filtered(archive, "--node", "off1", "--node", "field1") == (["copies-missing"], ["field1", "off1"])
    assert filtered(archive, "--host", "alp1") == (["last-run-failed"], ["field1"])
    assert filtered(archive, "--group", "offsite") == (["copies-corrupt", "copies-missing"], ["off1", "off2"])
    assert filtered(archive, "--group", "offsite", "--node", "off1") == (["copies-missing"], ["off1"])
    assert filtered(archive, "--host", "alp1", "--attention") == (["last-run-failed"], [])
    assert "no node called 'off3'" in archive.fails(1, "status", "--node", "off3")
    assert "no host called" in archive.fails(1, "status", "--host", "off1")


def test_nodes_with_the_most_serious_problems_come_first(archive: Archive) -> None:
    several(archive)
    lines = archive.ok("status").splitlines()
    table = lines[lines.index("") + 1 :]
    assert [line.split()[0] for line in table[2:]] == ["off2", "off1", "field1"]
    assert [line.split()[1] for line in table[2:]] == ["1", "1", "-"]
    assert archive.ok("status", "--node", "field1", "--attention").splitlines() == ["No such nodes."]


def test_one_line_for_each_host_or_group(archive: Archive) -> None:
    several(archive)
    archive.request(archive.file("c", field1="YY"))
    lines = archive.ok("status", "--by", "host").splitlines()
    assert [line.split() for line in lines[-2:]] == [
        ["alp2", "2", "2", "1", "1", "-", "2", "-"],
        ["alp1", "1", "1", "1", "-", "1", "-", "4", "min"],
    ]
    rows = archive("status", "--by", "group", "--json").json
    assert [(row["name"], row["items"], row["nodes"], row["in"]) for row in rows] == [
        ("offsite", 2, 2, 1),
        ("field", 0, 1, 0),
    ]
    assert archive.ok("status", "--by", "group", "--format", "csv").startswith("name,items,nodes,active,")


KINDS = ("corrupt", "missing", "not worked on", "without room", "well")


def many(archive: Archive, number: int) -> dict[str, str]:
    """Add nodes of ten groups on nine hosts, each with one of KINDS; return that of each."""
    seen(archive)
    kinds = {}
    for n in range(number):
        name, kind = f"disk-{n:03}", KINDS[n % len(KINDS)]
        kinds[name] = kind
        for table, other in (("storagehost", f"rack{n % 9}"), ("storagegroup", f"shelf{n % 10}")):
            if not archive.all(f"SELECT id FROM {table} WHERE name = ?", other):
                archive.insert(table, name=other)
        archive.insert(
            "storagenode",
            name=name,
            root=f"/srv/{name}",
            host_id=archive.id("storagehost", f"rack{n % 9}"),
            group_id=archive.id("storagegroup", f"shelf{n % 10}"),
            active=1,
            archive=1,
            auto_import=0,
            auto_verify=0,
            min_avail_gb=20 if kind == "without room" else 0,
            avail_gb=1023.9 if kind != "without room" else 10,
            avail_gb_last_checked=None if kind == "not worked on" else "2026-07-22 12:00:00",
        )
        state = {"corrupt": "XY", "missing": "NY"}.get(kind, "YY")
        archive.file(f"of {name}", **{name: state, "field1": "YY"})
    return kinds


def test_a_hundred_nodes_are_grouped_by_their_problem_and_sorted_by_need(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = many(archive, 100)
    for variable, value in archive.environ.items():
        monkeypatch.setenv(variable, value or "")
    archive.index.disconnect()
    lines = on_a_terminal(80, "-m", "alpenhorn", "status").splitlines()
    assert max(map(len, lines)) <= 80
    end = lines.index("")
    problems, table = lines[1:end], lines[end + 3 :]
    # A line and a command for each of the first three of a kind, and one line for the others.
    assert len(problems) <= 5 * 7 and sum("17 more items of this kind" in line for line in problems) == 4
    assert sum("alpenhorn status --wide" in line for line in problems) == 5
    found = [kinds[name] for line in table if (name := line.split()[0]) in kinds]
    assert len(table) == 103 and sorted(kinds.values()) == sorted(found)
    # Copies that can be replaced first, then nodes that need a look, and the others last.
    needs = [0 if kind in ("corrupt", "missing") else 2 if kind == "well" else 1 for kind in found]
    assert needs == sorted(needs)

    wide = on_a_terminal(80, "-m", "alpenhorn", "status", "--wide")
    piped = archive.ok("status")
    for text in (wide, piped):
        listed = [line for line in text.splitlines() if line.startswith("  ")]
        assert sum("1 corrupt copy on disk-" in line for line in listed) == 20
        assert not any("more items" in line for line in listed)
    codes, names = filtered(archive, "--host", "rack3", "--attention")
    here = [name for n, name in enumerate(kinds) if n % 9 == 3]
    assert names == [name for name in here if kinds[name] != "well"]
    assert codes.count("copies-corrupt") == sum(kinds[name] == "corrupt" for name in here)
    assert filtered(archive, "--group", "shelf[45]", "--attention")[1] == [
        name for n, name in enumerate(kinds) if n % 10 == 5
    ]
    assert filtered(archive, "--node", "disk-00*")[1] == [f"disk-00{n}" for n in range(10)]
    by_group = archive("status", "--by", "group", "--json").json
    assert [(row["name"], row["nodes"]) for row in by_group][:2] == [("shelf0", 10), ("shelf1", 10)]


def statements(archive: Archive) -> int:
    """Return how many statements it takes to read what `status` shows."""
    config = load(None, {"ALPENHORN_DATABASE_URL": archive.environ["ALPENHORN_DATABASE_URL"] or ""})
    if archive.index.dialect.in_a_file:
        counted: list[str] = []
        archive.index.db.connection().set_trace_callback(counted.append)
        look(archive.index, config)
        archive.index.db.connection().set_trace_callback(None)
        return len(counted)
    before = int(archive.one("SHOW SESSION STATUS LIKE 'Questions'")[1])
    look(archive.index, config)
    return int(archive.one("SHOW SESSION STATUS LIKE 'Questions'")[1]) - before


def test_a_hundred_nodes_take_little_more_than_ten(archive: Archive) -> None:
    def spent() -> float:
        times = []
        for _ in range(3):
            began = time.process_time()
            archive.ok("status")
            times.append(time.process_time() - began)
        return min(times)

    many(archive, 10)
    few, first = spent(), statements(archive)
    archive.index.execute("DELETE FROM archivefilecopy")
    archive.index.execute("DELETE FROM archivefile")
    archive.index.execute("DELETE FROM storagenode WHERE name LIKE 'disk-%'")
    many(archive, 100)
    assert spent() < 10 * few
    assert statements(archive) <= 3 * first


ITEM = (
    "2 copies were changed on off1 after registration and left alone, such as 'pi lot/a; b'; to bring back the old"
    " contents: alpenhorn repair --node off1 --replace --file 'pi lot/a; b'; to accept its owner's, on host alp2:"
    " alpenhorn file modify 'pi lot/a; b' --from-copy off1"
)


def test_each_remedy_is_on_a_line_of_its_own() -> None:
    assert attention_lines.item_lines("1 copy; see: alpenhorn x", 80) == ["  1 copy; see: alpenhorn x"]
    assert attention_lines.item_lines(ITEM, 80) == [
        "  2 copies were changed on off1 after registration and left alone, such as 'pi ",
        "    lot/a; b'",
        "    to bring back the old contents:",
        "      alpenhorn repair --node off1 --replace --file 'pi lot/a; b'",
        "    to accept its owner's, on host alp2:",
        "      alpenhorn file modify 'pi lot/a; b' --from-copy off1",
    ]
    kept = (
        "3 copies: needs 2; has 0 (copy it with: alpenhorn node sync a b); see: alpenhorn plan, on host alp1"
    )
    assert attention_lines.parts(kept) == (
        "3 copies: needs 2; has 0",
        ["copy it with: alpenhorn node sync a b", "see: alpenhorn plan, on host alp1"],
    )
    name = quote("it's; alpenhorn x")
    hostile = f"see {name}; run: alpenhorn file show {name}; then look"
    problem, remedies = attention_lines.parts(hostile)
    assert problem == f"see {name}"
    assert remedies == [hostile.removeprefix(f"{problem}; ")]
    assert attention_lines.parts("no remedy; at all") == ("no remedy; at all", [])


def test_check_is_one_line_for_monitoring_systems(archive: Archive) -> None:
    several(archive)
    result = archive("status", "--check")
    assert result.status == 4 and result.out.count("\n") == 1
    assert result.out.startswith(
        "ALPENHORN WARNING: 4 items need attention: 1 corrupt copy on off2; 1 missing"
    )
    assert result.out.endswith("; and 1 more | items=4 nodes=3\n")
    result = archive("status", "--check", "--node", "off2")
    assert result == (
        4,
        "ALPENHORN WARNING: 1 item needs attention: 1 corrupt copy on off2 | items=1 nodes=1\n",
        "",
    )
    assert archive("status", "--check", "--node", "field1").status == 0
    assert archive("status", "--check", "--json").status == 4
    assert archive("status", "--json").status == 0


def test_a_bar_in_a_text_does_not_begin_the_numbers_of_check(archive: Archive) -> None:
    seen(archive)
    archive.file("a|b", field1="XY")
    out = archive("status", "--check").out
    assert "pilot/a/b" in out and out.count("|") == 1


def test_an_index_without_nodes_is_not_well(empty: Archive) -> None:
    result = empty("status", "--check")
    assert (result.status, result.out) == (4, "ALPENHORN WARNING: the index has no nodes | items=0 nodes=0\n")


@pytest.mark.parametrize("columns", [80, 60])
def test_four_nodes_are_four_lines_on_a_narrow_terminal(
    archive: Archive, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(archive)
    archive.ok(
        *("node", "create", "a-node-with-a-long-name", "--group", "spare", "--host", "alp1"),
        *("--root", "/srv/long", "--activate"),
    )
    seen(archive)
    archive.index.execute("UPDATE storagenode SET avail_gb = 1023.9")
    archive.request(archive.file("a", field1="YY"))
    for name in ("field1", "off1", "off2"):
        run_row(archive, nodes=name)
    for variable, value in archive.environ.items():
        monkeypatch.setenv(variable, value or "")
    archive.index.disconnect()
    lines = on_a_terminal(columns, "-m", "alpenhorn", "status").splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].split()[:2] == ["Node", "Items"]
    assert ("Host" in lines[0]) == ("Free" in lines[0]) == (columns == 80)
    assert len(lines) == 6, lines
    assert [line.split()[0][:6] for line in lines[2:]] == ["a-node", "field1", "off1", "off2"]
    archive.index.execute("UPDATE storagenode SET name = ? WHERE name = 'field1'", ("a-name-" + "x" * 57,))
    archive.index.disconnect()
    folded = on_a_terminal(columns, "-m", "alpenhorn", "status").splitlines()
    assert max(map(len, folded)) <= columns and "".join(folded).count("x") == 57
    wide = on_a_terminal(columns, "-m", "alpenhorn", "status", "--wide").splitlines()
    assert any(line.startswith("a-name-" + "x" * 57 + "  field") for line in wide)
