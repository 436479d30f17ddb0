"""`node stats` and `status` show sums that runs keep, and each change by a command is seen in them."""

from __future__ import annotations

import os
from typing import Any

from alpenhorn.coordinator.tallies import refresh
from tests.fixtures.archive import Archive

OLD = "2020-01-01 00:00:00"
# A change of the state without a later time is invisible to the sums.
UNTIMED = """
    CREATE TRIGGER untimed BEFORE UPDATE ON archivefilecopy
    WHEN (NEW.has_file <> OLD.has_file OR NEW.wants_file <> OLD.wants_file) AND NEW.last_update < '2026-01-01'
    BEGIN SELECT RAISE(ABORT, 'a change without its time'); END
"""
SUMS = """
    SELECT n.name, COUNT(f.id), COALESCE(SUM(f.size_b), 0) FROM storagenode n
    LEFT JOIN archivefilecopy c ON c.node_id = n.id AND c.has_file = 'Y' LEFT JOIN archivefile f ON f.id = c.file_id
    GROUP BY n.name ORDER BY n.name
"""


def aged(archive: Archive) -> None:
    """Let all copies, and the last look for changes, be old."""
    archive.do("UPDATE archivefilecopy SET last_update = ?", OLD)
    archive.do("UPDATE sync_index SET at = ? WHERE name = 'tallies'", OLD)


def shown(archive: Archive) -> list[tuple[str, int, int]]:
    found: list[dict[str, Any]] = archive.run("node", "stats", "--all", "--json").json
    return sorted((one["name"], one["files"], one["size_b"]) for one in found)


def counted(archive: Archive) -> list[tuple[str, int, int]]:
    return [(name, files, int(bytes_)) for name, files, bytes_ in archive.all(SUMS)]


def test_commands_show_what_runs_counted_and_each_later_change(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    archive.node("field", auto_import=1)
    archive.node("safe", archive=1)
    archive.node("safe_too", archive=1)
    archive.node("spare", archive=1)
    files = [f"acq/{name}" for name in "abcdef"]
    for name in files:
        os.utime(archive.put("field", name, name.encode() * 10), (0, 0))
    archive.do(UNTIMED)
    archive.synced()
    assert archive.one("SELECT COUNT(*) FROM sync_tally_part") == 0  # everything was just changed

    def step(*command: str, status: int = 0) -> None:
        aged(archive)
        refresh(archive.index, lambda: True)
        assert archive.one("SELECT COUNT(*) FROM sync_tally_part") == 1
        result = archive.run(*command)
        assert result.status == status, result
        assert shown(archive) == counted(archive), command

    step("node", "sync", "field", "safe", "--force")
    step("sync")
    step("node", "sync", "field", "safe_too", "--force")
    step("sync")
    assert shown(archive)[1][1:] == (6, counted(archive)[0][2])
    step("node", "verify", "safe", "--all", "--force")
    step("sync")
    step("file", "state", files[0], "safe", "--set", "Corrupt")
    step("repair", "--force")
    step("sync")
    step("file", "clean", files[1], "--node", "field", "--now")
    step("sync")
    step("node", "clean", "field", "--now", "--force")
    step("sync")
    assert shown(archive)[0] == ("field", 0, 0)
    step("node", "retire", "safe", "--into", "spare", "--force")
    step("sync")
    step("node", "retire", "safe", "--cancel", "--force")


def test_a_change_by_hand_is_seen_within_a_day(archive: Archive) -> None:
    archive.node("safe", archive=1)
    file_id = archive.file("acq/a", b"bytes", "safe")
    aged(archive)
    archive.synced()
    archive.do("UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N' WHERE file_id = ?", file_id)
    assert shown(archive) == [("safe", 1, 5)]
    (found,) = [line for line in archive.run("db", "check").out.splitlines() if "sums" in line]
    assert found == "warn  the kept sums of copies differ from the rows in 1 part of the archive"
    archive.do("UPDATE sync_tally_part SET counted = ?", OLD)
    archive.do("UPDATE sync_index SET at = ? WHERE name = 'tallies'", OLD)
    archive.synced()
    assert shown(archive) == counted(archive) == [("safe", 0, 0)]
