"""Shapes of an index, told by its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.shapes import MODELS, FoundTables, Shape, complaint, describe, shape_of
from alpenhorn.index.versions import OLD_COLUMNS
from tests.index.daemon import make_daemon_index
from tests.index.older import RC1, RC2, make_older_index

URL = "sqlite:////srv/index.db"


@pytest.fixture
def empty(index_url: str) -> Iterator[Index]:
    index = Index.open(index_url, create=True)
    yield index
    index.close()


def found(**changes: Any) -> FoundTables:
    """Today's tables, changed: `without` and `plus` are columns TABLE.COLUMN, `gone` tables."""
    columns = {name: dict.fromkeys(table._meta.columns, False) for name, table in MODELS.items()}
    for name in changes.get("gone", ()):
        del columns[name]
    for column in changes.get("without", ()):
        table, _, name = column.partition(".")
        del columns[table][name]
    for column, needed in changes.get("plus", {}).items():
        table, _, name = column.partition(".")
        columns[table][name] = needed
    return FoundTables(frozenset(columns), columns, changes.get("versions", {"alpenhorn": 2}))


OLD = {f"storagenode.{column}": False for column in OLD_COLUMNS}
RC = {"gone": ["storagehost"], "without": ["storagenode.host_id", "storagenode.archive"], "plus": OLD}


@pytest.mark.parametrize(
    ("changes", "shape", "words"),
    [
        ({}, Shape.CURRENT, "today's tables"),
        ({"gone": list(MODELS)}, Shape.EMPTY, "no tables yet"),
        ({"gone": ["archivefile", "storagenode"]}, Shape.CURRENT, "today's tables"),
        ({"plus": {"storagenode.colour": True}}, Shape.CURRENT, "today's tables"),
        ({"plus": {"storagenode.address": False}}, Shape.CURRENT, "today's tables"),
        (RC, Shape.RC2, "host, username, address, storage_type"),
        (RC | {"versions": None}, Shape.RC1, "no version"),
        (RC | {"versions": {"other": 7}}, Shape.RC1, "no version"),
        (RC | {"gone": []}, Shape.HALF, "beside them, the table storagehost"),
        (RC | {"without": ["storagenode.archive"]}, Shape.HALF, "beside them, the column host_id"),
        ({"plus": OLD}, Shape.HALF, "the column host_id and the column archive and the table storagehost"),
        (RC | {"plus": {**OLD, "archiveacq.inst_id": True}}, Shape.UNKNOWN, "archiveacq.inst_id"),
        (RC | {"plus": {**OLD, "archiveacq.weight": False}}, Shape.RC2, "storage_type"),
        (RC | {"plus": {"storagenode.host": False}}, Shape.UNKNOWN, "not username, address, storage_type"),
        (
            RC | {"without": [*RC["without"], "archivefile.registered"]},
            Shape.UNKNOWN,
            "archivefile.registered",
        ),
        (RC | {"without": [*RC["without"], "archivefilecopy.ready"]}, Shape.RC2, "storage_type"),
        ({"without": ["storagenode.host_id"]}, Shape.UNKNOWN, "no column storagenode.host_id"),
        ({"without": ["archivefile.md5sum"]}, Shape.UNKNOWN, "no column archivefile.md5sum"),
    ],
)
def test_a_shape_is_told_by_its_columns(changes: dict[str, Any], shape: Shape, words: str) -> None:
    told, why = shape_of(found(**changes))
    assert told is shape
    assert words in why
    said = complaint(found(**changes), URL)
    assert bool(said) == (shape not in (Shape.CURRENT, Shape.EMPTY))
    if said:
        assert URL in said and why in said and "nothing was changed" in said


@pytest.mark.parametrize(("release", "shape"), [(RC1, Shape.RC1), (RC2, Shape.RC2)])
def test_the_index_of_a_release_is_recognised(empty: Index, release: str, shape: Shape) -> None:
    assert shape_of(describe(empty))[0] is Shape.EMPTY
    make_older_index(empty, release)
    assert shape_of(describe(empty))[0] is shape
    assert f"alpenhorn {release}" in complaint(describe(empty), empty.url)


def test_the_index_of_the_daemon_is_todays(empty: Index) -> None:
    make_daemon_index(empty)
    assert shape_of(describe(empty))[0] is Shape.CURRENT


def test_a_column_that_needs_a_value_is_seen_as_such(empty: Index) -> None:
    make_older_index(empty)
    empty.execute("ALTER TABLE archiveacq ADD COLUMN inst_id INTEGER NOT NULL DEFAULT 0")
    assert shape_of(describe(empty))[0] is Shape.RC2
    if not empty.dialect.in_a_file:
        empty.execute("ALTER TABLE archiveacq ALTER COLUMN inst_id DROP DEFAULT")
        assert shape_of(describe(empty))[0] is Shape.UNKNOWN
