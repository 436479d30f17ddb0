"""Requests in `alpenhorn plan` that no run on this host carries out."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from alpenhorn.model.nodes import MARKER
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


@pytest.fixture
def here(archive: Archive, tmp_path: Path) -> Archive:
    """An archive as seen from alp1, the host of field1, whose root is a directory that does not exist yet."""
    conf = tmp_path / "alpenhorn" / "alpenhorn.toml"
    conf.parent.mkdir()
    conf.write_text('[sync]\nhost = "alp1"\n')
    archive.index.execute("UPDATE storagenode SET root = ? WHERE name = 'field1'", (str(tmp_path / "root"),))
    return archive


def mounted(root: Path) -> None:
    root.mkdir()
    (root / MARKER).write_text("field1\n")


def import_request(archive: Archive, node_id: int, path: str = "acq", **columns: Any) -> int:
    values = {"recurse": 1, "register": 1, "completed": 0, "timestamp": "2026-07-22 11:00:00"}
    return archive.insert("archivefileimportrequest", node_id=node_id, path=path, **values | columns)


def lines(archive: Archive, *options: str) -> list[tuple[Any, ...]]:
    found = archive("plan", "--json", *options).json["lines"]
    return [(line["work"], line["node"], line["files"], line["planned"], line["code"]) for line in found]


def without_foreign_keys(archive: Archive) -> None:
    if not archive.index.dialect.in_a_file:
        archive.index.execute("SET foreign_key_checks = 0")


@pytest.mark.one_engine
def test_import_requests_that_no_run_here_carries_out_are_shown_with_the_reason(
    here: Archive, tmp_path: Path
) -> None:
    mounted(tmp_path / "root")
    for name, group in (("idle", "spare"), ("lost", "spare")):
        here.ok("node", "create", name, "--group", group, "--host", "alp1", "--root", f"/srv/{name}")
    here.ok("node", "activate", "lost")
    here.index.execute("UPDATE storagenode SET host_id = NULL WHERE name = 'lost'")
    here.ok("node", "scan", "field1", "--register-new")
    assert lines(here) == [("import", "field1", 1, True, "import-requested")]
    here.ok("node", "deactivate", "field1")
    for name in ("off1", "off2", "idle", "lost"):
        import_request(here, here.id("storagenode", name))
    import_request(here, here.id("storagenode", "idle"), MARKER)
    import_request(here, here.id("storagenode", "idle"), "done", completed=1)
    without_foreign_keys(here)
    import_request(here, 99)
    before = here.rows()
    assert sorted(lines(here)) == [
        ("import", "(node 99)", 1, False, "request-node-not-in-index"),
        ("import", "field1", 1, False, "node-inactive"),
        ("import", "idle", 2, False, "node-inactive"),
        ("import", "lost", 1, False, "node-without-host"),
        ("import", "off1", 1, False, "node-on-other-host"),
        ("import", "off2", 1, False, "node-inactive"),
    ]
    text = here.ok("plan")
    assert text.startswith("Nothing would be done now.\n\nPending, not done now:")
    for why in (
        "it is not active; activate it with: alpenhorn node activate field1",
        "it is on host alp2, and this is alp1",
        "it is on no host; set its host with: alpenhorn node modify lost --host HOST",
    ):
        assert why in text
    assert lines(here, "--node", "idle") == [("import", "idle", 2, False, "node-inactive")]
    assert lines(here, "--only", "pull") == []
    assert here.rows() == before


@pytest.mark.one_engine
def test_nothing_is_planned_on_a_node_that_is_left_out(here: Archive, tmp_path: Path) -> None:
    """But it is, if the run writes the missing marker first."""
    root = tmp_path / "root"
    here.index.execute("UPDATE storagenode SET auto_import = 1, auto_verify = 9 WHERE name = 'field1'")
    field1 = here.id("storagenode", "field1")
    import_request(here, field1)
    here.file("suspect", field1="MY")
    here.file("good", field1="YY")
    here.file("released", field1="YN")
    here.request(here.file("wanted", off1="YY"), node="off1", group="field")

    def shown(code: str) -> None:
        document = here("plan", "--json").json
        assert document["left_out_codes"] == {"field1": code}
        assert not [line for line in document["lines"] if line["planned"]]
        imports, pull = document["lines"]
        assert (imports["work"], imports["node"], imports["code"]) == ("import", "field1", code)
        assert imports["why"] == document["left_out"]["field1"]
        assert (pull["work"], pull["code"]) == ("pull", "group-without-node")
        assert pull["why"].endswith(": field1 is left out")
        assert here("plan").out.startswith("Nothing would be done now.")

    shown("root-absent")
    root.mkdir()
    shown("root-not-marked")
    import_request(here, field1, MARKER)
    assert lines(here)[:2] == [
        ("import", "field1", 1, True, "import-requested"),
        ("import", "field1", 1, True, "initialisation-requested"),
    ]
    # It was never worked on, which is no fault of its group.
    assert lines(here)[-1] == ("pull", "field", 1, False, "group-node-not-initialised")
    (request,) = [row[0] for row in here.all("SELECT id FROM archivefilecopyrequest")]
    shown = here.ok("request", "show", str(request))
    assert "node field1 is not initialised yet; the next run on this host does that first" in shown
    root.rmdir()
    assert not [line for line in lines(here) if line[3]]


@pytest.mark.parametrize("index_url", ["sqlite"], indirect=True)  # MariaDB stores no text in the column
def test_an_import_request_that_runs_skip_is_not_planned(here: Archive, tmp_path: Path) -> None:
    mounted(tmp_path / "root")
    import_request(here, here.id("storagenode", "field1"), recurse="x")
    (line,) = lines(here)
    assert line[:2] == ("import", "field1") and not line[3] and line[4] != "import-requested"


@pytest.mark.one_engine
def test_requests_into_a_group_that_is_no_longer_in_the_index(here: Archive) -> None:
    request = here.request(here.file("a", field1="YY"))
    here.request(here.file("b", field1="YY"))
    without_foreign_keys(here)
    here.index.execute("UPDATE archivefilecopyrequest SET group_to_id = 99")
    gone = ("pull", "(group 99)", 2, False, "request-group-not-in-index")
    assert lines(here) == [gone]
    assert "its group is no longer in the index; cancel it with: " in here.ok("request", "show", str(request))
    assert lines(here, "--node", "field1") == []
    # Also if it is the group of a node on this host.
    without_foreign_keys(here)  # in a new session, since commands were started
    here.index.execute("UPDATE storagenode SET group_id = 99 WHERE name = 'field1'")
    assert lines(here) == [gone] == lines(here, "--node", "field1")


@pytest.mark.one_engine
def test_nothing_is_planned_on_the_medium_of_another_node(here: Archive, tmp_path: Path) -> None:
    mounted(tmp_path / "root")
    assert here("sync").status == 0
    copytree(tmp_path / "root", tmp_path / "twin")
    (tmp_path / "twin" / MARKER).write_text("twin\n")
    here.ok(
        *("node", "create", "twin", "--group", "spare", "--host", "alp1"),
        *("--root", str(tmp_path / "twin"), "--activate"),
    )
    import_request(here, here.id("storagenode", "twin"))
    before = here.rows()
    assert lines(here) == [("import", "twin", 1, False, "medium-of-other-node")]
    assert here.rows() == before
    # A disk that is unplugged must not be initialised.
    import_request(here, here.id("storagenode", "field1"))
    (tmp_path / "root" / MARKER).unlink()
    assert lines(here)[0] == ("import", "field1", 1, False, "root-not-mounted")


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
