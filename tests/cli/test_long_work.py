from __future__ import annotations

import pytest

from tests.fixtures.archive import Archive
from tests.fixtures.terminal import on_screen


@pytest.mark.parametrize(
    ("command", "table", "shown"),
    [
        (("node", "stats"), "archivefilecopy", "Counting the copies on each node"),
        (("node", "risk", "field"), "archivefilecopy", "Reading the copies on field"),
        (("node", "risk", "field", "--list"), "archivefilecopy", "Reading the copies on field"),
        (("file", "list"), "archivefile", "Listing files"),
        (("file", "find"), "archivefilecopy", "Listing copies"),
        (("request", "list"), "archivefilecopyrequest", "Listing requests"),
        (("db", "check"), "archivefilecopy", "Checking the index"),
        (("db", "backup"), "archivefilecopy", "Writing and verifying a backup"),
    ],
)
def test_a_long_query_is_shown_on_a_terminal(
    mariadb_archive: Archive, command: tuple[str, ...], table: str, shown: str
) -> None:
    archive = mariadb_archive
    archive.node("field")
    archive.request(archive.file("acq/f", b"bytes", "field"), "field", "field")
    where = (str(archive.base / "backups"),) if command == ("db", "backup") else ()
    (archive.base / "backups").mkdir()
    conf = archive.configure()
    archive.index.execute(f"LOCK TABLES {table} WRITE")
    try:
        with on_screen(
            "-c", str(conf), *command, *where, columns=80, environ={"HOME": str(archive.base)}
        ) as screen:
            screen.until(lambda lines: any(shown in line for line in lines))
            archive.index.execute("UNLOCK TABLES")
            screen.end()
    finally:
        archive.index.execute("UNLOCK TABLES")
    assert not any(shown in line for line in screen.lines)
