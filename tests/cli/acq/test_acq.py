from __future__ import annotations

import pytest

from tests.cli.conftest import Archive
from tests.cli.file.test_create import BAD_NAMES


def test_list_counts_files(archive: Archive) -> None:
    archive.file("a", acq="one", size=5, field1="YY", off1="YY", off2="YY")
    archive.file("b", acq="one", size=None, field1="XY")
    archive.file("c", acq="two", size=2048, off1="YM")
    archive.insert("archiveacq", name="none")
    assert archive("acq", "list", "--json").json == [
        {"name": "none", "files": 0, "size_b": 0},
        {"name": "one", "files": 2, "size_b": 5},
        {"name": "two", "files": 1, "size_b": 2048},
    ]
    assert archive("acq", "list", "--node", "field1", "--json").json == [
        {"name": "one", "files": 1, "size_b": 5}
    ]
    # A file with two copies in a group is counted once.
    assert archive("acq", "list", "--group", "offsite", "--json").json[0] == {
        "name": "one",
        "files": 1,
        "size_b": 5,
    }
    assert archive.ok("acq", "list").splitlines()[-1].split() == ["two", "1", "2.00", "KiB"]
    archive.fails(2, "acq", "list", "--group", "offsite", "--node", "off1")
    archive.fails(1, "acq", "list", "--node", "off9")


def test_show(archive: Archive) -> None:
    archive.file("a", acq="one", size=5, off1="YY", off2="YY")
    archive.file("b", acq="one", size=6, field1="XY")
    assert archive("acq", "show", "one", "--show-groups", "--show-nodes", "--json").json == {
        "name": "one",
        "files": 2,
        "size_b": 11,
        "comment": None,
        "groups": [{"name": "offsite", "files": 1, "size_b": 5}],
        "nodes": [
            {"name": "off1", "group": "offsite", "files": 1, "size_b": 5},
            {"name": "off2", "group": "offsite", "files": 1, "size_b": 5},
        ],
    }
    text = archive.ok("acq", "show", "one", "--show-groups", "--show-nodes")
    assert "Files: 2" in text and "off2" in text
    assert "did you mean 'one'" in archive.fails(1, "acq", "show", "onee")


def test_acq_list_of_an_empty_index_is_empty(empty: Archive) -> None:
    assert empty.ok("acq", "list") == "No acquisitions.\n"
    assert empty("acq", "list", "--json").json == []


def test_an_empty_acquisition_can_be_shown(archive: Archive) -> None:
    archive.insert("archiveacq", name="none", comment="so far")
    assert "Comment: so far" in archive.ok("acq", "show", "none", "--show-nodes")


def test_create(empty: Archive) -> None:
    assert empty.ok("acq", "create", "20260722T000000Z_pilot") == (
        "Created acquisition 20260722T000000Z_pilot.\n"
    )
    assert empty.all("SELECT name, comment FROM archiveacq") == [("20260722T000000Z_pilot", None)]
    message = empty.fails(1, "acq", "create", "20260722T000000Z_pilot")
    assert "acquisition '20260722T000000Z_pilot': exists already" in message


def test_one_acquisition_may_lie_inside_another(empty: Archive) -> None:
    for name in ("a", "a/b", "A", "-x", "é" * 64, "x" * 64, "a b"):
        empty.ok("acq", "create", "--", name)
        assert empty.ok("acq", "files", "--", name) == "No files.\n"


@pytest.mark.parametrize("name", [*BAD_NAMES, "x" * 65, "\U0001f600" * 64])
def test_a_name_that_no_import_gives_is_wrong_usage(empty: Archive, name: str) -> None:
    empty.fails(2, "acq", "create", "--", name)


@pytest.fixture
def filled(archive: Archive) -> Archive:
    """Files of the acquisition one on field1, off1 and off2, named by the states there (- none)."""
    for name in ("Y--", "YMX", "M-X", "XNN", "N--", "---", "-NM", "-N-", "-Y-"):
        copies = {
            node: f"{has}Y" if has != "N" else "NN"
            for node, has in zip(("field1", "off1", "off2"), name, strict=True)
            if has != "-"
        }
        archive.file(name, "one", 1000, **copies)
    archive.file("other", field1="YY")
    return archive


def listed(archive: Archive, *options: str) -> dict[str, str]:
    """Name to state."""
    return {
        row["name"]: row.get("state", "") for row in archive("acq", "files", "one", "--json", *options).json
    }


def test_files_lists_names_in_order(filled: Archive) -> None:
    documents = filled("acq", "files", "one", "--json").json
    assert documents[0] == {"name": "---", "size_b": 1000, "md5sum": "0" * 32}
    names = [row["name"] for row in documents]
    assert names == sorted(names) and len(names) == 9
    table = filled.ok("acq", "files", "one").splitlines()
    assert table[0].split() == ["Name", "Size", "MD5", "sum"] and len(table) == 11


def test_files_on_a_node_are_those_that_are_there(filled: Archive) -> None:
    there = {"Y--": "Healthy", "YMX": "Healthy", "M-X": "Suspect", "XNN": "Corrupt"}
    assert listed(filled, "--node", "field1") == there
    assert listed(filled, "--node", "field1", "--show-removed") == {**there, "N--": "Removed"}
    assert filled.ok("acq", "files", "one", "--node", "field1").splitlines()[-1].split() == [
        *("YMX", "1000", "B", "0" * 32, "Healthy")
    ]


def test_files_in_a_group_have_the_best_state_there(filled: Archive) -> None:
    there = {"YMX": "Suspect", "M-X": "Corrupt", "-NM": "Suspect", "-Y-": "Present"}
    assert listed(filled, "--group", "offsite") == there
    assert listed(filled, "--group", "offsite", "--show-removed") == {
        **there,
        "XNN": "Absent",
        "-N-": "Absent",
    }


def test_files_on_a_node_include_what_is_missing_there_and_not_what_was_removed(archive: Archive) -> None:
    for state in ("NY", "NM", "NN"):
        archive.file(state, acq="one", field1=state)
    assert listed(archive, "--node", "field1") == {"NY": "Missing"}
    assert archive.ok("acq", "files", "one", "--node", "field1").splitlines()[-1].endswith("Missing")
    removed = {"NY": "Missing", "NM": "Removed", "NN": "Removed"}
    assert listed(archive, "--node", "field1", "--show-removed") == removed


def test_files_refuses_what_it_cannot_list(filled: Archive) -> None:
    filled.fails(2, "acq", "files", "one", "--show-removed")
    filled.fails(2, "acq", "files", "one", "--node", "field1", "--group", "offsite")
    assert "did you mean 'one'?" in filled.fails(1, "acq", "files", "onee")
    filled.fails(1, "acq", "files", "one", "--node", "field2")
    filled.fails(1, "acq", "files", "one", "--group", "offsit")


def test_a_hostile_name_is_shown_harmless(archive: Archive) -> None:
    archive.file("a\nb\x1b[2J", acq="one")
    assert archive.ok("acq", "files", "one").splitlines()[2].startswith("a\\nb\\x1b[2J")
