from __future__ import annotations

import pytest

from tests.cli.conftest import Archive


@pytest.fixture
def owing(archive: Archive) -> Archive:
    """An edge that is newer than the copies: two to be requested, one to be released."""
    archive.new = [archive.file(name, field1="YY") for name in ("a", "b")]  # type: ignore[attr-defined]
    archive.held = archive.file("c", field1="YY", off1="YY")  # type: ignore[attr-defined]
    archive.ok("group", "autosync", "offsite", "field1")
    archive.ok("node", "autoclean", "field1", "offsite")
    return archive


def test_rules_check_without_missed_actions_says_so(archive: Archive) -> None:
    archive.file("a", field1="YY")
    assert archive.ok("rules", "check").startswith("No missed actions")
    assert archive.ok("rules", "check", "--apply").startswith("No missed actions")
    archive.ok("group", "autosync", "spare", "off1")
    assert archive.ok("rules", "check").startswith("No missed actions")
    assert archive("rules", "check", "--json").json == {"owed": [], "applied": None}


def test_rules_check_shows_missed_actions_and_changes_nothing(owing: Archive) -> None:
    before = owing.rows()
    result = owing("rules", "check")
    assert result.status == 1
    assert [line.split() for line in result.out.splitlines()[2:4]] == [
        ["field1", "offsite", "autosync", "2", "1.95", "KiB"],
        ["field1", "offsite", "autoclean", "1", "1000", "B"],
    ]
    assert "alpenhorn rules check --apply" in result.out
    assert owing.rows() == before


def test_nothing_is_applied_without_a_terminal_and_force(owing: Archive) -> None:
    message = owing.fails(1, "rules", "check", "--apply")
    assert 'cannot ask "Request 2 copies and release 1 copy?" without a terminal' in message
    assert "nothing was changed; use --force" in message


def test_rules_check_apply_carries_out_the_missed_actions(owing: Archive) -> None:
    assert "Requested 2 files, released 1 copy." in owing.ok("rules", "check", "--apply", "--force")
    new, held = owing.new, owing.held  # type: ignore[attr-defined]
    assert owing.requests() == [(file_id, "field1", "offsite") for file_id in new]
    assert owing.copy(held, "field1") == "YN" and owing.copy(held, "off1") == "YY"
    assert owing.all("SELECT COUNT(*) FROM sync_event") == [(0,)]
    assert owing.ok("rules", "check").startswith("No missed actions")


def test_rules_check_json_has_the_missed_actions_and_what_was_applied(owing: Archive) -> None:
    rows = [
        {"node": "field1", "group": "offsite", "action": "autosync", "files": 2, "size_b": 2000},
        {"node": "field1", "group": "offsite", "action": "autoclean", "files": 1, "size_b": 1000},
    ]
    result = owing("rules", "check", "--json")
    assert (result.status, result.json) == (1, {"owed": rows, "applied": None})
    owing.fails(2, "rules", "check", "--json", "--apply")
    result = owing("rules", "check", "--json", "--apply", "--force")
    assert (result.status, result.json) == (0, {"owed": rows, "applied": {"requested": 2, "released": 1}})


def test_force_is_for_apply(archive: Archive) -> None:
    archive.fails(2, "rules", "check", "--force")


def test_strange_rows(owing: Archive) -> None:
    owing.index.execute("UPDATE archivefile SET size_b = NULL")
    owing.ok("group", "autosync", "spare", "field1")
    result = owing("rules", "check", "--json")
    assert [(row["group"], row["files"], row["size_b"]) for row in result.json["owed"]] == [
        ("offsite", 2, 0),
        ("spare", 3, 0),
        ("offsite", 1, 0),
    ]


def test_copies_on_archive_nodes_are_released_only_with_consent(archive: Archive) -> None:
    both = archive.file("a", field1="YY", off1="YY")
    archive.ok("node", "autoclean", "field1", "offsite")
    archive.ok("node", "autoclean", "off1", "field", "--archive-ok")
    result = archive("rules", "check", "--apply", "--force")
    assert (
        result.status == 1
        and "archive nodes are not released: off1; to release them anyway: --archive-ok" in result.err
    )
    assert result.out.endswith("Requested 0 files, released 1 copy.\n")
    assert (archive.copy(both, "field1"), archive.copy(both, "off1")) == ("YN", "YY")
    # The released copy in the group is no reason to release another one.
    assert archive("rules", "check").out == "No missed actions.\n"
    archive.ok("file", "clean", "pilot/a", "--node", "field1", "--cancel")
    archive.ok("node", "autoclean", "field1", "offsite", "--remove")
    assert archive("rules", "check", "--apply").out.endswith("Nothing was changed\n")
    assert archive.copy(both, "off1") == "YY"
    assert archive.fails(2, "rules", "check", "--archive-ok")
    assert archive.ok("rules", "check", "--apply", "--archive-ok", "--force").endswith("released 1 copy.\n")
    assert archive.copy(both, "off1") == "YN"
