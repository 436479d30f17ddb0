"""What an upgrade would do, and say, for what it found."""

from __future__ import annotations

from typing import Any

from alpenhorn.index.migrations import ddl
from alpenhorn.index.migrations.ddl import AddIndex, Column, IndexOn, Table
from alpenhorn.index.upgrade_plan import (
    AddDaemonColumn,
    AddHosts,
    CreateDaemonTable,
    DropIndex,
    DropOldColumns,
    FillNodes,
    Host,
    OldNode,
    RecordVersion,
    UpgradeFacts,
    plan,
)


def node(id_: int, host: str | None = "alp1", **columns: Any) -> OldNode:
    values = {
        "name": f"n{id_}",
        "username": None,
        "address": None,
        "storage_type": "A",
        "active": True,
        "group": "g",
        "group_class": None,
    }
    return OldNode(id=id_, host=host, **(values | columns))


def hosts(*nodes: OldNode, there: tuple[Host, ...] = ()) -> list[Host]:
    planned = plan(UpgradeFacts(nodes, hosts=there))
    return [host for step in planned.steps if isinstance(step, AddHosts) for host in step.hosts]


def test_everything_is_added_before_the_old_columns_go() -> None:
    extra = IndexOn("archivefilecopy", "sync_copy_by_state", ("node_id", "has_file", "wants_file"))
    of_host = IndexOn("storagenode", "storagenode_host_id", ("host_id",))
    ours = ddl.CreateTable(Table("sync_run", (Column("id", ddl.AUTO),)))
    planned = plan(
        UpgradeFacts(
            [node(1), node(2, None, storage_type="F")],
            tables=["storagehost"],
            columns=[("storagenode", "host_id"), ("storagenode", "archive")],
            indexes=[of_host],
            over_old=[("mine", ("host", "active"))],
            components=[("sync", 2)],
            ours=[ours, AddIndex(extra)],
        )
    )
    filled = ((1, "alp1", True), (2, "", False))
    assert planned.steps == (
        CreateDaemonTable("storagehost"),
        AddDaemonColumn("storagenode", "host_id"),
        AddDaemonColumn("storagenode", "archive"),  # the index of host_id comes with its column
        AddHosts((Host("alp1", None, None),)),
        FillNodes(filled),
        ours,
        AddIndex(extra),
        RecordVersion("sync", 2),
        DropIndex("mine", ("host", "active")),
        DropOldColumns(filled),
    )
    assert planned.problems == () and planned.notes == ()
    assert all(str(step) for step in planned.steps)


def test_what_is_done_already_is_not_done_again() -> None:
    there = Host("alp1", "obs", "a.example.org")
    planned = plan(UpgradeFacts([node(1, username="obs")], hosts=[there]))
    assert planned.steps == (FillNodes(((1, "alp1", True),)), DropOldColumns(((1, "alp1", True),)))


def test_an_index_without_nodes_is_upgraded_too() -> None:
    assert plan(UpgradeFacts([])).steps == (DropOldColumns(()),)


def test_a_host_gets_what_most_of_its_active_nodes_say() -> None:
    nodes = [
        node(1, address="x", active=False),
        node(2, address="x", active=False),
        node(3, address="x", active=False),
        node(4, address="y", username="u"),
        node(5, address="z", username=" "),
        node(6, address="z"),
    ]
    assert hosts(*nodes) == [Host("alp1", "u", "z")]
    notes = plan(UpgradeFacts(nodes)).notes
    assert notes == tuple(
        f"host alp1 gets the address z; {lost}, of its node n{id_}, is dropped"
        for id_, lost in ((1, "x"), (2, "x"), (3, "x"), (4, "y"))
    )


def test_inactive_nodes_are_asked_where_no_active_one_says_anything() -> None:
    assert hosts(node(1), node(2, address="x", active=False)) == [Host("alp1", None, "x")]


def test_of_as_many_the_first_is_taken() -> None:
    assert hosts(node(1, address="b"), node(2, address="a")) == [Host("alp1", None, "b")]


def test_a_row_that_is_there_is_completed_and_not_changed() -> None:
    nodes = [node(1, username="u", address="x")]
    assert hosts(*nodes, there=(Host("alp1", None, "y"),)) == [Host("alp1", "u", "y")]
    assert (
        "x, of its node n1, is dropped" in plan(UpgradeFacts(nodes, hosts=[Host("alp1", None, "y")])).notes[0]
    )


def test_a_node_without_a_host_has_none_and_its_address_is_told() -> None:
    planned = plan(UpgradeFacts([node(1, None), node(2, ""), node(3, "  ", username="u", address="x")]))
    assert FillNodes(((1, "", True), (2, "", True), (3, "", True))) in planned.steps
    assert planned.notes == ("node n3 is on no host, so its u and x is dropped",)


def test_only_a_becomes_archive_and_t_is_explained() -> None:
    planned = plan(
        UpgradeFacts(
            [
                node(1, storage_type="A"),
                node(2, storage_type="F"),
                node(3, storage_type="T", group="sneaker"),
                node(4, storage_type="T", group="vans", group_class="Transport"),
            ]
        )
    )
    fill = next(step for step in planned.steps if isinstance(step, FillNodes))
    assert [archive for _, _, archive in fill.nodes] == [True, False, False, False]
    assert planned.notes[0].endswith("nodes that had it: n3, n4")
    assert "sneaker (Default)" in planned.notes[1] and "vans" not in planned.notes[1]


def test_field_nodes_that_a_transport_group_passed_over_are_told() -> None:
    nodes = [node(1, storage_type="T", group="vans", group_class="Transport"), node(2, storage_type="F")]
    assert len(plan(UpgradeFacts(nodes)).notes) == 1
    nodes.append(node(3, storage_type="F", group="vans", group_class="Transport"))
    assert plan(UpgradeFacts(nodes)).notes[1].endswith("of type F too: n3 (vans)")


def problem(*nodes: OldNode, **facts: Any) -> str:
    (found,) = plan(UpgradeFacts(nodes, **facts)).problems
    return found


def test_what_cannot_be_moved_is_a_problem_with_its_remedy() -> None:
    assert "'Alp1' and 'alp1' for one" in problem(node(1), folded=[("Alp1", "alp1")])
    assert "host of node n1 is 65 characters long, and 64 fit" in problem(node(1, "h" * 65))
    assert "address of node n1 is 256 characters long, and 255 fit" in problem(node(1, address="a" * 256))
    assert "username of node n1 is 65 characters long, and 64 fit" in problem(node(1, username="u" * 65))
    assert "host of node n1 is no text: b'x'" in problem(node(1, b"x"))  # type: ignore[arg-type]
    assert "storage_type of node n1 is '': set it to A" in problem(node(1, storage_type=""))
    assert "storage_type of node n1 is None" in problem(node(1, storage_type=None))
    assert "archivefile has the trigger t" in problem(node(1), triggers=[("t", "archivefile")])
    assert plan(UpgradeFacts([node(1, "h" * 64, username="u" * 64, address="a" * 255)])).problems == ()
