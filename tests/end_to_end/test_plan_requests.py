"""`alpenhorn plan` shows the requests that the next run creates for policies and retired nodes."""

from __future__ import annotations

import pytest

from tests.fixtures.archive import Archive

pytestmark = pytest.mark.one_engine


@pytest.fixture
def pair(archive: Archive) -> Archive:
    """A field node and archive nodes of host here, and an archive node of host there."""
    archive.node("field")
    for name in ("old", "new"):
        archive.node(name, archive=1)
    archive.node("far", archive=1, host="there")
    return archive


def planned(archive: Archive, *options: str, host: str = "here") -> list[tuple[str, str, str]]:
    """The requests in the plan, as (path, source, group)."""
    items = archive.run("plan", "--files", "--json", *options, host=host).json
    return sorted((one["path"], one["source"], one["node"]) for one in items if one["work"] == "request")


def created(archive: Archive) -> list[tuple[str, str, str]]:
    rows = archive.all(
        "SELECT a.name, f.name, n.name, g.name FROM archivefilecopyrequest r"
        " JOIN archivefile f ON f.id = r.file_id JOIN archiveacq a ON a.id = f.acq_id"
        " JOIN storagenode n ON n.id = r.node_from_id JOIN storagegroup g ON g.id = r.group_to_id"
    )
    return sorted((f"{acq}/{name}", source, group) for acq, name, source, group in rows)


def test_the_plan_has_the_requests_that_the_run_creates(pair: Archive) -> None:
    assert pair.run("policy", "create", "safe", "--copies", "3", "--sites", "2").status == 0
    assert pair.run("policy", "create", "other", "--copies", "2", "--acq", "o*").status == 0
    for name in ("acq/a", "acq/b", "other/c"):
        pair.file(name, None, "field")
    pair.file("acq/there", None, "old", "new", "far")
    before = pair.dump()
    found = planned(pair)
    assert len(found) == 6
    assert planned(pair, "--only", "pull") == found
    assert planned(pair, "--only", "check") == []
    assert planned(pair, host="there") == [(name, "field", "far") for name in ("acq/a", "acq/b", "other/c")]
    lines = [one for one in pair.run("plan", "--json").json["lines"] if one["work"] == "request"]
    assert {(one["node"], one["files"], one["why"], one["code"]) for one in lines} == {
        (group, 3, f"policy safe wants a copy in {group}", "policy-request") for group in ("old", "new")
    }
    assert (
        "request acq/a into new from field: policy safe wants a copy in new\n"
        in pair.run("plan", "--files").out
    )
    assert pair.dump() == before

    pair.synced()
    assert created(pair) == found
    assert planned(pair) == []


def test_the_plan_has_what_retired_nodes_and_policies_ask_for_once(pair: Archive) -> None:
    pair.file("acq/a", None, "old")
    pair.file("acq/b", None, "old", "far")
    pair.file("acq/c", None, "new", "far")
    # Retired as by a command that was killed before it requested anything.
    for name in ("field", "old"):
        pair.insert(
            "sync_retirement", node_id=pair.id("storagenode", name), began="2026-07-22 12:00:00", releases=0,
            declared_lost=0, cancelled=0, event_id=0, stuck=0, nowhere=0,
        )  # fmt: skip
        for group in ("new", "far"):
            pair.insert(
                "sync_retirement_group",
                node_id=pair.id("storagenode", name),
                group_id=pair.id("storagegroup", group),
            )
    pair.file("acq/d", None, "field", "old")
    everything = [
        ("acq/a", "old", "far"),
        ("acq/a", "old", "new"),
        ("acq/b", "old", "new"),
        ("acq/d", "field", "far"),
        ("acq/d", "field", "new"),
    ]
    assert planned(pair) == everything
    assert pair.run("policy", "create", "two", "--copies", "2").status == 0
    assert planned(pair) == everything
    pair.synced()
    assert created(pair) == everything


def test_requests_that_do_not_fit_are_not_planned(pair: Archive) -> None:
    assert (
        pair.run("policy", "create", "two", "--copies", "2", "--group", "old", "--group", "new").status == 0
    )
    for name in ("acq/a", "acq/b", "acq/c"):
        pair.file(name, b"x" * 2**20, "old")
    pair.do("UPDATE storagenode SET max_total_gb = ? WHERE name = 'new'", 2.5 / 1024)
    found = planned(pair)
    assert len(found) == 2
    pair.synced()
    assert created(pair) == found
