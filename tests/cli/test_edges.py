from __future__ import annotations

from tests.cli.conftest import Archive


def edge(archive: Archive) -> list[tuple[int, int]]:
    return archive.all("SELECT autosync, autoclean FROM storagetransferaction ORDER BY id")


def shown(archive: Archive) -> tuple[object, object]:
    return (
        archive("group", "show", "offsite", "--actions", "--json").json["actions"],
        archive("node", "show", "field1", "--actions", "--json").json["actions"],
    )


def test_an_edge_is_made_shown_and_taken_away(archive: Archive) -> None:
    assert (
        archive.ok("group", "autosync", "offsite", "field1") == "Autosync from field1 into offsite is on.\n"
    )
    flags = {"autosync": True, "autoclean": False}
    assert shown(archive) == ([{"node": "field1", **flags}], [{"group": "offsite", **flags}])
    assert archive.ok("node", "autoclean", "field1", "offsite") == "Autoclean of field1 by offsite is on.\n"
    flags["autoclean"] = True
    assert shown(archive) == ([{"node": "field1", **flags}], [{"group": "offsite", **flags}])
    assert "field1  yes" in archive.ok("group", "show", "offsite", "--actions")
    assert "offsite  yes" in archive.ok("node", "show", "field1", "--actions")
    assert edge(archive) == [(1, 1)]
    assert (
        archive.ok("group", "autosync", "offsite", "field1")
        == "No change: autosync from field1 into offsite is already on.\n"
    )
    assert "is off." in archive.ok("group", "autosync", "offsite", "field1", "--remove")
    assert edge(archive) == [(0, 1)]
    assert "is off." in archive.ok("node", "autoclean", "field1", "offsite", "--remove")
    # The row stays, since another program may have made it; an edge that does nothing is not shown.
    assert edge(archive) == [(0, 0)] and shown(archive) == ([], [])
    assert "No change" in archive.ok("node", "autoclean", "field1", "offsite", "--remove")


def test_an_edge_to_the_own_group_is_refused(archive: Archive) -> None:
    for arguments in (("group", "autosync", "field", "field1"), ("node", "autoclean", "field1", "field")):
        message = archive.fails(1, *arguments)
        assert "a rule from a node to its own group has no effect" in message
        assert "No change" in archive.ok(*arguments, "--remove")


def test_names_that_are_not_there(archive: Archive) -> None:
    assert "did you mean 'offsite'" in archive.fails(1, "group", "autosync", "ofsite", "field1")
    assert "did you mean 'field1'" in archive.fails(1, "group", "autosync", "offsite", "field")
    assert "did you mean 'field1'" in archive.fails(1, "node", "autoclean", "fild1", "offsite")
    archive.fails(2, "group", "autosync", "offsite")


def test_new_rule_counts_existing_copies_and_changes_none(archive: Archive) -> None:
    archive.file("a", field1="YY")
    archive.file("b", field1="YY")
    held = archive.file("c", field1="YY", off2="YY")
    archive.file("d", field1="YN")
    said = archive.ok("group", "autosync", "offsite", "field1")
    assert "2 copies (1.95 KiB) on field1 neither in offsite nor requested there; " in said
    assert "to apply the rule to existing copies: alpenhorn rules check --apply" in said
    assert archive.requests() == []
    said = archive.ok("node", "autoclean", "field1", "offsite")
    assert "1 copy (1000 B) on field1 also in offsite" in said
    assert "alpenhorn rules check --apply" in said
    assert archive.copy(held, "field1") == "YY"
    assert "already" not in archive.ok("group", "autosync", "offsite", "field1", "--remove")


def test_autoclean_of_an_archive_node_says_when_its_copies_go(archive: Archive) -> None:
    refused = archive.fails(1, "node", "autoclean", "off1", "spare")
    assert "off1 is an archive node; nothing was changed;" in refused and "--archive-ok" in refused
    assert archive("node", "autoclean", "off1", "spare", "--archive-ok", "--remove").status == 2
    assert "No change" in archive.ok("node", "autoclean", "off1", "spare", "--remove")
    result = archive("node", "autoclean", "off1", "spare", "--archive-ok")
    assert result.status == 0
    assert "off1 is an archive node: its copies are deleted only while" in result.err
    assert "2 good copies are on other active archive nodes" in result.err
    assert archive("node", "autoclean", "field1", "spare").err == ""
    made = archive("node", "modify", "field1", "--archive").err
    assert "a rule releases copies on field1, now archive copies, once spare has them; to remove it:" in made
    archive.ok("node", "autoclean", "field1", "spare", "--remove")
