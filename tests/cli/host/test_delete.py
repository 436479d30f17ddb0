from __future__ import annotations

import pytest

from tests.cli.conftest import Archive

HOSTS = "SELECT name FROM storagehost ORDER BY name"


def test_a_host_without_nodes_is_deleted(archive: Archive) -> None:
    archive.ok("host", "create", "old")
    assert archive.ok("host", "delete", "old", "--check") == "Would delete host old.\n"
    assert archive.ok("host", "delete", "old", "--force") == "Deleted host old.\n"
    assert archive.all(HOSTS) == [("alp1",), ("alp2",)]
    assert "no host called 'old'" in archive.fails(1, "host", "delete", "old", "--force")


def test_a_host_with_nodes_is_kept_and_they_are_named(archive: Archive) -> None:
    for options in ((), ("--force",), ("--check",)):
        message = archive.fails(1, "host", "delete", "alp2", *options)
        assert "host alp2: still has nodes off1, off2;" in message and "--remove-nodes" in message
    assert "host alp1: still has node field1;" in archive.fails(1, "host", "delete", "alp1", "--force")


def test_of_many_nodes_the_first_are_named(archive: Archive) -> None:
    for number in range(10):
        archive.ok("node", "create", f"disk{number}", "--group", "spare", "--host", "alp1")
    message = archive.fails(1, "host", "delete", "alp1", "--force")
    assert "host alp1: still has nodes disk0, disk1, disk2, disk3, disk4 and 6 more;" in message


def test_host_delete_with_remove_nodes_clears_only_the_host_of_its_nodes(archive: Archive) -> None:
    before = archive.rows()
    columns = [row[0] for row in archive.index.execute("SELECT * FROM storagenode").description]
    out = archive.ok("host", "delete", "alp2", "--remove-nodes", "--force")
    assert "nodes off1, off2" in out and "alpenhorn node activate NODE --host HOST" in out
    after = archive.rows()
    host = columns.index("host_id")
    assert [row[host] for row in after["storagenode"]] == [before["storagenode"][0][host], None, None]

    def rest(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
        return [row[:host] + row[host + 1 :] for row in rows]

    assert rest(after["storagenode"]) == rest(before["storagenode"])
    assert [row[1] for row in after["storagehost"]] == ["alp1"]
    changed = {table for table in before if before[table] != after[table]}
    assert changed == {"storagehost", "storagenode"}


def test_without_a_terminal_nothing_is_deleted_unless_forced(archive: Archive) -> None:
    archive.ok("host", "create", "old")
    assert "use --force" in archive.fails(1, "host", "delete", "old")
    assert "use --force" in archive.fails(1, "host", "delete", "alp1", "--remove-nodes")


def test_check_changes_nothing_and_excludes_force(archive: Archive) -> None:
    before = archive.rows()
    out = archive.ok("host", "delete", "alp1", "-n", "--remove-nodes")
    assert out == "Would delete host alp1, and remove node field1 from it.\n"
    assert archive.rows() == before
    archive.fails(2, "host", "delete", "alp1", "--check", "--force", "--remove-nodes")


@pytest.mark.parametrize("name", ["alp", "", "..", "alp1\n", "alp\0", "alp1\udcff", "ALP1", "x" * 300])
def test_an_unknown_host_is_not_found(archive: Archive, name: str) -> None:
    assert "no host called" in archive.fails(1, "host", "delete", "--force", "--", name)
