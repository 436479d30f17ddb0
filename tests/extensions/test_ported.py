"""The example of an extension of the daemon that was ported: its database, its detector, and its rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alpenhorn import address
from tests.end_to_end.test_extensions import put, registered
from tests.end_to_end.test_lent_index import use
from tests.fixtures.archive import Archive

TABLES = (
    "CREATE TABLE site_receiver (id INTEGER PRIMARY KEY, name VARCHAR(32), pattern VARCHAR(128))",
    "CREATE TABLE site_recording (id INTEGER PRIMARY KEY {auto}, file_id INTEGER, receiver_id INTEGER, samples INTEGER,"
    " node VARCHAR(64))",
    "CREATE TABLE site_session (id INTEGER PRIMARY KEY {auto}, acq_id INTEGER, receiver_id INTEGER NOT NULL)",
    "INSERT INTO site_receiver VALUES (3, 'wide', '[0-9]+.raw'), (4, 'narrow', '[a-z]+.raw')",
)


@pytest.fixture
def environ(archive: Archive, ported: Path, tmp_path: Path) -> dict[str, str]:
    """Create the tables of the site, and have its package connect to the index."""
    path = address.sqlite_path(archive.url)
    if path is not None:
        settings: dict[str, object] = {"sqlite": path}
    else:
        server = address.server(archive.url)
        settings = {
            "mysql": server.name,
            "user": server.user,
            "unix_socket": server.socket,
            "read_timeout": 300,
        }
    for sql in TABLES:
        archive.do(sql.format(auto="AUTOINCREMENT" if path is not None else "AUTO_INCREMENT"))
    (tmp_path / "site.json").write_text(json.dumps(settings))
    use(archive, "site")
    return {"PYTHONPATH": str(ported), "SITE_DATABASE": str(tmp_path / "site.json")}


def test_a_ported_extension_opens_the_index_names_files_and_writes_its_rows(
    archive: Archive, environ: dict[str, str]
) -> None:
    archive.node("field", auto_import=1)
    wide, narrow = "20260722T101500Z_wide", "20260722T101500Z_narrow"
    put(archive, f"{wide}/0001.raw", b"\0\0\0\7data")
    put(archive, f"{wide}/0002.raw", b"\0\0\0\5data")
    put(archive, f"{narrow}/a.raw", b"\0\0\0\1")
    put(archive, f"{narrow}/1.raw")
    put(archive, "20260722T101500Z_other/1.raw")
    put(archive, "20260723T101500Z_wide/1.raw", b"\0\0\0\0")
    result = archive.sync(environ=environ)
    assert result.status == 1 and "a session must not begin with an empty recording" in result.err
    assert registered(archive) == {(wide, "0001.raw"), (wide, "0002.raw"), (narrow, "a.raw")}
    rows = (
        "SELECT f.name, r.receiver_id, r.samples, r.node FROM site_recording r"
        " JOIN archivefile f ON f.id = r.file_id"
    )
    assert set(archive.all(rows)) == {
        ("0001.raw", 3, 7, "field"),
        ("0002.raw", 3, 5, "field"),
        ("a.raw", 4, 1, "field"),
    }
    sessions = "SELECT a.name, s.receiver_id FROM site_session s JOIN archiveacq a ON a.id = s.acq_id"
    assert set(archive.all(sessions)) == {(wide, 3), (narrow, 4)}
    # An empty recording is taken once the acquisition exists.  The rows of a callback are undone together.
    put(archive, f"{wide}/0003.raw", b"\0\0\0\0")
    archive.do("DROP TABLE site_session")
    result = archive.sync(environ=environ)
    assert "the callback of the import detector recordings failed" in result.err
    assert (wide, "0003.raw") in registered(archive) and len(archive.all(rows)) == 3


@pytest.mark.one_engine
def test_all_parts_of_the_example_are_loaded(archive: Archive, environ: dict[str, str]) -> None:
    found = archive.run("plugins", "--json", environ=environ)
    assert found.status == 0
    assert {one["point"] for one in found.json if one["package"] == "alpenhorn-ported"} == {
        "alpenhorn.database",
        "alpenhorn.import_detect",
        "alpenhorn.import_facts",
    }
