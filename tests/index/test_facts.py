"""Conversion of rows to facts by the names of their columns."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

import alpenhorn
from alpenhorn.index import rows
from alpenhorn.index.connection import Index
from alpenhorn.index.facts import maker
from alpenhorn.index.rows import UNREADABLE
from alpenhorn.index.schema import create
from alpenhorn.reasons import Why

PACKAGE = Path(alpenhorn.__file__).parent


class File(NamedTuple):
    file_id: int
    name: str
    size_b: int | None
    good: bool = False
    fault: Why = ""


@pytest.fixture
def sqlite_index(sqlite_index_url):
    index = Index.open(sqlite_index_url, create=True)
    create(index)
    yield index
    index.close()


@pytest.mark.parametrize("order", [("file_id__id", "name", "size_b"), ("size_b", "name", "file_id__id")])
def test_the_order_of_the_columns_does_not_matter(index, order):
    values = {"file_id__id": 7, "name": "f", "size_b": 5}
    sql = "SELECT " + ", ".join(f"{values[name]!r} AS {name}" for name in order)
    assert index.facts(File, sql) == [File(7, "f", 5)]
    assert index.fact(File, sql) == File(7, "f", 5)
    assert list(index.stream(File, sql)) == [File(7, "f", 5)]
    assert type(index.facts(File, sql)[0]) is File


def test_a_field_in_the_middle_without_a_column_has_its_default():
    made = maker(File, ("file_id", "name", "size_b", "fault"))((7, "f", 5, "torn"))
    assert made == File(7, "f", 5, False, "torn")


def test_values_are_converted(index):
    sql = "SELECT 0 AS good, 7 AS file_id, 'f' AS name, NULL AS size_b"
    assert index.fact(File, sql, good=bool) == File(7, "f", None, False)
    assert index.fact(File, sql.replace("0 AS", "1 AS"), good=bool).good is True


@pytest.mark.parametrize(
    ("columns", "convert", "said"),
    [
        (("file_id", "name", "size_b", "md5sum"), (), "no field for the column md5sum"),
        (("file_id", "name"), (), "no column for the field size_b"),
        (("file_id", "name", "size_b", "size_b__bytes"), (), "two columns for the field size_b"),
        (("file_id", "name", "size_b"), (("good", bool),), "no field good to convert"),
    ],
)
def test_columns_that_are_not_the_fields_are_a_mistake_in_the_statement(columns, convert, said):
    with pytest.raises(TypeError, match=said):
        maker(File, columns, convert)


def test_query_without_rows_gives_no_facts_and_no_values(index):
    sql = "SELECT f.id AS file_id__id, f.name, f.size_b FROM archivefile f"
    assert index.facts(File, sql) == [] and index.fact(File, sql) is None
    assert (
        index.value("SELECT id FROM archivefile") is None and index.values("SELECT id FROM archivefile") == []
    )


def test_a_row_with_a_value_of_the_wrong_type_says_so_in_its_fact(sqlite_index):
    sqlite_index.execute("INSERT INTO archiveacq (id, name) VALUES (3, x'61ff')")
    sqlite_index.execute(
        "INSERT INTO archivefile (id, acq_id, name, size_b, registered) VALUES (7, 3, 'f', 'abc', 5)"
    )
    (made,) = sqlite_index.facts(
        File,
        "SELECT f.id AS file_id__id, a.name AS name, f.size_b AS size_b"
        " FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id",
    )
    assert made.name == UNREADABLE and made.size_b is None
    assert made.fault.code == "odd-value"


def test_a_sum_under_another_name_is_still_a_whole_number(sqlite_index):
    sqlite_index.executemany(
        "INSERT INTO archivefile (acq_id, name, size_b, registered) VALUES (3, ?, ?, 5)",
        [("f", 2**62), ("g", 2**62), ("h", 2**62)],
    )
    total = sqlite_index.value("SELECT SUM(f.size_b) AS bytes__sum FROM archivefile f")
    assert type(total) is int and total == 2**63 - 1


ALIAS = re.compile(r"\b[a-z]\.(\w+) AS (\w+)")


def test_every_renamed_column_keeps_the_name_by_which_its_values_are_checked():
    """With `h.name AS host`, the value would be checked as a host, and an unreadable name would pass."""
    wrong = []
    seen = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        for column, alias in ALIAS.findall(path.read_text()):
            seen += 1
            if alias.rpartition("__")[2] not in (column, "sum") and column in rows._NAMED:
                wrong.append(f"{path.relative_to(PACKAGE)}: {column} AS {alias}")
    assert seen and wrong == []
