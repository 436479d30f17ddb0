"""Rules, as carried out by whole runs."""

import pytest

pytestmark = pytest.mark.one_engine


@pytest.fixture
def chain(archive):
    """A field node and two archive nodes, each in a group of its own."""
    archive.node("field")
    archive.node("near", archive=1)
    archive.node("far", archive=1)
    return archive


def edge(archive, *arguments):
    result = archive.run(*arguments)
    assert result.status == 0, result
    return result.out


def imported(archive, contents):
    for path, content in contents.items():
        archive.put("field", path, content)
    assert archive.run("node", "scan", "field", "--register-new").status == 0


CONTENTS = {f"day/{i // 20}/{i}.dat": f"bytes of {i}".encode() * i for i in range(100)}


def states(archive, node):
    return set(
        archive.all(
            "SELECT c.has_file, c.wants_file FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id"
            " WHERE n.name = ?",
            node,
        )
    )


def test_a_chain_of_rules_is_carried_out_in_one_run(chain):
    edge(chain, "group", "autosync", "near", "field")
    edge(chain, "group", "autosync", "far", "near")
    edge(chain, "node", "autoclean", "field", "far")
    imported(chain, CONTENTS)
    chain.synced()
    assert chain.tree("near") == chain.tree("far") == CONTENTS
    assert states(chain, "near") == states(chain, "far") == {("Y", "Y")}
    # Released by the last link, and removed since two archive nodes have each by then.
    assert states(chain, "field") == {("N", "N")} and chain.tree("field") == {}
    assert chain.pending() == 0 and chain.claims() == 0 and chain.violations() == []
    # What happened to each, and why, is in the log.
    file_id = chain.one("SELECT MIN(id) FROM archivefile")
    story = chain.all(
        "SELECT n.name, e.what, e.why FROM sync_event e JOIN storagenode n ON n.id = e.node_id"
        " WHERE e.file_id = ? AND e.what IN ('imported', 'requested', 'pulled', 'released') ORDER BY e.id",
        file_id,
    )
    assert [(node, what) for node, what, _ in story] == [
        ("field", "imported"),
        ("field", "requested"),
        ("near", "pulled"),
        ("near", "requested"),
        ("far", "pulled"),
        ("field", "released"),
    ]
    assert [why for _, what, why in story if what != "pulled"] == [
        "registered",
        "autosync from field into near",
        "autosync from near into far",
        "autoclean, far has it",
    ]


def test_copies_older_than_the_rule_wait_for_rules_check(chain):
    ids = chain.files(30, "field", 100)
    chain.set_copy(ids[0], "field", "YN")
    assert "29 copies" in edge(chain, "group", "autosync", "near", "field")
    chain.synced("--only", "pull")
    assert chain.tree("near") == {}
    assert chain.run("rules", "check").status == 1
    assert chain.run("rules", "check", "--apply").status == 1
    assert chain.pending() == 0
    assert "Requested 29 files" in edge(chain, "rules", "check", "--apply", "--force")
    chain.synced("--only", "pull")
    assert len(chain.tree("near")) == 29
    assert "No missed actions" in edge(chain, "rules", "check")
    assert "29 copies" in edge(chain, "node", "autoclean", "field", "near")
    assert "released 29 copies" in edge(chain, "rules", "check", "--apply", "--force")
    assert chain.run("rules", "check").status == 0
    assert {wants for _, wants in states(chain, "field")} == {"N"}


def test_a_suspect_copy_that_is_found_good_is_requested(chain):
    edge(chain, "group", "autosync", "near", "field")
    file_id = chain.file("acq/f", b"bytes", "field")
    rotten = chain.file("acq/g", b"bytes", "field")
    for one in (file_id, rotten):
        chain.set_copy(one, "field", "MY")
    chain.put("field", "acq/g", b"bites")
    assert chain.sync().status == 1
    assert chain.tree("near") == {"acq/f": b"bytes"}
    assert (chain.copy(file_id, "near"), chain.copy(rotten, "near")) == ("YY", None)


def test_a_file_found_in_place_releases_the_other_copy_once_checked(chain):
    edge(chain, "node", "autoclean", "field", "near")
    file_id = chain.file("acq/f", b"bytes", "field")
    chain.put("near", "acq/f", b"bytes")
    request = chain.request(file_id, "field", "near")
    chain.synced("--only", "pull", "--only", "check")
    assert chain.state(request) == "cancelled"
    assert chain.copy(file_id, "near") == "YY"
    assert chain.events("released") == [(file_id, "field")]


def test_a_request_by_rule_into_a_group_without_nodes_waits(chain):
    chain.group("later")
    edge(chain, "group", "autosync", "later", "field")
    imported(chain, {"acq/f": b"bytes"})
    chain.synced()
    assert chain.pending() == 1
    assert chain.run("rules", "check").status == 0
    chain.node("new", group="later")
    chain.synced()
    assert chain.pending() == 0 and chain.tree("new") == {"acq/f": b"bytes"}
