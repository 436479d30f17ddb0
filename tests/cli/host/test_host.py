from __future__ import annotations

import pytest

from tests.cli.conftest import Archive


def test_a_host_is_created_listed_shown_and_changed(empty: Archive) -> None:
    assert empty.ok("host", "create", "alp1", "--address", "alp1.example.org", "--username", "horn") == (
        "Created host alp1.\n"
    )
    assert empty("host", "list", "--json").json == [
        {
            "name": "alp1",
            "address": "alp1.example.org",
            "username": "horn",
            "site": "alp1",
            "notes": None,
            "node_count": 0,
        }
    ]
    assert (
        empty.ok("host", "modify", "alp1", "--address", "", "--notes", "in the\nbarn")
        == "Changed host alp1.\n"
    )
    assert empty.one("SELECT address, username, notes FROM storagehost") == (None, "horn", "in the\nbarn")
    shown = empty.ok("host", "show", "alp1")
    assert "User: horn" in shown and "in the\\nbarn" in shown


def test_the_site_of_a_node_is_its_own_or_its_hosts_or_the_hosts_name(archive: Archive) -> None:
    def site(node: str) -> object:
        return archive("node", "show", node, "--json").json["site"]

    assert (site("off1"), site("field1")) == ("alp2", "alp1")
    assert archive.ok("host", "modify", "alp2", "--site", "town") == "Changed host alp2.\n"
    assert archive.ok("host", "modify", "alp2", "--site", "town") == "No change.\n"
    assert (site("off1"), site("off2"), site("field1")) == ("town", "town", "alp1")
    assert "Site: town" in archive.ok("host", "show", "alp2")
    archive.ok("node", "modify", "off1", "--site", "vault", "--host", "alp1")
    assert (site("off1"), site("off2")) == ("vault", "town")
    assert "Site: vault" in archive.ok("node", "show", "off1")
    archive.ok("node", "modify", "off1", "--site", "")
    assert site("off1") == "alp1"
    archive.ok("node", "modify", "off1", "--host", "")
    assert site("off1") is None
    archive.fails(2, "host", "modify", "alp2", "--site", " town")
    assert archive.ok("host", "modify", "alp2", "--site", "") == "Changed host alp2.\n"
    assert site("off2") == "alp2"


def test_a_new_host_does_not_get_the_site_of_a_deleted_one(archive: Archive) -> None:
    archive.ok("host", "create", "old", "--site", "town")
    host_id = archive.id("storagehost", "old")
    archive.ok("host", "delete", "old", "--force")
    assert archive.all("SELECT * FROM sync_host") == []
    archive.insert("sync_host", host_id=host_id, site="town")  # as if another program had deleted it
    archive.ok("host", "create", "new")
    hosts = {row["name"]: row["site"] for row in archive("host", "list", "--json").json}
    assert hosts["new"] == "new"


def test_a_change_to_what_is_there_already_says_so(archive: Archive) -> None:
    assert archive.ok("host", "modify", "alp1", "--address", "") == "No change.\n"
    assert archive.ok("host", "modify", "alp1") == "No change.\n"


def test_a_host_that_exists_is_not_created_again(archive: Archive) -> None:
    assert "host 'alp1': exists already" in archive.fails(1, "host", "create", "alp1")
    assert "already" in archive.fails(1, "host", "create", "alp1", "--notes", "another")


@pytest.mark.parametrize(
    "name", ["", " ", " a", "a ", "a/b", "..", "x" * 65, "a\nb", "a\x1b[2J", "a\x9b", "a\udcff"]
)
def test_a_bad_name_is_wrong_usage(empty: Archive, name: str) -> None:
    assert f"name {name!a}: " in empty.fails(2, "host", "create", name)


def test_an_unknown_host_is_answered_with_the_nearest(archive: Archive) -> None:
    for command in ("show", "modify"):
        message = archive.fails(1, "host", command, "alp")
        assert (
            message
            == "Error: no host called 'alp'; did you mean 'alp1' or 'alp2'? see: alpenhorn host list\n"
            or ("did you mean 'alp2' or 'alp1'?" in message)
        )


def test_a_name_that_no_database_can_hold_is_not_found(archive: Archive) -> None:
    assert "no host called" in archive.fails(1, "host", "show", "a\udcff")


def test_names_are_compared_byte_for_byte(archive: Archive) -> None:
    archive.fails(1, "host", "show", "ALP1")
    archive.ok("host", "create", "ALP1")


def test_show_lists_the_nodes_with_details_and_stats(archive: Archive) -> None:
    archive.file("a", field1="YY")
    archive.file("b", field1="XY")
    assert archive.ok("host", "show", "alp1").endswith("Nodes:\n\n  field1\n")
    table = archive.ok("host", "show", "alp1", "--node-details", "--node-stats")
    assert "/srv/field1" in table and "1000 B" in table
    document = archive("host", "show", "alp1", "--node-stats", "--json").json
    (node,) = document["nodes"]
    assert node["stats"]["files"] == 1
    assert node["stats"]["states"] == {
        "Healthy": {"files": 1, "size_b": 1000},
        "Corrupt": {"files": 1, "size_b": 1000},
    }


def test_no_hosts(empty: Archive) -> None:
    assert empty("host", "list", "--json").json == []
    assert empty.ok("host", "list").startswith("No hosts")
