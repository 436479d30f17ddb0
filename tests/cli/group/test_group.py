from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Archive


def test_a_group_is_created_shown_and_changed(empty: Archive) -> None:
    empty.ok("group", "create", "tape", "-i", "Transport", "--io-config", '{"threshold": 5, "a": "b"}')
    assert empty("group", "list", "--json").json == [
        {
            "name": "tape",
            "io_class": "Transport",
            "io_config": {"threshold": 5, "a": "b"},
            "notes": None,
            "node_count": 0,
        }
    ]
    empty.ok("group", "modify", "tape", "--io-var", "threshold=10", "--io-var", "a=", "--io-var", "x=1.5")
    assert json.loads(empty.one("SELECT io_config FROM storagegroup")) == {"threshold": 10, "x": 1.5}
    assert empty.ok("group", "modify", "tape", "--io-var", "x=1.5") == "No change.\n"
    empty.ok("group", "modify", "tape", "--io-config", "", "--class", "")
    assert empty.one("SELECT io_class, io_config FROM storagegroup") == (None, None)
    assert "Class: Default" in empty.ok("group", "show", "tape")


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("-2", -2), ("1e3", 1000.0), ("007", "007"), ("true", "true"), ("NaN", "NaN"), ("a=b", "a=b")],
)
def test_values_of_io_var_are_numbers_where_they_are(empty: Archive, text: str, value: object) -> None:
    empty.ok("group", "create", "g", "--io-var", f"key={text}")
    assert json.loads(empty.one("SELECT io_config FROM storagegroup")) == {"key": value}


@pytest.mark.parametrize("text", ["{", "[1]", '"a"', "{'a': 1}", '{"a": NaN}', "1", "[" * 100000])
def test_io_config_must_be_a_json_object(archive: Archive, text: str) -> None:
    archive.fails(2, "group", "create", "g", "--io-config", text)
    archive.fails(2, "group", "modify", "spare", "--io-config", text)


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_io_var_must_be_an_assignment(archive: Archive, text: str) -> None:
    archive.fails(2, "group", "modify", "spare", "--io-var", text)


def test_one_setting_is_not_changed_in_a_broken_io_config(archive: Archive) -> None:
    archive.index.execute("UPDATE storagegroup SET io_config = 'not json' WHERE name = 'spare'")
    assert "replace it with --io-config" in archive.fails(1, "group", "modify", "spare", "--io-var", "a=1")
    assert "invalid, not a JSON object" in archive.ok("group", "show", "spare")
    archive.ok("group", "modify", "spare", "--io-config", '{"b": 1}', "--io-var", "a=1")
    assert archive("group", "show", "spare", "--json").json["io_config"] == {"a": 1, "b": 1}


def test_names(archive: Archive) -> None:
    assert "group 'field': exists already" in archive.fails(1, "group", "create", "field")
    assert "did you mean 'offsite'" in archive.fails(1, "group", "show", "ofsite")
    archive.fails(2, "group", "create", "a/b")


def test_show_with_everything(archive: Archive) -> None:
    archive.request(archive.file("a", field1="YY"))
    archive.insert(
        "storagetransferaction",
        node_from_id=archive.id("storagenode", "field1"),
        group_to_id=archive.id("storagegroup", "offsite"),
        autosync=1,
        autoclean=0,
    )
    text = archive.ok("group", "show", "offsite", "--all")
    assert "off2" in text and "1000 B" in text and "Autosync" in text
    document = archive("group", "show", "offsite", "-a", "--json").json
    assert document["transfers"] == [{"node": "field1", "files": 1, "size_b": 1000}]
    assert document["actions"] == [{"node": "field1", "autosync": True, "autoclean": False}]
    assert [node["name"] for node in document["nodes"]] == ["off1", "off2"]


def test_group_sync_is_node_sync_the_other_way_round(archive: Archive) -> None:
    file_id = archive.file("a", field1="YY")
    archive.fails(2, "group", "sync", "offsite")
    archive.fails(2, "group", "sync", "offsite", "field1", "--all")
    archive.fails(2, "group", "sync", "offsite", "--all")
    archive.ok("group", "sync", "offsite", "field1", "--force")
    assert archive.requests() == [(file_id, "field1", "offsite")]
    archive.ok("group", "sync", "offsite", "--cancel", "--all", "--force")
    assert archive.requests() == []
