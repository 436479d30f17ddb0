"""Rows whose names match a pattern."""

from __future__ import annotations

import pytest

from alpenhorn.errors import NotFound, Refused
from alpenhorn.scan import names, patterns
from tests.cli.conftest import Archive


@pytest.fixture
def acqs(archive: Archive) -> Archive:
    for name in (
        "2026a",
        "2026b",
        "2027a",
        "a%b",
        "a_b",
        "axb",
        "A",
        "x*",
        "xy",
        "p[1]",
        "q/r",
        "é",
        "a\U0001f600z",
    ):
        archive.insert("archiveacq", name=name)
    return archive


def found(archive: Archive, *wanted: str) -> list[str]:
    return [row.name for row in patterns.matching(archive.index, "acquisition", wanted)]


def test_patterns_match_as_in_a_shell(acqs: Archive) -> None:
    assert found(acqs, "2026*") == ["2026a", "2026b"]
    assert found(acqs, "202[67]a") == ["2026a", "2027a"]
    assert found(acqs, "2026?") == ["2026a", "2026b"]
    assert found(acqs, "*r") == ["q/r"]
    assert found(acqs, "2026?", "*a", "A") == ["2026a", "2026b", "2027a", "A"]
    assert len(found(acqs, "*")) == 13


def test_the_beginning_of_a_pattern_is_literal(acqs: Archive) -> None:
    assert found(acqs, "a%*") == ["a%b"]
    assert found(acqs, "a_*") == ["a_b"]
    assert found(acqs, "a*") == ["a%b", "a_b", "axb", "a\U0001f600z"]
    assert found(acqs, "é*") == ["é"]


def test_a_collation_that_folds_case_changes_nothing(acqs: Archive) -> None:
    if not acqs.index.dialect.compares_bytes:
        sql = "ALTER TABLE archiveacq CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
        acqs.index.execute(sql)
    assert sorted(found(acqs, "a*")) == ["a%b", "a_b", "axb", "a\U0001f600z"]
    assert found(acqs, "[A]*") == found(acqs, "A*") == ["A"]


@pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_general_nopad_ci", "utf8mb4_bin"])
def test_the_longest_names_with_any_characters_are_found_by_their_beginning(
    archive: Archive, collation: str
) -> None:
    index = archive.index
    for table in () if index.dialect.compares_bytes else ("archiveacq", "archivefile"):
        index.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")
    # A collation that ignores case takes all characters above U+FFFF for one.
    smiles = ["b" + "\U0001f600" * 63, "b" + "\U0010ffff" * 62, "b\U0001f600z"]
    for name in (*smiles, "a", "c", *(f"c{number}" for number in range(names.SUGGESTIONS))):
        archive.insert("archiveacq", name=name)
    file_name = "f" + "\U0001f600" * 254
    archive.file(file_name, acq="a")
    assert sorted(found(archive, "b*")) == sorted(smiles)
    assert found(archive, "b\U0001f600*z") == ["b\U0001f600z"]
    assert sorted(names.beginning(index, "acquisition", "b\U0001f600")) == sorted([smiles[0], smiles[2]])
    with pytest.raises(NotFound, match="\U0001f600z"):
        names.acq(index, "b\U0001f600y")
    with pytest.raises(NotFound, match=file_name):
        names.file(index, f"a/{file_name[:-1]}")


def test_an_existing_name_matches_only_itself(acqs: Archive) -> None:
    assert found(acqs, "x*") == ["x*"]
    assert found(acqs, "p[1]") == ["p[1]"]


def test_a_pattern_without_a_match_is_an_error(acqs: Archive) -> None:
    for pattern in ("z*", "a\udcff*", "2026c"):
        with pytest.raises(NotFound):
            found(acqs, "2026*", pattern)


def test_too_many_matches_are_refused(acqs: Archive) -> None:
    rows = [(f"many{number:05}",) for number in range(patterns.MOST + 1)]
    with acqs.index.db.atomic():
        acqs.index.executemany("INSERT INTO archiveacq (name) VALUES (?)", rows)
    assert len(found(acqs, "many0*")) == patterns.MOST
    with pytest.raises(Refused, match="too many names"):
        found(acqs, "many*")


def test_the_query_uses_the_index_on_the_names(acqs: Archive) -> None:
    rows = [(f"many{number:05}",) for number in range(2000)]
    acqs.index.executemany("INSERT INTO archiveacq (name) VALUES (?)", rows)
    where, values = patterns.condition("name", "2026*")
    sql = f"SELECT id, name FROM archiveacq WHERE {where} ORDER BY name"
    if acqs.index.dialect.in_a_file:
        (step,) = [str(row[3]) for row in acqs.all(f"EXPLAIN QUERY PLAN {sql}", *values)]
        assert step.startswith("SEARCH archiveacq USING"), step
    else:
        acqs.index.execute("ANALYZE TABLE archiveacq").fetchall()
        (row,) = acqs.all(f"EXPLAIN {sql}", *values)
        assert row[3] == "range", row


def test_commands_take_patterns(acqs: Archive) -> None:
    for acq in ("2026a", "2026b", "2027a"):
        acqs.request(acqs.file("f", acq=acq, off1="YY", field1="YY"))
    assert acqs.ok("file", "list", "--acq", "2026*") == "2026a/f\n2026b/f\n"
    assert acqs.ok("file", "list", "--acq", "2026*", "--node", "off*", "--group", "sp*").count("\n") == 2
    copies = acqs("file", "find", "--acq", "*a", "--node", "*1", "--json").json
    assert [(row["path"], row["node"]) for row in copies] == [
        ("2026a/f", "field1"), ("2026a/f", "off1"), ("2027a/f", "field1"), ("2027a/f", "off1")
    ]  # fmt: skip
    requests = acqs("request", "list", "--acq", "2026*", "--node", "fi*", "--group", "o*", "--json").json
    assert [row["path"] for row in requests] == ["2026a/f", "2026b/f"]
    assert acqs("request", "list", "--group", "sp*", "--json").json == []
    for option in ([], ["--node", "off1"], ["--group", "offsite"]):
        listed = acqs("acq", "list", "2026*", *option, "--json").json
        assert [(row["name"], row["files"]) for row in listed] == [("2026a", 1), ("2026b", 1)]
    assert [row["name"] for row in acqs("acq", "list", "x*", "--json").json] == ["x*", "xy"]
    for option, files in ((["--node", "*f*1"], 3), (["--group", "field", "--group", "off*"], 3)):
        assert sum(row["files"] for row in acqs("acq", "list", *option, "--json").json) == files
    assert acqs.ok("acq", "list", "none*") == "No acquisitions.\n"
    assert acqs.ok("file", "list", "--acq", "2026*", "--absent-node", "off*") == "2026a/f\n2026b/f\n"
    for command, name, others in (
        ("host", "alp1", "alp?"),
        ("group", "field", "f*"),
        ("node", "off1", "off*"),
    ):
        listed = [row["name"] for row in acqs(command, "list", "--json").json]
        assert [row["name"] for row in acqs(command, "list", name, "--json").json] == [name]
        chosen = [row["name"] for row in acqs(command, "list", others, "--json").json]
        assert name in chosen and set(chosen) <= set(listed) and all(one[0] == name[0] for one in chosen)
        assert acqs.ok(command, "list", "z*") == f"No such {command}s.\n"
    for command in ("list", "stats"):
        for option in (["off*"], ["--group", "o*"], ["--host", "alp2", "--host", "*2", "o*"]):
            found = [row["name"] for row in acqs("node", command, *option, "--json").json]
            assert set(found) - {"off2"} == {"off1"}, option
    assert [row["name"] for row in acqs("status", "--node", "o*", "--json").json["nodes"]] == ["off1", "off2"]
    assert {row["name"] for row in acqs("status", "--group", "o*", "--json").json["nodes"]} == {
        "off1",
        "off2",
    }
    assert "no host matches 'z*'" in acqs.fails(1, "status", "--host", "z*")
    assert "no node matches 'z*'" in acqs.fails(1, "plan", "--node", "z*")
    assert "no node matches 'z*'; see: alpenhorn node list" in acqs.fails(1, "file", "find", "--node", "z*")


def test_the_events_on_several_nodes_are_in_the_order_of_their_times(acqs: Archive) -> None:
    file_id = acqs.file("f", acq="2026a", off1="YY")
    for second, node in enumerate(("off1", "off2", "field1", "off1", "off2")):
        acqs.insert("sync_event", at=f"2026-07-22 10:00:0{second}", file_id=file_id, what="pulled", why="so",
                    node_id=acqs.id("storagenode", node))  # fmt: skip
    rows = acqs("history", "--node", "off*", "--json").json
    assert [(row["at"][-3:-1], row["node"]) for row in rows] == [
        ("00", "off1"), ("01", "off2"), ("03", "off1"), ("04", "off2")
    ]  # fmt: skip
    assert acqs("history", "--node", "off*", "--json", "--limit", "3").json == rows[1:]
    assert acqs("history", "--node", "off*", "--file", "2026a/f", "--json").json == rows
    table = acqs("history", "--node", "off*").out
    assert "Node" in table and "Node" not in acqs("history", "--node", "off1").out


def test_a_command_that_changes_something_takes_no_pattern(acqs: Archive) -> None:
    acqs.file("f", acq="2026a", off1="YY", field1="YY")
    assert "no acquisition called '2026*'" in acqs.fails(
        1, "node", "clean", "field1", "--acq", "2026*", "--force"
    )
