"""An SQLite file holds in a date column whatever a program put there, such as POSIX seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Archive, filled_with_storage
from tests.fixtures.index import open_empty

WHEN = 1784714400  # 2026-07-22 10:00:00
COLUMNS = (
    ("archivefile", "registered"),
    ("archivefilecopy", "last_update"),
    ("archivefilecopyrequest", "timestamp"),
    ("archivefilecopyrequest", "transfer_started"),
    ("archivefilecopyrequest", "transfer_completed"),
    ("archivefileimportrequest", "timestamp"),
    ("storagenode", "avail_gb_last_checked"),
)


@pytest.fixture
def numeric(sqlite_index_url: str, tmp_path: Path) -> Archive:
    """An index of which every date that the daemon keeps is a number."""
    archive = filled_with_storage(Archive(open_empty(sqlite_index_url), sqlite_index_url, tmp_path))
    file_id = archive.file("a", field1="YY", off1="XM", off2="NY")
    archive.request(file_id, completed=1)
    archive.request(file_id)
    archive.insert(
        "archivefileimportrequest",
        node_id=archive.id("storagenode", "field1"),
        path="pilot",
        recurse=1,
        register=1,
        completed=0,
    )
    for table, column in COLUMNS:
        archive.index.execute(f"UPDATE {table} SET {column} = ?", (WHEN,))
    return archive


@pytest.mark.parametrize(
    "line",
    [
        "file list --details",
        "file show pilot/a --all",
        "request list --state done",
        "request show 2",
        "node show field1 --all",
    ],
)
def test_a_number_in_a_date_column_is_shown_as_posix_seconds(numeric: Archive, line: str) -> None:
    assert "2026-07-22 10:00:00" in numeric.ok(*line.split())


@pytest.mark.parametrize(
    "line",
    [
        "acq files pilot --node off2",
        "file find --corrupt",
        "group show field --all",
        "host show alp1 --node-stats",
        "node stats",
        "node clean field1 --days 1 --check",
        "plan",
        "status",
        "report",
        "history --file pilot/a",
    ],
)
def test_a_number_in_a_date_column_stops_no_command(numeric: Archive, line: str) -> None:
    numeric.ok(*line.split())
