"""Roots of active nodes on one host are kept apart."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Archive


@pytest.mark.parametrize(
    ("root", "told"),
    [
        ("/srv/field1", "is also the root /srv/field1 of node field1"),
        ("/srv//field1/", "is also the root"),
        ("/srv/field1/inner", "lies in the root /srv/field1 of node field1"),
        ("/srv", "contains the root /srv/field1 of node field1"),
    ],
)
def test_a_root_that_overlaps_that_of_another_active_node_is_refused(
    archive: Archive, root: str, told: str
) -> None:
    at = ("--host", "alp1", "--root", root)
    for command in (
        ("node", "create", "n", "--create-group", "--activate", *at),
        ("node", "modify", "off2", "--activate", *at),
        ("node", "activate", "off2", *at),
        ("node", "modify", "off1", *at),
        ("node", "activate", "off1", *at),
    ):
        message = archive.fails(1, *command)
        assert told in message and "nothing was changed" in message
        assert "alpenhorn node deactivate field1" in message


def test_on_another_host_or_beside_it_a_root_may_be_what_it_is(archive: Archive) -> None:
    archive.ok("node", "modify", "off1", "--root", "/srv/field1")
    archive.ok("node", "activate", "off2", "--host", "alp1", "--root", "/srv/field10")
    archive.ok("node", "modify", "off1", "--host", "", "--root", "/srv")


def test_disks_that_travel_share_a_mount_point_one_after_the_other(archive: Archive) -> None:
    at = ("--host", "alp1", "--root", "/mnt/disk")
    for name in ("disk1", "disk2"):
        archive.ok("node", "create", name, "--group", "spare", *at)
    archive.ok("node", "activate", "disk1", *at)
    assert "node deactivate disk1" in archive.fails(1, "node", "activate", "disk2", *at)
    archive.ok("node", "modify", "disk2", "--notes", "it may be edited otherwise")
    archive.ok("node", "deactivate", "disk1")
    archive.ok("node", "activate", "disk2", *at)


def test_rows_that_overlap_already_may_be_edited_otherwise(archive: Archive) -> None:
    archive.index.execute("UPDATE storagenode SET root = '/srv', host_id = 1 WHERE name = 'off1'")
    archive.index.execute("UPDATE storagenode SET host_id = 1 WHERE name = 'field1'")
    archive.ok("node", "modify", "off1", "--notes", "x", "--min-avail", "1")
    archive.ok("node", "deactivate", "off1")


def test_an_edit_of_where_or_what_a_node_is_forgets_that_its_copies_have_their_own_bytes(
    archive: Archive,
) -> None:
    node_id = archive.id("storagenode", "off2")
    archive.insert("sync_medium", node_id=node_id, generation=0, separate=1, looked=0, lost=0)

    def after(*options: str) -> int:
        archive.index.execute("UPDATE sync_medium SET separate = 1")
        archive.ok("node", "modify", "off2", *options)
        return int(archive.one("SELECT separate FROM sync_medium"))

    assert after("--notes", "x") == 1
    assert after("--archive") == 1  # which it is already
    assert after("--no-archive") == 0
    assert after("--archive") == 0
    assert after("--root", "/elsewhere") == 0
