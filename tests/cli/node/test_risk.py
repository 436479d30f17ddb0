from __future__ import annotations

from tests.cli.conftest import Archive
from tests.fixtures.seen import mark_seen


def filled(archive: Archive) -> None:
    """Of the files on field1, b is nowhere else, c on an inactive node, and d on a disk that was not seen."""
    archive.index.execute("UPDATE storagenode SET avail_gb = 10")
    mark_seen(archive.index, archive.id("storagenode", "off1"))
    archive.file("a", field1="YY", off1="YY")
    archive.request(archive.file("b", size=3000, field1="YY"))
    archive.file("c", field1="YY", off2="YY")
    archive.file("e", field1="MY", off2="YY")


def test_what_would_be_lost_and_the_first_command(archive: Archive) -> None:
    filled(archive)
    lines = [line.strip() for line in archive.ok("node", "risk", "field1").splitlines()]
    assert lines == [
        "Node: field1",
        "Copies: 4 files (5.86 KiB)",
        "Would be lost: 3 files (4.88 KiB)",
        "without another copy: 1 file (2.93 KiB)",
        "with copies that do not count: 2 files (1.95 KiB)",
        "suspect on this node: 1 file (1000 B)",
        "Fewer than 2 archive copies: none",
        "Requests without another source: 1",
        "",
        "Copies that do not count  Files",
        "------------------------  -----",
        "off2: not active              2",
        "",
        "see: alpenhorn request list --node field1 --group offsite",
    ]
    document = archive("node", "risk", "field1", "--json").json
    assert document["amounts"][1] == {"what": "lost", "files": 3, "size_b": 5000}
    assert document["uncounted"] == [{"copies": "off2: not active", "files": 2}]
    assert document["command"] == "alpenhorn request list --node field1 --group offsite"
    assert archive("request", "list", "--node", "field1", "--group", "offsite", "--json").json
    assert archive.ok("node", "risk", "field1", "--format", "csv").splitlines()[:3] == [
        "what,files,size_b",
        "all,4,6000",
        "lost,3,5000",
    ]


def test_what_is_not_requested_yet_is_to_be_requested(archive: Archive) -> None:
    filled(archive)
    archive.file("f", field1="YY")
    document = archive("node", "risk", "field1", "--json").json
    assert (document["command"], document["on_host"]) == ("alpenhorn node sync field1 offsite", None)
    archive.ok(*document["command"].split()[1:], "--force")
    document = archive("node", "risk", "field1", "--json").json
    assert document["command"] == "alpenhorn request list --node field1 --group offsite"


def test_the_files_are_listed(archive: Archive) -> None:
    filled(archive)
    rows = archive("node", "risk", "field1", "--list", "--json").json
    assert [(row["path"], row["risk"], row["suspect"], row["uncounted"]) for row in rows] == [
        ("pilot/b", "only", False, []),
        ("pilot/c", "doubtful", False, ["off2: not active"]),
        ("pilot/e", "doubtful", True, ["off2: not active"]),
    ]
    assert "pilot/c" in archive.ok("node", "risk", "field1", "--list")
    archive.ok("node", "create", "empty", "--group", "spare")
    assert archive.ok("node", "risk", "empty", "--list").startswith("No file would be lost")
    assert archive("node", "risk", "empty", "--json").json["command"] is None


def test_the_list_has_an_order_and_a_limit(archive: Archive) -> None:
    filled(archive)
    rows = archive("node", "risk", "field1", "--list", "--sort", "-size_b", "--limit", "2", "--json").json
    assert [row["path"] for row in rows] == ["pilot/b", "pilot/c"]
    for option in (["--sort", "path"], ["--limit", "2"], ["--wide"]):
        assert f"{option[0]} needs --list" in archive.fails(2, "node", "risk", "field1", *option)


def test_the_command_follows_what_is_at_risk(archive: Archive) -> None:
    archive.file("c", field1="YY", off2="YY")
    assert archive("node", "risk", "field1", "--json").json["command"] == "alpenhorn node activate off2"
    archive.ok("node", "activate", "off2")
    document = archive("node", "risk", "field1", "--json").json
    assert (document["command"], document["on_host"]) == ("alpenhorn sync", "alp2")
    assert archive.ok("node", "risk", "field1").endswith("see: alpenhorn sync, on host alp2\n")
    mark_seen(archive.index, archive.id("storagenode", "off2"))
    assert archive("node", "risk", "field1", "--json").json["command"] is None
    assert "see:" not in archive.ok("node", "risk", "field1")
    # Of its two archive copies one would be left; there is no third archive node in another group.
    mark_seen(archive.index, archive.id("storagenode", "off1"))
    archive.file("d", off1="YY", off2="YY")
    document = archive("node", "risk", "off1", "--json").json
    assert (
        document["amounts"][-1] == {"what": "few", "files": 1, "size_b": 1000}
        and document["command"] == "alpenhorn node create --help"
    )


def test_an_unknown_node(archive: Archive) -> None:
    assert "no node called 'field'" in archive.fails(1, "node", "risk", "field")


def test_a_copy_on_a_retired_node_preserves_a_file_but_is_no_archive_copy(archive: Archive) -> None:
    archive.index.execute("UPDATE storagenode SET archive = 1, active = 1")
    for name in ("field1", "off1", "off2"):
        mark_seen(archive.index, archive.id("storagenode", name))
    archive.file("a", field1="YY", off1="YY")
    archive.file("b", field1="YY", off1="YN")
    archive.file("c", field1="YY", off1="YY", off2="YY")
    archive.insert(
        "sync_retirement",
        node_id=archive.id("storagenode", "off1"),
        began="2026-07-22 12:00:00",
        releases=1,
        declared_lost=0,
        cancelled=0,
        event_id=0,
        stuck=0,
        nowhere=0,
    )

    def risks(node: str) -> dict[str, tuple[str, list[str], list[str]]]:
        return {
            one["path"]: (one["risk"], one["elsewhere"], one["uncounted"])
            for one in archive("node", "risk", node, "--list", "--json").json
        }

    assert risks("field1") == {
        "pilot/a": ("few", ["off1"], []),
        "pilot/b": ("doubtful", [], ["off1: released"]),
        "pilot/c": ("few", ["off2", "off1"], []),
    }
    # What dies with the retired node was no archive copy.
    assert risks("off1") == {}
    # One that has not been seen for long, or is not active, does not count here either.
    archive.index.execute("UPDATE sync_medium SET seen = '2026-01-01 00:00:00'")
    assert risks("field1")["pilot/a"][0] == "doubtful"
    archive.index.execute("UPDATE storagenode SET active = 0 WHERE name = 'off1'")
    assert risks("field1")["pilot/a"] == ("doubtful", [], ["off1: not active"])
