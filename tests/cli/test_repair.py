from __future__ import annotations

import pytest

from alpenhorn.cli.repair import PAGE, choose_sources
from alpenhorn.scan import topology
from tests.cli.conftest import Archive


@pytest.fixture
def damaged(archive: Archive) -> Archive:
    """off1 has a corrupt and a missing copy of what field1 has, which is on another host and can be reached."""
    archive.index.execute("UPDATE storagehost SET address = 'a', username = 'u'")
    archive.ids = [archive.file("a", field1="YY", off1="XY"), archive.file("b", field1="YY", off1="NY")]  # type: ignore[attr-defined]
    archive.once_good(archive.ids[0], "off1")  # type: ignore[attr-defined]
    return archive


def test_repair_without_bad_copies_requests_nothing(archive: Archive) -> None:
    archive.file("a", field1="YY", off1="XN", off2="MY")
    assert archive.ok("repair") == "No corrupt or missing copies.\n"
    assert archive("repair", "--check", "--json").json == {"requests": [], "left": [], "requested": None}


def test_good_copies_are_requested(damaged: Archive) -> None:
    said = damaged.ok("repair", "--force")
    assert [line.split() for line in said.splitlines()[2:3]] == [["off1", "field1", "2", "1.95", "KiB"]]
    assert "Requested 2 files." in said
    ids = damaged.ids  # type: ignore[attr-defined]
    assert damaged.requests() == [(file_id, "field1", "offsite") for file_id in ids]
    assert [damaged.copy(file_id, "off1") for file_id in ids] == ["XY", "NY"]


def test_check_changes_nothing(damaged: Archive) -> None:
    before = damaged.rows()
    assert "off1" in damaged.ok("repair", "--check")
    assert damaged.rows() == before
    damaged.fails(2, "repair", "--check", "--force")


def test_nothing_is_requested_without_a_terminal_and_force(damaged: Archive) -> None:
    message = damaged.fails(1, "repair")
    assert 'cannot ask "Request 2 files?" without a terminal; nothing was changed; use --force' in message


def test_repair_of_requested_copies_succeeds_and_requests_nothing_again(damaged: Archive) -> None:
    damaged.ok("repair", "--force")
    before = damaged.rows()
    said = damaged.ok("repair")
    assert "a request is already pending" in said
    ((request,),) = damaged.all("SELECT MIN(id) FROM archivefilecopyrequest")
    assert f"pilot/a (request {request})" in said
    assert damaged.rows() == before


def test_only_the_nodes_that_are_named(damaged: Archive) -> None:
    assert "No corrupt or missing copies" in damaged.ok("repair", "--node", "field1")
    assert "off1" in damaged.ok("repair", "--node", "off1", "--node", "field1", "--check")
    assert "no node called 'off'" in damaged.fails(1, "repair", "--node", "off")


def test_repair_lists_copies_without_a_source_and_requests_the_rest(damaged: Archive) -> None:
    damaged.file("nowhere", off1="XY")
    damaged.file("nowhere2", off1="NY", field1="XY")
    damaged.file("sibling", off1="XY", off2="YY", field1="YY")
    damaged.file("unsized", size=None, off1="XY", field1="YY")
    damaged.file("idle", off2="XY", field1="YY")
    result = damaged("repair", "--force", "--json")
    assert result.status == 1 and result.json["requested"] == 2
    assert result.json["requests"] == [
        {"node": "off1", "source": "field1", "files": 2, "size_b": 2000, "example": "pilot/a"}
    ]
    left = {(one["node"], one["example"]): one for one in result.json["left"]}
    for key, files, why in (
        (("off1", "pilot/nowhere"), 2, "no other node has a good copy"),
        (("field1", "pilot/nowhere2"), 1, "no other node has a good copy"),
        (("off1", "pilot/sibling"), 1, "alpenhorn file state FILE off1 --set Absent"),
        (("off1", "pilot/unsized"), 1, "the index has no length"),
        (("off2", "pilot/idle"), 1, "off2 is not active"),
    ):
        one = left.pop(key)
        assert (one["files"], one["under_way"]) == (files, False) and why in one["why"]
    assert not left
    text = damaged("repair", "--check")
    assert text.status == 1 and "no other node has a good copy" in text.out


def test_repair_does_not_replace_a_file_that_was_never_a_good_copy(damaged: Archive) -> None:
    file_id = damaged.file("found", field1="YY", off1="XY")
    damaged.insert(
        "sync_event",
        at="2026-07-22 10:00:00",
        file_id=file_id,
        node_id=damaged.id("storagenode", "off1"),
        what="corrupt",
        why="its length is 3 bytes",
    )
    result = damaged("repair", "--force", "--json")
    assert result.status == 1 and result.json["requested"] == 2
    (left,) = result.json["left"]
    assert left["example"] == "pilot/found (its length is 3 bytes)" and not left["under_way"]
    assert "something else is at its path on off1" in left["why"]


def test_a_host_that_cannot_be_reached_is_told_with_what_is_missing(damaged: Archive) -> None:
    damaged.index.execute("UPDATE storagehost SET address = NULL")
    result = damaged("repair", "--force")
    assert result.status == 1
    assert "host alp1 has no address (alpenhorn host modify alp1 --address ADDRESS)" in result.out
    damaged.index.execute("UPDATE storagenode SET active = 0 WHERE name = 'field1'")
    assert "field1 is not active" in damaged("repair").out
    assert damaged.requests() == []


def test_json_asks_nothing(damaged: Archive) -> None:
    damaged.fails(2, "repair", "--json")


def test_strange_rows(damaged: Archive) -> None:
    if not damaged.index.dialect.in_a_file:
        damaged.index.execute("SET SESSION foreign_key_checks = 0")
    off1 = damaged.id("storagenode", "off1")
    damaged.insert(
        "archivefilecopy",
        file_id=4711,
        node_id=off1,
        has_file="X",
        wants_file="Y",
        ready=1,
        last_update="2026-07-22 10:00:00",
    )
    damaged.insert(
        "archivefilecopy",
        file_id=4711,
        node_id=4712,
        has_file="Y",
        wants_file="Y",
        ready=1,
        last_update="2026-07-22 10:00:00",
    )
    result = damaged("repair", "--force")
    assert result.status == 1 and "the index has no row for the file" in result.out
    assert "file 4711" in result.out and len(damaged.requests()) == 2


def test_the_progress_is_that_of_pages(damaged: Archive) -> None:
    index, off1 = damaged.index, damaged.one("SELECT id FROM storagenode WHERE name = 'off1'")
    for number in range(2 * PAGE):
        damaged.file(f"many{number}", field1="YY")
    index.execute(
        "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, last_update)"
        " SELECT id, ?, 'N', 'Y', 0, '2026-01-01' FROM archivefile WHERE name LIKE 'many%'",
        (off1,),
    )
    seen: list[tuple[int, int]] = []
    found = topology.load(index)
    repairs = choose_sources(index, found, ("off1",), frozenset(), False, lambda *at: seen.append(at))
    of = 2 * PAGE + 2
    assert seen == [(0, of), (1, of), (1 + PAGE, of), (1 + 2 * PAGE, of)]
    assert repairs.files == of
    assert f"Requested {of} files." in damaged.ok("repair", "--force")
    assert len(damaged.requests()) == of
