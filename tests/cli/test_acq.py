from __future__ import annotations

from tests.cli.conftest import Archive


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
    assert archive.ok("acq", "list").splitlines()[-1].split() == ["two", "1", "2.00", "kiB"]
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


def test_nothing(empty: Archive) -> None:
    assert empty.ok("acq", "list") == "No acquisitions.\n"
    assert empty("acq", "list", "--json").json == []


def test_an_empty_acquisition_can_be_shown(archive: Archive) -> None:
    archive.insert("archiveacq", name="none", comment="so far")
    assert "Comment: so far" in archive.ok("acq", "show", "none", "--show-nodes")
