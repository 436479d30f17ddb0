from __future__ import annotations

import datetime

import pytest

from alpenhorn.edits import nodes as edit_node
from alpenhorn.model.manifests import ChangedFile, CompareFile
from alpenhorn.record import manifest
from alpenhorn.record.copies import with_evidence
from alpenhorn.record.run import Run
from tests.fixtures.rows import WHEN, Rows

TOKEN = "a" * 32


def changed(rows: Rows, name: str, state: str = "YY") -> ChangedFile:
    file_id = rows.file(name)
    return ChangedFile(
        CompareFile(rows.copy(file_id, "one", state), file_id, f"acq/{name}", 10), f"why {name}"
    )


def kept(rows: Rows) -> list[tuple[object, ...]]:
    return rows.all("SELECT node_id, manifest, host, root, event_id, files FROM sync_node ORDER BY node_id")


def test_a_changed_copy_is_suspect_and_the_log_says_why(rows: Rows, run: Run) -> None:
    one, other = changed(rows, "one"), changed(rows, "other", "YN")
    rows.copy(one.file.file_id, "two", "YY")
    manifest.suspect(rows.index, run, rows.fact("one"), [one, other])
    assert rows.state(one.file.file_id, "one") == "MY" and rows.state(other.file.file_id, "one") == "MN"
    assert rows.state(one.file.file_id, "two") == "YY"
    evidence = with_evidence(rows.index, rows.node["one"], [one.file.file_id, other.file.file_id])
    assert evidence == {one.file.file_id, other.file.file_id}
    assert rows.all("SELECT file_id, why, run_id FROM sync_event WHERE what = 'suspect' ORDER BY id") == [
        (one.file.file_id, "node one came back changed: why one", run.id),
        (other.file.file_id, "node one came back changed: why other", run.id),
    ]


@pytest.mark.parametrize("state", ["NY", "MY", "XY"])
def test_only_a_good_copy_becomes_suspect(rows: Rows, run: Run, state: str) -> None:
    one = changed(rows, "one", state)
    manifest.suspect(rows.index, run, rows.fact("one"), [one])
    assert rows.state(one.file.file_id, "one") == state and rows.events("suspect") == []
    assert with_evidence(rows.index, rows.node["one"], [one.file.file_id]) == set()


def test_a_second_time_changes_nothing(rows: Rows, run: Run) -> None:
    """The state after a commit whose answer was lost."""
    one = changed(rows, "one")
    for _ in range(2):
        manifest.suspect(rows.index, run, rows.fact("one"), [one])
    assert len(rows.events("suspect")) == 1


def test_the_token_is_recorded_with_the_place_of_the_node(rows: Rows) -> None:
    node = rows.fact("one")
    rows.insert("sync_node", node_id=node.id, compared=7, event_id=0, files=0)
    assert node.manifest is None
    for files in (3, 4):
        assert manifest.record_token(rows.index, node, TOKEN, 9, files)
    assert kept(rows) == [(node.id, TOKEN, "here", "/srv/one", 9, 4)]
    assert rows.all("SELECT compared FROM sync_node") == [(7,)]
    assert rows.fact("one").manifest == TOKEN
    manifest.seen(rows.index, node.id, 11)
    assert kept(rows)[0][4] == 11


@pytest.mark.parametrize("column", ["root", "host_id"])
def test_a_node_moved_by_another_program_gets_no_token(rows: Rows, column: str) -> None:
    assert manifest.record_token(rows.index, rows.fact("one"), TOKEN, 9, 1)
    rows.do(f"UPDATE storagenode SET {column} = 2 WHERE name = 'one'")
    assert rows.fact("one").manifest is None


def test_a_node_deactivated_in_the_meantime_gets_no_token(rows: Rows) -> None:
    node = rows.fact("one")
    for change in ("active = 0", "active = 1, root = '/else'", "root = '/srv/one', host_id = NULL"):
        rows.do(f"UPDATE storagenode SET {change} WHERE name = 'one'")
        assert not manifest.record_token(rows.index, node, TOKEN, 9, 1)
    rows.do("DELETE FROM storagenode WHERE name = 'one'")
    assert not manifest.record_token(rows.index, node, TOKEN, 9, 1) and kept(rows) == []


def test_trust_is_dropped_of_those_nodes_and_no_others(rows: Rows) -> None:
    for name in ("one", "two"):
        manifest.record_token(rows.index, rows.fact(name), TOKEN, 9, 1)
    manifest.distrust(rows.index, [rows.node["one"]])
    assert [row[1] for row in kept(rows)] == [None, TOKEN]


@pytest.mark.parametrize(
    ("values", "drops"),
    [
        ({"active": False}, True),
        ({"active": True}, False),
        ({"root": "/else"}, True),
        ({"root": "/srv/one"}, False),
        ({"host_id": 2}, True),
        ({"notes": "blue"}, False),
    ],
)
def test_an_edit_that_may_have_moved_it_drops_trust(
    rows: Rows, values: dict[str, object], drops: bool
) -> None:
    manifest.record_token(rows.index, rows.fact("one"), TOKEN, 9, 1)
    edit_node.modify(rows.index, rows.node["one"], values, {}, datetime.datetime(2026, 1, 1))
    assert (kept(rows)[0][1] is None) is drops


def test_the_state_of_a_copy_says_when_it_was_changed(rows: Rows, run: Run) -> None:
    one = changed(rows, "one")
    rows.do("UPDATE archivefilecopy SET last_update = '2001-01-01 00:00:00'")
    manifest.suspect(rows.index, run, rows.fact("one"), [one])
    assert rows.all("SELECT last_update FROM archivefilecopy") in ([(WHEN,)], [(str(WHEN),)])


def test_a_manifest_of_objects_is_vouched_for_only_where_they_were(rows: Rows) -> None:
    """The root of the node stays the same; a setting of that name may be another one, too."""

    def settings(text: str) -> None:
        rows.do("UPDATE storagenode SET io_config = ? WHERE name = 'one'", text)

    settings('{"remote": "s3:bucket/place"}')
    assert manifest.record_token(rows.index, rows.fact("one"), TOKEN, 9, 1)
    assert rows.fact("one").manifest == TOKEN
    settings('{"remote": "s3:bucket/place", "jobs": 2}')
    assert rows.fact("one").manifest == TOKEN
    for other in ('{"remote": "s3:bucket/Place"}', "{}", '{"x": {"remote": "s3:bucket/place"}}', "broken"):
        settings(other)
        assert rows.fact("one").manifest is None
    settings('{"x": {"remote": 1}}')
    assert manifest.record_token(rows.index, rows.fact("one"), TOKEN, 9, 1)
    assert rows.fact("one").manifest == TOKEN
    rows.do("UPDATE storagenode SET root = '/elsewhere' WHERE name = 'one'")
    assert rows.fact("one").manifest is None
