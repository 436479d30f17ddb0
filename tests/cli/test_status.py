from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.cli.conftest import Archive


def run_row(archive: Archive, **values: Any) -> int:
    return archive.insert(
        "sync_run",
        **{
            "host": "alp1",
            "nodes": "field1",
            "started": "2026-07-22 12:00:00",
            "ended": "2026-07-22 12:01:00",
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


def test_status_says_that_nothing_needs_attention(archive: Archive) -> None:
    seen(archive)
    archive.file("a", field1="YY", off1="NM", off2="XN")
    assert attention(archive) == []
    assert archive.ok("status").startswith("Node ")


def test_an_empty_index(empty: Archive) -> None:
    assert empty.ok("status").startswith("No nodes")
    assert empty("status", "--json").json == {"attention": [], "backup": None, "conditions": [], "nodes": []}


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
    failed = run_row(archive, exit_status=1)
    run_row(archive, host="alp2", nodes="off1", exit_status=0)
    assert attention(archive) == ["the last run on alp1, started 2026-07-22 12:00:00, ended with status 1"]
    assert f"see: alpenhorn history --run {failed}" in archive.ok("status")
    run_row(archive, exit_status=0)
    assert attention(archive) == []


def test_status_shows_space_requests_and_last_run_of_a_node(archive: Archive) -> None:
    seen(archive)
    run_row(archive)
    run_row(archive, nodes="off1 field1", started="2026-07-22 13:00:00", ended=None, exit_status=None)
    run_row(archive, nodes="field12", started="2026-07-22 14:00:00")
    archive.file("big", size=30 * 2**30, field1="YY")
    archive.request(archive.file("a", size=7, field1="YY"))
    archive.request(archive.file("b", size=8, off1="YY"), node="off1", group="field")
    archive.ok("node", "scan", "field1")
    node = archive("status", "--json").json["nodes"][0]
    last = node.pop("last_run")
    assert (last["started"], last["ended"], last["nodes"]) == (
        "2026-07-22T13:00:00Z",
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
        "missing": 0,
        "suspect": 0,
        "mendable": 0,
    }
    (line,) = [line for line in archive.ok("status").splitlines() if line.startswith("field1")]
    assert "75.0 %" in line and "1 (7 B)" in line and "2026-07-22 13:00, not ended" in line


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
