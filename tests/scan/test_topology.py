from __future__ import annotations

import pytest

from alpenhorn.errors import NotFound
from alpenhorn.model.nodes import GroupFact
from alpenhorn.scan.topology import load
from tests.fixtures.rows import HERE, THERE, Rows
from tests.scan.statements import counted


def test_nodes_come_with_their_hosts(rows: Rows) -> None:
    rows.do(
        "UPDATE storagenode SET max_total_gb = 1.5, min_avail_gb = 0.5, io_config = '{}' WHERE name = 'one'"
    )
    topology = load(rows.index)
    node = topology.nodes[rows.node["one"]]
    assert (node.name, node.root, node.group_id) == ("one", "/srv/one", rows.group["one"])
    assert (node.host, node.username, node.address) == (HERE, "u", "a")
    assert (bool(node.active), bool(node.archive)) == (True, True)
    assert (node.max_total_gb, node.min_avail_gb, node.avail_gb, node.io_config) == (1.5, 0.5, None, "{}")
    assert topology.groups[rows.group["two"]] == GroupFact(rows.group["two"], "two", None, None)


def test_the_nodes_here_are_active_and_this_hosts(rows: Rows) -> None:
    rows.do("UPDATE storagenode SET active = 0 WHERE name = 'field'")
    rows.insert(
        "storagenode", name="homeless", group_id=rows.group["two"], active=1, auto_import=0, auto_verify=0,
        archive=0, min_avail_gb=0.0,
    )  # fmt: skip
    topology = load(rows.index)
    assert [node.name for node in topology.here(HERE)] == ["one", "two"]
    assert topology.here("nobody") == []


def test_nodes_are_found_by_name_each_once(rows: Rows) -> None:
    topology = load(rows.index)
    assert [node.name for node in topology.named(["two", "one", "two"])] == ["two", "one"]
    for name in ("none", "ONE", "one "):
        with pytest.raises(NotFound, match="alpenhorn node list"):
            topology.named(["one", name])
    with pytest.raises(NotFound, match="did you mean 'one'"):
        topology.named(["oen"])


def test_topology_is_loaded_with_two_statements(rows: Rows) -> None:
    with counted() as statements:
        load(rows.index)
    assert statements.count == 2


@pytest.mark.parametrize(
    ("host", "root", "vouches"),
    [
        (HERE, "/srv/one", True),
        (THERE, "/srv/one", False),
        (HERE, "/srv/two", False),
        (HERE.upper(), "/srv/one", False),
        (HERE, "/srv/One", False),
        (HERE, "/srv/öne", False),
        (HERE, "/srv/one ", False),
        (HERE, "/srv/one/", False),
        (None, "/srv/one", False),
        (HERE, None, False),
    ],
)
def test_a_manifest_is_vouched_for_only_at_the_place_where_it_was_recorded(
    rows: Rows, host: str | None, root: str | None, vouches: bool
) -> None:
    """Also if the index's tables take names that differ in case, accents or trailing blanks for equal."""
    if not rows.index.dialect.compares_bytes:
        for table in ("storagenode", "storagehost", "sync_node"):
            rows.do(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    rows.insert("sync_node", node_id=rows.node["one"], compared=0, host=host, root=root, event_id=0, files=0)
    for token in ("ab" * 16, ""):
        rows.do("UPDATE sync_node SET manifest = ?", token)
        nodes = load(rows.index).nodes
        assert nodes[rows.node["one"]].manifest == (token if vouches else None)
        assert nodes[rows.node["two"]].manifest is None
    rows.do("UPDATE storagenode SET host_id = NULL WHERE name = 'one'")
    assert load(rows.index).nodes[rows.node["one"]].manifest is None
