"""`alpenhorn plugins` with installed packages, sound ones and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alpenhorn import __version__
from tests.fixtures.archive import Archive, Result
from tests.fixtures.packages import Package, install

IO, DETECT, INDEX = "alpenhorn.io", "alpenhorn.import_detect", "alpenhorn.index"

CLASS = """
from alpenhorn.io.base import Node, StorageClass
from alpenhorn.io.default import DefaultGroup, DefaultNode, DefaultRemote

class Former(Node):
    pass

class Mine(DefaultNode):
    pass

GOOD = StorageClass(Mine, DefaultGroup, DefaultRemote)
GROUP_AS_NODE = StorageClass(DefaultGroup, None, None)
FORMER = StorageClass(Former, None, None)
EMPTY = StorageClass(None, None, None)
TEXT = "a text"
"""

ABSTRACT = """
from alpenhorn.io.base import Group, StorageClass

class Half(Group):
    pass

CLASS = StorageClass(None, Half, None)
"""

TABLES = """
import peewee as pw
from alpenhorn.index.components import Component, PackageTable

class Note(PackageTable):
    text = pw.TextField()
    class Meta:
        table_name = "{table}"

COMPONENT = Component({name!r}, {version!r}, (Note,))
"""


def ask(archive: Archive, at: Path, *options: str) -> Result:
    return archive.run("plugins", *options, environ={"PYTHONPATH": str(at)})


def found(archive: Archive, at: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By point, name and package; of what does not come with alpenhorn."""
    result = ask(archive, at, "--json")
    documents = [one for one in result.json if one["package"] != "alpenhorn"]
    assert result.status == (1 if any(one["error"] for one in documents) else 0), result
    return {(one["point"], one["name"], one["package"]): one for one in documents}


def test_without_packages_the_built_in_classes_are_shown(sqlite_archive: Archive, tmp_path: Path) -> None:
    result = ask(sqlite_archive, tmp_path)
    assert result.status == 0 and not result.err
    rows = [line.split() for line in result.out.splitlines()[2:]]
    assert [IO, "Transport", "alpenhorn", __version__, "built", "in"] in rows
    assert {row[2] for row in rows} == {"alpenhorn"}


def test_the_example_is_found_at_every_point(index_url: str, tmp_path: Path, example: Path) -> None:
    archive = Archive(tmp_path, index_url)
    package = "alpenhorn-example"
    brought = found_names(archive, example)
    assert brought == {
        (IO, "Balanced", package): None,
        (DETECT, "observations", package): None,
        (INDEX, "observations", package): "the index lacks its tables; run `alpenhorn db init`",
    }
    archive.run("db", "init", environ={"PYTHONPATH": str(example)})
    assert set(found_names(archive, example).values()) == {None}
    text = ask(archive, example).out
    assert "Balanced" in text and "1.2" in text and "loaded" in text
    archive.do("UPDATE dataindexversion SET version = 7 WHERE component = 'alpenhorn-example'")
    told = found_names(archive, example)[INDEX, "observations", package]
    assert told == ("the index has version 7, the package needs version 1; install a newer package")


def found_names(archive: Archive, at: Path) -> dict[tuple[str, str, str], str | None]:
    return {key: one["error"] for key, one in found(archive, at).items()}


def test_plugins_shows_packages_that_fail_to_load_and_loads_the_others(
    sqlite_archive: Archive, tmp_path: Path
) -> None:
    at = install(
        tmp_path,
        Package("raises", "raise RuntimeError('no licence')", {IO: {"Raises": "X"}, DETECT: {"raises": "X"}}),
        Package("leaves", "import sys; sys.exit(3)", {IO: {"Leaves": "X"}, INDEX: {"leaves": "X"}}),
        Package("half-written", "X = (", {DETECT: {"half": "X"}}),
        Package("needy", "import a_module_that_nobody_has", {INDEX: {"needy": "X"}}),
        Package(
            "mixed",
            CLASS,
            {
                IO: {
                    "Good": "GOOD",
                    "Wrong": "GROUP_AS_NODE",
                    "Former": "FORMER",
                    "Empty": "EMPTY",
                    "Text": "TEXT",
                    "Gone": "NOT_THERE",
                    "Default": "GOOD",
                },
                DETECT: {"text": "TEXT"},
                INDEX: {"text": "TEXT"},
            },
        ),
        Package("abstract", ABSTRACT, {IO: {"Abstract": "CLASS"}}),
        Package("first", CLASS, {IO: {"Twice": "GOOD"}}),
        Package("second", CLASS, {IO: {"Twice": "GOOD"}}),
    )
    told = found_names(sqlite_archive, at)
    assert told.pop((IO, "Good", "mixed")) is None
    expected = {
        (IO, "Raises", "raises"): "RuntimeError('no licence')",
        (DETECT, "raises", "raises"): "RuntimeError('no licence')",
        (IO, "Leaves", "leaves"): "SystemExit(3)",
        (INDEX, "leaves", "leaves"): "SystemExit(3)",
        (DETECT, "half", "half-written"): "SyntaxError",
        (INDEX, "needy", "needy"): "No module named 'a_module_that_nobody_has'",
        (IO, "Wrong", "mixed"): "its node is not a subclass of alpenhorn.io.base.Node",
        (IO, "Former", "mixed"): "derive it from alpenhorn.io.base.DirectoryNode",
        (IO, "Empty", "mixed"): "its StorageClass has no node, group or remote",
        (IO, "Text", "mixed"): "it is str, not an alpenhorn.io.base.StorageClass",
        (IO, "Gone", "mixed"): "NOT_THERE",
        (IO, "Default", "mixed"): "alpenhorn has a class of that name and uses its own",
        (DETECT, "text", "mixed"): "it is str, and cannot be called",
        (INDEX, "text", "mixed"): "not an alpenhorn.index.components.Component",
        (IO, "Abstract", "abstract"): "does not define choose",
        (IO, "Twice", "first"): "second provides the same name, so neither is used",
        (IO, "Twice", "second"): "first provides the same name, so neither is used",
    }
    assert set(told) == set(expected)
    for key, text in expected.items():
        assert text in (told[key] or ""), key

    # Nothing of that stops a run, and a node of such a class is left out with the reason.
    environ = {"PYTHONPATH": str(at)}
    sqlite_archive.node("plain")
    sqlite_archive.file("acq/f", b"bytes", "plain")
    for name in ("Twice", "Raises", "Good", "Default"):
        sqlite_archive.node(name.lower(), io_class=name)
    result = sqlite_archive.sync(environ=environ)
    assert result.status == 0
    assert "node twice is left out: the storage class Twice of first 0.1" in result.err
    assert "node raises is left out" in result.err and "no licence" in result.err
    assert "node good" not in result.err and "node default" not in result.err
    # What is edited is checked in the same way.
    create = ("node", "create", "new", "--create-group", "--class")
    refused = sqlite_archive.run(*create, "Twice", environ=environ)
    assert refused.status == 1 and "neither is used" in refused.err and "nothing was changed" in refused.err
    assert sqlite_archive.run(*create, "Good", environ=environ).status == 0


@pytest.mark.parametrize(
    ("table", "name", "version", "told"),
    [
        ("archivefile", "mine", 1, "table archivefile: reserved by alpenhorn"),
        ("ArchiveFile", "mine", 1, "reserved by alpenhorn"),
        ("sync_mine", "mine", 1, "table sync_mine: reserved by alpenhorn"),
        ("mine", "sync", 1, "component name sync: reserved by alpenhorn"),
        ("mine", "", 1, "must be text of 1 to 256 characters"),
        ("mine", "mine", "1", "must be an integer of at least 1"),
        ("mine", "mine", True, "must be an integer of at least 1"),
    ],
)
def test_tables_that_no_package_may_have_are_refused(
    sqlite_archive: Archive, tmp_path: Path, table: str, name: str, version: Any, told: str
) -> None:
    source = TABLES.format(table=table, name=name, version=version)
    at = install(tmp_path, Package("bold", source, {INDEX: {"bold": "COMPONENT"}}))
    before = sqlite_archive.dump()
    assert told in (found_names(sqlite_archive, at)[INDEX, "bold", "bold"] or "")
    result = sqlite_archive.run("db", "init", environ={"PYTHONPATH": str(at)})
    assert result.status == 0 and told in result.err
    assert sqlite_archive.dump() == before


@pytest.mark.parametrize(
    ("names", "tables"), [(("same", "same"), ("a", "b")), (("a", "b"), ("Same", "same"))]
)
def test_of_two_packages_that_want_the_same_neither_is_taken(
    sqlite_archive: Archive, tmp_path: Path, names: tuple[str, str], tables: tuple[str, str]
) -> None:
    at = install(
        tmp_path,
        *(
            Package(
                f"package{number}",
                TABLES.format(table=tables[number], name=names[number], version=1),
                {INDEX: {f"entry{number}": "COMPONENT"}},
            )
            for number in range(2)
        ),
    )
    told = found_names(sqlite_archive, at)
    assert len(told) == 2 and all(why and "same" in why for why in told.values())
    before = set(sqlite_archive.index.db.get_tables())
    sqlite_archive.run("db", "init", environ={"PYTHONPATH": str(at)})
    assert set(sqlite_archive.index.db.get_tables()) == before


def test_without_an_index_what_packages_bring_is_shown_all_the_same(
    sqlite_archive: Archive, example: Path, tmp_path: Path
) -> None:
    conf = sqlite_archive.configure(database={"url": f"sqlite:///{tmp_path}/none.db"})
    result = sqlite_archive.run("plugins", conf=conf, environ={"PYTHONPATH": str(example)})
    assert result.status == 0 and "observations" in result.out
    assert "tables of extensions: not checked" in result.err and not (tmp_path / "none.db").exists()
