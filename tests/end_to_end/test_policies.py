"""Runs request what policies want, and keep it."""

from __future__ import annotations

import pytest

from tests.fixtures.archive import Archive

pytestmark = pytest.mark.cluster


@pytest.fixture
def tour(archive: Archive) -> Archive:
    """A field node and two archive nodes of host here, and an archive node of host there."""
    archive.node("field", auto_import=1)
    archive.node("one", archive=1)
    archive.node("two", archive=1)
    archive.node("far", archive=1, host="there")
    for host in ("here", "there"):
        archive.configure(host, sync={"import_settle": 0})
    return archive


def requested(archive: Archive) -> list[tuple[str, str, str]]:
    """The requests, as (file, source, destination)."""
    return archive.all(
        "SELECT f.name, n.name, g.name FROM archivefilecopyrequest r JOIN archivefile f ON f.id = r.file_id"
        " JOIN storagenode n ON n.id = r.node_from_id JOIN storagegroup g ON g.id = r.group_to_id ORDER BY r.id"
    )


def policy(archive: Archive, *words: str) -> None:
    result = archive.run("policy", *words)
    assert result.status == 0, result


def test_a_field_copy_goes_only_once_two_sites_have_the_file(tour: Archive) -> None:
    policy(tour, "create", "safe", "--copies", "3", "--sites", "2")
    file_id = tour.file("acq/a", b"content", "field")
    tour.synced()
    assert tour.copy(file_id, "one") == tour.copy(file_id, "two") == "YY"
    tour.do("UPDATE archivefilecopy SET wants_file = 'N' WHERE node_id = ?", tour.id("storagenode", "field"))
    assert tour.sync().status == 0
    assert tour.copy(file_id, "field") == "YN"
    said = tour.run("plan", "--wide").out
    assert "policy safe needs 1 more copy, and another site; see: alpenhorn policy check" in said
    # As if the run of the other host had pulled it.
    tour.put("far", "acq/a", b"content")
    tour.set_copy(file_id, "far", "YY")
    assert tour.sync().status == 0
    assert tour.copy(file_id, "field") == "NN"
    assert sorted(requested(tour)) == [("a", "field", "one"), ("a", "field", "two")]
    why = {why for (why,) in tour.all("SELECT why FROM sync_event WHERE what = 'requested'")}
    assert why == {"policy safe wants a copy in one", "policy safe wants a copy in two"}
    assert not tour.violations()


def test_new_files_are_requested_by_the_run_that_imports_them_and_an_idle_run_writes_nothing(
    tour: Archive,
) -> None:
    policy(tour, "create", "pair", "--copies", "2", "--acq", "a*", "--group", "one", "--group", "two")
    tour.synced()
    for name in ("acq/a", "acq/b", "other/c"):
        tour.put("field", name, name.encode())
    tour.synced()
    tour.synced()
    assert {(path, group) for path, _, group in requested(tour)} == {
        (path, group) for path in "ab" for group in ("one", "two")
    }
    assert sorted(tour.tree("one")) == ["acq/a", "acq/b"]
    tour.synced()
    before = tour.dump("sync_run", "storagenode", "sync_medium")
    tour.synced()
    assert tour.dump("sync_run", "storagenode", "sync_medium") == before


def test_all_files_are_looked_at_when_policies_nodes_or_sites_change(tour: Archive) -> None:
    policy(tour, "create", "every", "--copies", "2", "--sites", "2")
    files = tour.files(30, "one")
    tour.synced()
    assert requested(tour) == []  # the other site is left to the other host
    tour.do(
        "INSERT INTO sync_node (node_id, compared, event_id, files, site) VALUES (?, 0, 0, 0, 'vault')",
        tour.id("storagenode", "two"),
    )
    tour.synced()
    assert len(requested(tour)) == 30 and {tour.copy(file_id, "two") for file_id in files} == {"YY"}
    policy(tour, "modify", "every", "--copies", "3")
    tour.synced()
    # The third copy can only be on the other host, or in a group of this host that has none.
    assert len(requested(tour)) == 30
    tour.node("three", archive=1)
    tour.synced()
    assert len(requested(tour)) == 60


def test_rows_that_other_programs_changed_are_found_within_a_day(tour: Archive) -> None:
    policy(tour, "create", "default", "--copies", "2", "--group", "one", "--group", "two")
    (file_id,) = tour.files(1, "one")
    tour.synced()
    assert len(requested(tour)) == 1
    tour.synced()
    tour.set_copy(file_id, "two", "NN")  # as a person would, without an event
    tour.synced()
    assert len(requested(tour)) == 1
    tour.do("UPDATE sync_policy_sweep SET swept = '2026-01-01 00:00:00'")
    tour.synced()
    assert len(requested(tour)) == 2


def test_young_files_wait_until_they_are_old_enough(tour: Archive) -> None:
    policy(tour, "create", "old", "--copies", "1", "--min-age", "1h", "--group", "one")
    tour.put("field", "acq/a", b"a")
    tour.synced()
    tour.synced()
    assert requested(tour) == []
    # An hour passes.
    for table, column in (
        ("archivefile", "registered"),
        ("sync_event", "at"),
        ("sync_policy_sweep", "news_at"),
    ):
        tour.do(f"UPDATE {table} SET {column} = ?", "2026-01-02 03:04:05")
    tour.synced()
    assert requested(tour) == [("a", "field", "one")]


def test_a_host_whose_configuration_disagrees_with_the_default_policy_is_told(tour: Archive) -> None:
    policy(tour, "create", "default", "--copies", "3")
    tour.put("field", "acq/a", b"a")  # work for several rounds
    result = tour.sync()
    assert " times)" not in result.err
    assert "sync.archive_copy_count is 2, but the policy default asks for 3 copies" in result.err, result
    assert "but the policy default asks for 3 copies" in tour.run("doctor").out
    policy(tour, "modify", "default", "--copies", "2")
    assert "policy default" not in tour.run("doctor").out
    result = tour.sync()
    assert "archive_copy_count" not in result.err or "no longer" in result.err, result


@pytest.mark.parametrize(
    "settings",
    [
        "place = 'x', part = 'y', event_id = 'z'",
        "news_at = '2999-01-01 00:00:00', swept = '2999-01-01 00:00:00', event_id = 4611686018427387904",
        "news_at = 'yesterday', swept = 'never', begun_at = -1, part = 7",
    ],
)
def test_wrong_progress_is_made_good(sqlite_archive: Archive, settings: str) -> None:
    archive = sqlite_archive
    archive.node("one", archive=1)
    archive.node("two", archive=1)
    policy(archive, "create", "pair", "--copies", "2", "--min-age", "1h")
    archive.files(3, "one")
    archive.synced()
    assert len(requested(archive)) == 3
    archive.do("DELETE FROM archivefilecopyrequest")
    archive.do(
        "UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N' WHERE node_id = ?",
        archive.id("storagenode", "two"),
    )
    archive.do(f"UPDATE sync_policy_sweep SET {settings}")
    assert archive.sync().status == 0
    assert len(requested(archive)) == 3
    assert archive.sync().status == 0
    assert archive.one("SELECT part, news_at < '2998-01-01 00:00:00' FROM sync_policy_sweep") == (0, 1)


def test_rows_that_other_programs_left_behind_stop_nothing(sqlite_archive: Archive) -> None:
    """Groups, hosts and nodes that are gone, and copies and files with values of the wrong type."""
    archive = sqlite_archive
    archive.node("one", archive=1)
    archive.node("two", archive=1)
    policy(archive, "create", "pair", "--copies", "2", "--group", "one", "--group", "two")
    archive.insert("sync_policy_group", policy_id=1, group_id=777, required=1)
    archive.node("lost", archive=1)
    archive.do("UPDATE storagenode SET host_id = 888, group_id = 999 WHERE name = 'lost'")
    files = archive.files(4, "one")
    archive.do("UPDATE archivefile SET size_b = 'big' WHERE id = ?", files[0])
    archive.do("UPDATE archivefile SET registered = 'once' WHERE id = ?", files[1])
    archive.do("UPDATE archivefilecopy SET has_file = 'Q' WHERE file_id = ?", files[2])
    archive.set_copy(files[3], "lost", "YY")
    archive.sync()
    assert {name for name, _, _ in requested(archive)} >= {"000/00001.dat", "000/00003.dat"}
    result = archive.run("policy", "check")
    assert result.status == 1 and "a copy in group (777)" in result.out, result


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (("request", "cancel", "{0}", "{1}"), 2),
        (("node", "sync", "one", "two", "--cancel", "--force"), 4),
        (("file", "sync", "many/000/00000.dat", "--cancel"), 1),
    ],
)
def test_requests_that_a_command_cancelled_are_created_again_by_the_next_run(
    tour: Archive, words: tuple[str, ...], files: int
) -> None:
    policy(tour, "create", "pair", "--copies", "2", "--group", "one", "--group", "two")
    tour.files(4, "one")
    tour.synced("--only", "check")
    tour.root("one").rename(tour.base / "away")
    tour.sync()
    assert len(requested(tour)) == tour.pending() == 4
    ids = [row[0] for row in tour.all("SELECT id FROM archivefilecopyrequest ORDER BY id")]
    assert tour.run(*(word.format(*ids) for word in words)).status == 0
    assert tour.pending() == 4 - files
    assert [name for _, name in tour.events("cancelled")] == ["one"] * files
    tour.sync()
    assert len(requested(tour)) == 4 + files and tour.pending() == 4
