from __future__ import annotations

import pytest

from tests.cli.conftest import Archive


@pytest.fixture
def gone(archive: Archive) -> int:
    """A file whose copies were removed, beside one that has a copy."""
    archive.file("kept", field1="YY", off2="YY")
    return archive.file("gone", field1="NN", off2="NM")


def paths(archive: Archive) -> list[str]:
    return [name for (name,) in archive.all("SELECT name FROM archivefile ORDER BY name")]


def test_files_without_copies_are_deleted(archive: Archive, gone: int) -> None:
    archive.file("never", size=None)
    before = archive.rows()
    out = archive.ok("file", "delete", "pilot/gone", "pilot/never", "pilot/gone", "--check")
    assert out == "Would delete 2 files (1000 B, 1 of unknown size) from the index.\n"
    assert archive.rows() == before
    out = archive.ok("file", "delete", "pilot/gone", "pilot/never", "--force")
    assert out == (
        "To delete: 2 files (1000 B, 1 of unknown size) from the index.\nDeleted 2 files from the index.\n"
    )
    assert paths(archive) == ["kept"]
    assert archive.all("SELECT id FROM archivefilecopy WHERE file_id = ?", gone) == []
    assert "no rows point to missing rows" in archive.ok("db", "check")
    assert "no file called 'pilot/gone'" in archive.fails(1, "file", "delete", "pilot/gone", "--force")


@pytest.mark.parametrize("options", [(), ("--force",), ("--check",)])
def test_a_file_with_a_copy_on_an_inactive_node_keeps_all(
    archive: Archive, gone: int, options: tuple[str, ...]
) -> None:
    archive.index.execute("UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N' WHERE node_id = 1")
    message = archive.fails(1, "file", "delete", "pilot/gone", "pilot/kept", *options)
    assert (
        "file pilot/kept: not deleted: it has a copy on node off2; if the copy is gone for good:" in message
    )


def remedy(message: str) -> list[str]:
    return message[message.index("alpenhorn ") :].split()[1:]


def test_each_remedy_works_as_it_is_printed(archive: Archive, gone: int) -> None:
    """One after the other, until nothing keeps the file."""
    archive.index.execute(
        "UPDATE archivefilecopy SET has_file = 'X' WHERE file_id = ? AND node_id = 1", (gone,)
    )
    archive.index.execute(
        "UPDATE archivefilecopy SET wants_file = 'Y' WHERE file_id = ? AND node_id = 3", (gone,)
    )
    archive.request(gone)
    archive.ok("file", "pin", "pilot/gone")
    archive.ok("file", "pin", "pilot/gone", "--node", "off1")
    typed = []
    while (done := archive("file", "delete", "pilot/gone", "--force")).status:
        typed.append(remedy(done.err))
        archive.ok(*typed[-1])
        assert len(typed) <= 5, typed
    assert [" ".join(words) for words in typed] == [
        "file state pilot/gone field1 --set Absent",
        "file state pilot/gone off2 --set Absent",
        "file sync pilot/gone --to offsite --cancel",
        "file unpin pilot/gone",
        "file unpin pilot/gone --node off1",
    ]
    assert paths(archive) == ["kept"]


def test_the_history_of_a_node_names_a_deleted_file(archive: Archive, gone: int) -> None:
    at = "2026-07-22 10:00:00"
    archive.insert("sync_event", at=at, file_id=gone, node_id=1, what="deleted", why="released")
    archive.ok("file", "delete", "pilot/gone", "--force")
    (event,) = archive("history", "--node", "field1", "--json").json
    assert (event["path"], event["what"], event["why"]) == (None, "deleted", "pilot/gone: released")
    assert "(deleted)" in archive.ok("history", "--node", "field1")
    assert "no file called" in archive.fails(1, "history", "--file", "pilot/gone")


def test_without_a_terminal_no_file_is_deleted_unless_forced(archive: Archive, gone: int) -> None:
    assert "use --force" in archive.fails(1, "file", "delete", "pilot/gone")
    archive.fails(2, "file", "delete", "pilot/gone", "--check", "--force")
    archive.fails(2, "file", "delete")
