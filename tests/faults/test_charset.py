"""Situation 2: the daemon's tables in latin1 or utf8mb3, and names with characters that these have not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from alpenhorn.errors import IndexUnusable
from alpenhorn.index import upgrade
from alpenhorn.index.charset import CannotHold
from alpenhorn.index.connection import Index
from tests.fixtures.archive import Archive
from tests.fixtures.index import MariaDBServer
from tests.index.daemon import make_daemon_index

_numbers = itertools.count(1)


class Narrow(NamedTuple):
    charset: str
    archive: Archive
    held: str  # names, of which the tables can hold the first
    unheld: str


@pytest.fixture(params=["latin1", "utf8mb3"])
def narrow(request: pytest.FixtureRequest, mariadb: MariaDBServer, tmp_path: Path) -> Iterator[Narrow]:
    name = f"narrow_{next(_numbers)}"
    mariadb.run(f"CREATE DATABASE {name} CHARACTER SET {request.param}")
    try:
        index = Index.open(mariadb.url(name))
        make_daemon_index(index)
        index.close()
        archive = Archive(tmp_path, mariadb.url(name))
        held, unheld = {"latin1": ("é", "Ω"), "utf8mb3": ("Ω", "😀")}[request.param]
        yield Narrow(request.param, archive, held, unheld)
        archive.close()
    finally:
        mariadb.run(f"DROP DATABASE {name}")


def test_situation_02_a_name_that_cannot_be_stored_affects_only_itself(narrow: Narrow) -> None:
    charset, archive, held, unheld = narrow
    archive.configure(sync={"import_settle": 0})
    archive.node("field", auto_import=1)
    archive.node("safe", archive=1)
    request = archive.request(archive.file("old/file", b"bytes", "field"), "field", "safe")
    for path in ("acq/plain", f"acq/{held}", f"acq/{unheld}", f"{unheld}/plain", f"acq/dir {unheld}/plain"):
        archive.put("field", path, path.encode())
    for _ in range(2):  # it is told as long as it lasts
        result = archive.sync()
        assert result.status == 0, result
        assert (
            unheld in result.err
            and "(3 times)" in result.err
            and "to convert them to utf8mb4: alpenhorn db upgrade" in result.err
        )
    assert archive.state(request) == "done"
    assert names(archive) == {"file", "plain", held}
    # A request of somebody, and look-ups.
    assert archive.run("file", "show", f"acq/{held}").status == 0
    for words in (
        ["file", "show", f"acq/{unheld}"],
        ["file", "show", f"{unheld}/plain"],
        ["file", "verify", f"acq/{unheld}", "field"],
    ):
        missing = archive.run(*words)
        assert missing.status == 1 and "no file called" in missing.err, missing
    for words in (
        ["acq", "create", unheld],
        ["host", "create", unheld],
        ["file", "import", f"x/{unheld}", "field"],
    ):
        refused = archive.run(*words)
        assert refused.status == 1 and "db upgrade" in refused.err, refused
    check = archive.run("db", "check")
    assert (
        check.status == 0
        and "names with some characters are rejected, and different names may be treated as equal"
        in check.out
    )
    assert archive.run("reconcile").status in (0, 1)  # what lies there and is not registered is told
    # The remedy.
    plan = archive.run("db", "upgrade", "--check")
    # MariaDB 10.5 calls utf8mb3 utf8.
    assert f"convert the table archivefile from the character set {charset.removesuffix('mb3')}" in plan.out
    assert archive.run("db", "upgrade").status == 1  # nobody there to say yes
    done = archive.run("db", "upgrade", "--force", "--dump", str(archive.base / "dump"))
    assert done.status == 0 and (archive.base / "dump").stat().st_size, done
    assert "nothing to upgrade" in archive.run("db", "upgrade").out
    archive.synced()
    assert names(archive) == {"file", "plain", held, unheld, f"dir {unheld}/plain"}
    assert archive.violations() == []
    assert "names are compared byte for byte" in archive.run("db", "check").out


def names(archive: Archive) -> set[str]:
    return {name for (name,) in archive.all("SELECT name FROM archivefile")}


def test_situation_02_a_conversion_that_is_cut_short_is_finished_by_the_next(
    narrow: Narrow, tmp_path: Path
) -> None:
    charset, archive, held, _ = narrow
    index = archive.index
    archive.file(f"acq/{held}", b"bytes")
    before = archive.dump()
    _, why, planned = upgrade.prepare(index)
    assert planned is not None and charset.removesuffix("mb3") in why
    steps = upgrade.upgrade(index, planned, tmp_path / "first")
    taken = [next(steps) for _ in range(4)]
    steps.close()
    _, _, rest = upgrade.prepare(index)
    assert rest is not None and [*taken[1:], *rest.steps] == list(planned.steps)
    assert list(upgrade.upgrade(index, rest, tmp_path / "second"))[1:] == list(rest.steps)
    assert upgrade.prepare(index)[2] is None
    assert archive.dump() == before


def test_situation_02_lookups_and_writes_of_all_kinds(narrow: Narrow) -> None:
    _, archive, held, unheld = narrow
    index = archive.index
    archive.insert("archiveacq", name=held)
    for sql, values, found in (
        ("SELECT name FROM archiveacq WHERE name = ?", (unheld,), []),
        ("SELECT name FROM archiveacq WHERE name IN (?, ?)", (unheld, held), [held]),
        ("SELECT name FROM archiveacq WHERE name <> ?", (unheld,), [held]),
        ("SELECT name FROM archiveacq WHERE name LIKE ?", (f"{unheld}%",), []),
        ("SELECT name FROM archiveacq WHERE name IN (?, ?, ?)", ("a", held, f"{held}{unheld}"), [held]),
    ):
        with index.transaction():
            assert [name for (name,) in index.execute(sql, values)] == found
    assert index.cannot_hold(["plain", held, unheld, f"a{unheld}"]) == {unheld, f"a{unheld}"}
    for sql in ("INSERT INTO archiveacq (name) VALUES (?)", "UPDATE archiveacq SET name = ?"):
        with pytest.raises(CannotHold, match="db upgrade"):
            index.execute(sql, (unheld,))
        with pytest.raises(CannotHold, match="db upgrade"):
            index.executemany(sql, [("fine",), (unheld,)])
    assert not issubclass(CannotHold, IndexUnusable)  # which would end a run


def test_an_index_in_utf8mb4_is_not_asked_about_names(mariadb_archive: Archive) -> None:
    index = mariadb_archive.index
    assert index.cannot_hold(["plain", "Ω", "😀"]) == frozenset()
    assert upgrade.prepare(index)[2] is None
