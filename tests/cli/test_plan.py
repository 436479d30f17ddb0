"""Requests in `alpenhorn plan` that no run on this host carries out."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Archive
from tests.fixtures.archive import Archive as Real

WHY = "its group has no active node on any host"
THERE = "its group has no active node on this host; a run on alp2 may serve it"


def test_requests_into_groups_without_an_active_node_are_shown_with_the_reason(archive: Archive) -> None:
    archive.ok("group", "create", "idle")
    archive.ok("node", "create", "idle1", "--group", "idle", "--host", "alp2", "--root", "/srv/idle1")
    archive.ok("node", "deactivate", "idle1")
    for name in ("a", "b"):
        archive.request(archive.file(name, field1="YY"), group="spare")
    idle = archive.request(archive.file("c", field1="YY"), group="idle")
    archive.request(archive.file("d", field1="YY"), group="offsite")  # alp2 does this
    archive.request(archive.file("e", field1="YY"), group="spare", cancelled=1)
    before = archive.rows()
    *lines, there = sorted(archive("plan", "--json").json["lines"], key=lambda line: line["why"] == THERE)
    assert (there["node"], there["source"], there["planned"], there["why"], there["code"]) == (
        *("offsite", "field1", False),
        *(THERE, "request-for-other-host"),
    )
    assert [(line["node"], line["source"], line["files"], line["size_b"]) for line in lines] == [
        ("idle", "field1", 1, 1000),
        ("spare", "field1", 2, 2000),
    ]
    assert {(line["work"], line["planned"], line["why"], line["code"]) for line in lines} == {
        ("pull", False, WHY, "group-without-node-anywhere")
    }
    assert f"not pull pilot/c on idle from field1: {WHY}\n" in archive.ok("plan", "--files")
    (item,) = [one for one in archive("plan", "--files", "--json").json if one["path"] == "pilot/c"]
    assert item["request"] == idle
    assert archive.rows() == before


def test_the_plan_of_some_nodes_or_of_other_work_leaves_them_out(archive: Archive) -> None:
    archive.request(archive.file("a", field1="YY"), group="spare")
    assert [line["node"] for line in archive("plan", "--json").json["lines"]] == ["spare"]
    assert archive("plan", "--json", "--node", "off1").json["lines"] == []
    assert archive("plan", "--json", "--only", "check").json["lines"] == []


def test_a_group_whose_node_becomes_active_is_no_longer_among_them(archive: Archive) -> None:
    archive.ok("node", "create", "spare1", "--group", "spare", "--host", "alp2", "--root", "/srv/spare1")
    archive.ok("node", "deactivate", "spare1")
    archive.request(archive.file("a", field1="YY"), group="spare")
    assert WHY in archive.ok("plan")
    archive.ok("node", "activate", "spare1")
    assert archive.ok("plan").startswith("Nothing would be done now.")
    assert WHY not in archive.ok("plan") and THERE in archive.ok("plan")


@pytest.mark.parametrize(
    ("options", "column"),
    [(("--sort", "path"), "path"), (("--files", "--sort", "-files"), "files")],
)
def test_a_column_that_the_list_lacks_is_refused_before_planning(
    sqlite_archive: Real, options: tuple[str, ...], column: str
) -> None:
    sqlite_archive.configure()
    sqlite_archive.do("DROP TABLE storagenode")
    result = sqlite_archive.run("plan", *options)
    assert result.status == 2 and f"no such column in this list: '{column}'" in result.err
