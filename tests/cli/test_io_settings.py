"""Storage classes and settings are checked when a node or group is edited, and not only when a run uses them."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Archive

QUOTA = ("--class", "LustreQuota", "--io-var", "quota_id=7", "--io-var", "quota_type=group")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("--class", "Transprot"),
            ("no storage class 'Transprot'", "Default, LustreHSM, LustreQuota, Rclone, Transport"),
        ),
        (("--class", "Transport"), ("is for groups only", "--class")),
        (("--class", "LustreQuota"), ("quota_id is missing", "--io-var quota_id=VALUE")),
        (("--class", "LustreQuota", "--io-var", "quota_id=7"), ("quota_type is missing",)),
        ((*QUOTA, "--io-var", "quota_type=team"), ("quota_type is 'team', not user, group or project",)),
        (("--io-var", "jobs=none"), ("jobs is 'none', not a whole number", "--io-var jobs=VALUE")),
        (("--io-config", '{"method": "bbcp"}'), ("method is 'bbcp'",)),
        (("--io-config", '{"quota_type": [1]}', "--class", "LustreQuota"), ("quota_id is missing",)),
    ],
)
def test_a_node_is_not_given_settings_that_its_class_cannot_use(
    archive: Archive, options: tuple[str, ...], told: tuple[str, ...]
) -> None:
    for command in (
        ("create", "fresh", "--group", "spare"),
        ("create", "fresh", "--create-group", "--init"),
        ("modify", "field1"),
        # What else was asked for is not done either.
        ("modify", "field1", "--create-group", "--min-avail", "7", "--notes", "new", "--init"),
    ):
        message = archive.fails(1, "node", *command, *options)
        assert all(text in message for text in (*told, "nothing was changed")), message
        assert "modify" not in message  # a command that is no help for a node that is not there yet


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--class", "Unheard"), "no storage class 'Unheard'"),
        (("--class", "LustreQuota"), "is for nodes only"),
    ],
)
def test_a_group_is_not_given_a_class_that_it_cannot_use(
    archive: Archive, options: tuple[str, ...], told: str
) -> None:
    for command in (("create", "fresh"), ("modify", "spare"), ("modify", "offsite", "--notes", "new")):
        message = archive.fails(1, "group", *command, *options)
        assert told in message and "nothing was changed" in message


def test_new_class_is_checked_with_the_stored_settings_and_new_settings_with_the_stored_class(
    archive: Archive,
) -> None:
    archive.ok("node", "modify", "field1", *QUOTA)
    # A setting is taken away, and one that only this class has is made wrong.
    assert "quota_id is missing" in archive.fails(1, "node", "modify", "field1", "--io-var", "quota_id=")
    assert "quota_id is missing" in archive.fails(1, "node", "modify", "field1", "--io-config", "")
    archive.fails(1, "node", "modify", "field1", "--io-var", "lfs_timeout=0")
    # What was no concern of the other class is one of this.
    archive.ok("node", "modify", "field1", "--class", "", "--io-var", "lfs_timeout=0")
    assert "lfs_timeout is 0" in archive.fails(1, "node", "modify", "field1", "--class", "LustreQuota")
    archive.ok("node", "modify", "field1", "--class", "LustreQuota", "--io-var", "lfs_timeout=5")
    config = archive.one("SELECT io_config FROM storagenode WHERE name = 'field1'")
    assert json.loads(config) == {"quota_id": 7, "quota_type": "group", "lfs_timeout": 5}


def test_nodes_that_a_class_would_refuse_do_not_keep_a_group_from_being_edited(archive: Archive) -> None:
    """Which of them are active where changes from day to day."""
    archive.ok("node", "activate", "off2", "--host", "alp2")
    archive.ok("group", "modify", "offsite", "--class", "Default", "--notes", "two on one host")
    archive.ok("group", "modify", "offsite", "--class", "Transport")


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("io_config", "not json", "io_config of {} is not JSON"),
        ("io_config", "[]", "io_config of {} is not a JSON object"),
        ("io_class", "Unheard", "no storage class 'Unheard'"),
    ],
)
def test_another_property_can_be_edited_whatever_the_settings_are(
    archive: Archive, column: str, value: str, told: str
) -> None:
    for table in ("storagenode", "storagegroup"):
        archive.index.execute(f"UPDATE {table} SET {column} = ?", (value,))
    for command in (
        ("node", "modify", "field1", "--min-avail", "3"),
        ("node", "activate", "field1"),
        ("group", "modify", "field", "--notes", "new"),
    ):
        result = archive(*command)
        assert result.status == 0, result
        owner = "node field1" if command[0] == "node" else "group field"
        assert f"note: {told.format(owner)}" in result.err


def test_wrong_settings_can_be_mended_and_not_made_wrong_in_another_way(archive: Archive) -> None:
    archive.index.execute('UPDATE storagenode SET io_config = \'{"jobs": 0, "method": "cp"}\'')
    assert "method is 'cp'" in archive.fails(1, "node", "modify", "field1", "--io-var", "jobs=2")
    result = archive("node", "modify", "field1", "--io-var", "jobs=2", "--io-var", "method=")
    assert (result.status, result.err) == (0, "")


def test_outdated_setting_is_stored_with_a_note(archive: Archive) -> None:
    result = archive("node", "modify", "field1", "--class", "LustreQuota", "--io-var", "quota_group=data")
    assert result.status == 0
    assert "note: io_config of node field1: quota_group is outdated" in result.err


@pytest.mark.parametrize(("kind", "name"), [("node", "field1"), ("group", "field")])
def test_a_setting_that_means_nothing_is_stored_and_told_with_what_may_be_meant(
    archive: Archive, kind: str, name: str
) -> None:
    result = archive(kind, "modify", name, "--io-var", "reserve_facter=3")
    assert result.status == 0
    assert f"{kind} {name}: unknown setting 'reserve_facter' in io_config" in result.err
    assert ("did you mean 'reserve_factor'?" in result.err) is (kind == "node")
    removed = archive(kind, "modify", name, "--io-var", "reserve_facter=")
    assert removed.status == 0 and "means nothing" not in removed.err
