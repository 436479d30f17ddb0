"""Runs and commands on an index to which an installed package connects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alpenhorn import address
from tests.end_to_end.test_extensions import DETECT, put, registered
from tests.fixtures.archive import Archive, Result
from tests.fixtures.packages import Package, install

DATABASE = "alpenhorn.database"

# `fails`: a file that, if it is there, has the text of an exception; `asked`: a file with the processes that connected.
SOURCE = """
import os
import peewee as pw
from alpenhorn.index.connector import Connector

DB = pw.{made}

def connect():
    with open({asked!r}, "a") as log:
        log.write(f"{{os.getpid()}}\\n")
    if os.path.exists({fails!r}):
        raise RuntimeError(open({fails!r}).read())
    return DB

def detect(path, node):
    if path.endswith("kills"):
        os._exit(3)
    return path.partition("/")[0]

CONNECTOR = Connector(connect)
TEXT = "a text"
"""


@pytest.fixture
def lent(archive: Archive, tmp_path: Path) -> dict[str, str]:
    """Configure the archive's hosts to open its index through a package; the environment that has this package."""
    path = address.sqlite_path(archive.url)
    if path is not None:
        made = f"SqliteDatabase({path!r})"
    else:
        server = address.server(archive.url)
        made = f"MySQLDatabase({server.name!r}, user={server.user!r}, unix_socket={server.socket!r})"
    source = SOURCE.format(made=made, fails=str(tmp_path / "fails"), asked=str(tmp_path / "asked"))
    points = {DATABASE: {"site": "CONNECTOR", "text": "TEXT"}, DETECT: {"it": "detect"}}
    at = install(tmp_path, Package("site-db", source, points))
    use(archive, "site")
    return {"PYTHONPATH": str(at)}


def use(archive: Archive, name: str) -> None:
    conf = archive.configure()
    conf.write_text(conf.read_text().replace(f"url = {json.dumps(archive.url)}", f'extension = "{name}"'))


def test_everything_works_on_the_index_of_a_package(
    archive: Archive, lent: dict[str, str], tmp_path: Path
) -> None:
    def said(*arguments: str, status: int = 0) -> str:
        result = archive.run(*arguments, environ=lent)
        assert result.status == status, result
        return result.out + result.err

    for name in ("a", "b", "c"):
        archive.node(name, archive=int(name != "a"), **({"auto_import": 1} if name == "a" else {}))
    ids = [archive.file(f"acq/{number}", None, "a") for number in range(20)]
    archive.put("a", "acq/new", b"new")
    requests = archive.requests(ids, "a", "b") + archive.requests(ids, "a", "c")
    said("file", "import", "acq/new", "a", "--register-new")
    archive.synced(environ=lent)
    assert {archive.state(request) for request in requests} == {"done"}
    assert archive.one("SELECT COUNT(*) FROM archivefile WHERE name = 'new'") == 1
    assert not archive.violations()

    assert "No change" in said("db", "init") and "pass" in said("db", "check")
    (tmp_path / "backups").mkdir()
    backup = ("db", "backup", str(tmp_path / "backups"))
    assert "21 files" in said(*backup)
    # Without a directory it is beside the file of the package.
    said(*backup[:2], status=0 if archive.index.dialect.in_a_file else 1)
    found = said("doctor")
    assert (
        "the index of the extension site can be reached" in found and "site-db connects to the index" in found
    )
    assert ("has no read time-out" in found) is not archive.index.dialect.in_a_file
    assert "database.extension" in said("config", "show") and archive.url not in said("config", "show")
    said("status")


def test_workers_that_are_started_later_have_no_connection(
    archive: Archive, lent: dict[str, str], tmp_path: Path
) -> None:
    archive.node("field", auto_import=1)
    for name in ("a", "kills", "z"):
        put(archive, f"acq/{name}")
    running = archive.start("sync", environ=lent)
    result = running.result()
    assert result.status == 1 and "acq/kills" in result.err
    assert registered(archive) == {("acq", "a"), ("acq", "z")}
    # Closed and opened again by this process, and by no other.
    asked = (tmp_path / "asked").read_text().split()
    assert len(asked) > 1 and set(asked) == {str(running.process.pid)}
    assert archive.one("SELECT ended IS NOT NULL FROM sync_run") == 1


def failed(archive: Archive, environ: dict[str, str], *arguments: str) -> Result:
    before = archive.dump()
    result = archive.run(*arguments, environ=environ)
    assert result.status == 3 and archive.dump() == before, result
    assert len(result.err.splitlines()) == 1, result
    return result


@pytest.mark.one_engine
def test_a_package_that_cannot_be_used_is_one_message_and_changes_nothing(
    archive: Archive, lent: dict[str, str], tmp_path: Path
) -> None:
    archive.node("a", auto_import=1)
    fails = tmp_path / "fails"
    fails.write_text("mysql://user:s3cret@host: no route")
    for command in (("sync",), ("status",), ("db", "init"), ("host", "create", "x")):
        result = failed(archive, lent, *command)
        assert "index of the extension site: the package cannot connect: RuntimeError" in result.err
        assert "s3cret" not in result.err
    assert "the package cannot connect" in archive.run("doctor", environ=lent).out
    fails.unlink()
    use(archive, "text")
    assert "of site-db 0.1 (site_db:TEXT): str is not an alpenhorn" in failed(archive, lent, "sync").err
    use(archive, "sight")
    missing = failed(archive, lent, "sync").err
    assert 'extension = "sight": no installed package provides it; installed: site, text' in missing
    shown = {one["name"]: one["error"] for one in archive.run("plugins", "--json", environ=lent).json}
    assert shown["site"] is None and "is not an alpenhorn.index.connector.Connector" in shown["text"]


@pytest.mark.one_engine
def test_an_index_has_one_configuration(archive: Archive, lent: dict[str, str]) -> None:
    said = archive.run("status", environ={**lent, "ALPENHORN_DATABASE_URL": archive.url})
    assert said.status == 3 and "database.url: not used with database.extension in" in said.err
    conf = archive.base / "here.toml"
    conf.write_text(conf.read_text().replace("[sync]", 'password_file = "/p"\nssl_ca = "/c"\n[sync]'))
    said = archive.run("config", "validate", environ=lent)
    assert said.status == 3
    for key in ("password_file", "ssl_ca"):
        assert f"database.{key}: not used with database.extension in {conf}; remove one of them" in said.err
    use(archive, "site")
    setup = ("init", "--check", "--keep", str(archive.base / "k"), "--on", str(archive.base / "o"))
    said = archive.run(*setup, "--index", "sqlite:////other", environ=lent)
    assert said.status == 1 and "another index is configured in" in said.err
    said = archive.run(*setup, "--password-file", str(conf), environ=lent)
    assert said.status == 1 and "the extension site connects to the index" in said.err
