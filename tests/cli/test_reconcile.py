from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Archive


def on_host(directory: Path, name: str) -> tuple[str, ...]:
    """The global options by which this host has that name."""
    conf = directory / "host.toml"
    conf.write_text(f'[sync]\nhost = "{name}"\n')
    return "-c", str(conf)


def test_a_node_that_does_not_exist_is_told(archive: Archive) -> None:
    assert "no node called 'fild1'; did you mean 'field1'?" in archive.fails(
        1, "reconcile", "--node", "fild1"
    )


def test_reconcile_with_an_invalid_min_age_is_wrong_usage(archive: Archive) -> None:
    assert "--min-age" in archive.fails(2, "reconcile", "--min-age", "soon")


@pytest.mark.parametrize("arguments", [(), ("--node", "field1")])
def test_a_node_that_is_not_there_is_left_out_and_that_is_no_success(
    archive: Archive, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    on = on_host(tmp_path, "alp1")
    said = archive(*on, "reconcile", *arguments)
    assert said.status == 1
    assert "node field1 is left out: the root /srv/field1 of node field1 does not exist" in said.err
    document = archive(*on, "reconcile", "--json", *arguments)
    assert document.status == 1 and document.err == ""
    assert document.json["nodes"] == [] and document.json["left_out"][0]["node"] == "field1"


def test_a_host_without_nodes_has_nothing_to_compare(archive: Archive, tmp_path: Path) -> None:
    on = on_host(tmp_path, "alp3")
    archive.ok("host", "create", "alp3")
    assert archive.ok(*on, "reconcile") == "No active node on host alp3.\n"
    assert archive(*on, "reconcile", "--json").json["nodes"] == []


def test_reconcile_lists_nodes_not_yet_reconciled_with_their_hosts(archive: Archive, tmp_path: Path) -> None:
    on = on_host(tmp_path, "alp3")
    archive.ok("host", "create", "alp3")
    for (node_id,) in archive.index.execute("SELECT id FROM storagenode ORDER BY id").fetchall():
        archive.index.execute(
            "INSERT INTO sync_medium (node_id, generation, distrust, separate, looked, lost)"
            " VALUES (?, 0, 'reconcile', 0, 0, 0)",
            (node_id,),
        )
    archive.index.execute("INSERT INTO sync_index (name, value) VALUES ('restored', 'older than off1')")
    assert archive.ok(*on, "reconcile").splitlines()[1:] == [
        "not reconciled yet: node field1, on host alp1",
        "not reconciled yet: node off1, on host alp2",
        "not reconciled yet: node off2, on host alp2 (inactive)",
        "deletions are suspended on this index: older than off1",
    ]
