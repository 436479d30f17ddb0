from __future__ import annotations

import threading
from pathlib import Path

import pytest

from alpenhorn.edits.rename import rename
from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.scan.names import NamedRow
from tests.cli.conftest import Archive

ROWS = [("host", "storagehost", "alp1", "alp2"), ("group", "storagegroup", "field", "offsite")]
ROWS += [("node", "storagenode", "field1", "off1")]


@pytest.mark.parametrize(("kind", "table", "name", "other"), ROWS)
def test_a_row_is_renamed_and_nothing_else_of_it_changes(
    archive: Archive, kind: str, table: str, name: str, other: str
) -> None:
    before = archive.rows()
    assert f"Renamed {kind} {name} to new name." in archive.ok(kind, "rename", name, "new name")
    after = archive.rows()
    assert [tuple("new name" if value == name else value for value in row) for row in before[table]] == after[
        table
    ] or kind != "node"
    changed = {what for what in before if before[what] != after[what]}
    assert changed == ({table, "sync_former_name"} if kind == "node" else {table})
    archive.ok(kind, "show", "new name")


@pytest.mark.parametrize(("kind", "table", "name", "other"), ROWS)
def test_names_that_are_taken_unknown_or_none_are_refused(
    archive: Archive, kind: str, table: str, name: str, other: str
) -> None:
    assert f"{kind} {other!r}: exists already" in archive.fails(1, kind, "rename", name, other)
    assert f"did you mean {name!r}" in archive.fails(1, kind, "rename", name + "x", "new")
    for bad in ("", "a/b", "..", "a\nb", " a", "x" * 65, "a\udcff"):
        archive.fails(2, kind, "rename", name, bad)


@pytest.mark.parametrize(("kind", "table", "name", "other"), ROWS)
def test_rename_to_the_same_name_changes_nothing(
    archive: Archive, kind: str, table: str, name: str, other: str
) -> None:
    before = archive.rows()
    assert archive.ok(kind, "rename", name, name) == f"No change: the {kind} already has the name {name}.\n"
    assert archive.rows() == before


def test_a_name_that_differs_only_in_case_is_another(archive: Archive) -> None:
    archive.ok("node", "rename", "field1", "FIELD1")
    assert archive.one("SELECT name FROM storagenode WHERE root = '/srv/field1'") == "FIELD1"


def test_a_name_that_begins_with_a_dash_is_taken_as_one(archive: Archive) -> None:
    archive.ok("group", "rename", "--", "field", "-x")
    archive.ok("group", "show", "--", "-x")


def test_the_configuration_of_a_renamed_host_with_nodes_is_pointed_to(archive: Archive) -> None:
    noted = archive("host", "rename", "alp1", "one").err
    assert noted.startswith("note: host one: ") and '[sync] host = "one"' in noted
    archive.ok("host", "create", "bare")
    assert archive("host", "rename", "bare", "other").err == ""


def test_no_note_if_the_new_name_is_the_one_that_this_host_uses(archive: Archive, tmp_path: Path) -> None:
    conf = tmp_path / "one.toml"
    conf.write_text('[sync]\nhost = "one"\n')
    result = archive("-c", str(conf), "host", "rename", "alp1", "one")
    assert (result.out, result.err) == ("Renamed host alp1 to one.\n", "")


def test_a_row_that_was_renamed_or_removed_meanwhile_is_left_as_it_is(archive: Archive) -> None:
    seen = NamedRow(archive.id("storagenode", "field1"), "field1")
    now = archive.index.now()
    archive.ok("node", "rename", "field1", "other")
    before = archive.rows()
    with pytest.raises(Refused, match="renamed to 'other' in the meantime"):
        rename(archive.index, "node", seen, "third", now)
    with pytest.raises(NotFound, match="removed in the meantime"):
        rename(archive.index, "node", NamedRow(999, "gone"), "third", now)
    assert archive.rows() == before
    # The answer to the first commit was lost: the same rename again is done, not refused.
    rename(archive.index, "node", seen, "other", now)
    assert archive.rows()["storagenode"] == before["storagenode"]


def test_of_two_renames_to_one_name_at_the_same_moment_one_is_refused(archive: Archive) -> None:
    rows = [NamedRow(archive.id("storagenode", name), name) for name in ("field1", "off1")]
    now = archive.index.now()
    barrier = threading.Barrier(2)
    refused: list[str] = []

    def one(row: NamedRow) -> None:
        index = Index.open(archive.environ["ALPENHORN_DATABASE_URL"], None)
        try:
            barrier.wait(30)
            rename(index, "node", row, "same", now)
        except Refused as error:
            refused.append(str(error))
        finally:
            index.close()

    threads = [threading.Thread(target=one, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(refused) == 1 and "'same': exists already" in refused[0]
    assert archive.one("SELECT COUNT(*) FROM storagenode WHERE name = 'same'") == 1
