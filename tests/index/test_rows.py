"""The door for the rows of an SQLite index, in whose columns other programs leave anything."""

import sqlite3

import peewee as pw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alpenhorn.errors import IndexUnusable, Refused
from alpenhorn.index import rows
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import create
from alpenhorn.index.tables import ALPENHORN_TABLES, SYNC_TABLES

KINDS = {
    **dict.fromkeys((pw.AutoField, pw.BigAutoField, pw.IntegerField, pw.BigIntegerField), rows.INTEGERS),
    **dict.fromkeys((pw.BooleanField, pw.ForeignKeyField), rows.INTEGERS),
    pw.FloatField: rows.FLOATS,
    pw.DateTimeField: rows.DATES,
}
ANYTHING = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


@pytest.fixture
def sqlite_index(sqlite_index_url):
    index = Index.open(sqlite_index_url, create=True)
    create(index)
    yield index
    index.close()


def a_file(index, **columns):
    index.execute("INSERT INTO archiveacq (id, name) VALUES (3, 'acq')")
    values = {
        "id": 7,
        "acq_id": 3,
        "name": "f",
        "size_b": 5,
        "md5sum": "00",
        "registered": "2026-01-01",
    } | columns
    marks = ", ".join("?" * len(values))
    index.execute(f"INSERT INTO archivefile ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def fault(row):
    return getattr(row, "fault", "")


def read(index):
    return index.execute("SELECT f.id, f.acq_id, f.name, f.size_b, f.md5sum FROM archivefile f").fetchone()


def test_the_names_of_columns_mean_what_the_models_say():
    for table in (*ALPENHORN_TABLES, *SYNC_TABLES):
        for field in table._meta.sorted_fields:
            assert field.column_name in KINDS.get(type(field), rows.TEXTS), (table, field)


@pytest.mark.parametrize(
    ("column", "stored", "said"),
    [
        ("size_b", "abc", "row 7 of archivefile: size_b holds the text 'abc' instead of an integer"),
        ("size_b", 5.5, "row 7 of archivefile: size_b holds the number 5.5 instead of an integer"),
        ("size_b", b"\xff", "row 7 of archivefile: size_b holds the bytes b'\\xff' instead of an integer"),
        ("md5sum", b"\xff", "row 7 of archivefile: md5sum holds the bytes b'\\xff' instead of text in UTF-8"),
        (
            "acq_id",
            "x" * 99,
            f"row 7 of archivefile: acq_id holds the text '{'x' * 39}… instead of an integer",
        ),
    ],
)
def test_situation_18_a_value_that_fits_no_column_is_unknown_and_its_row_is_named(
    sqlite_index, column, stored, said
):
    a_file(sqlite_index, **{column: stored})
    row = read(sqlite_index)
    assert (None in row or rows.UNREADABLE in row) and row[0] == 7
    assert fault(row) == f"{said}; correct the row in the index"
    assert fault(row).code == "odd-value"
    read(sqlite_index)
    assert list(sqlite_index.odd) == [fault(row)]


def test_a_row_with_fitting_values_has_no_fault(sqlite_index):
    a_file(sqlite_index, size_b=2**63 - 1, md5sum=None)
    assert read(sqlite_index) == (7, 3, "f", 2**63 - 1, None)
    assert not fault(read(sqlite_index)) and not sqlite_index.odd


def test_situation_27_text_that_is_not_utf_8_is_unknown_and_its_row_is_named(sqlite_index):
    a_file(sqlite_index)
    sqlite_index.execute("UPDATE archivefile SET name = CAST(x'61ff' AS TEXT)")
    assert read(sqlite_index) == (7, 3, rows.UNREADABLE, 5, "00")
    assert "row 7 of archivefile: name holds the bytes b'a\\xff'" in next(iter(sqlite_index.odd))


def test_a_state_that_cannot_be_read_is_one_that_is_to_be_checked_first(sqlite_index):
    a_file(sqlite_index)
    sqlite_index.execute(
        "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, last_update)"
        " VALUES (7, 1, x'59', x'4e', 1, 5)"
    )
    assert sqlite_index.execute("SELECT has_file, wants_file FROM archivefilecopy").fetchone() == ("M", "Y")


@pytest.mark.parametrize("size", [2**63 - 1, 2**62, "abc", b"\xff", float("inf")])
def test_situation_12_lengths_near_the_largest_number_are_added_up(sqlite_index, size):
    a_file(sqlite_index, size_b=size)
    sqlite_index.execute(
        "INSERT INTO archivefile (acq_id, name, size_b, registered) SELECT acq_id, 'g', size_b, 5 FROM archivefile"
    )
    (total,) = sqlite_index.execute("SELECT SUM(f.size_b) FROM archivefile f").fetchone()
    assert type(total) is int and 0 <= total < 2**63


def test_situation_27_damage_that_is_met_while_rows_are_read_is_explained(sqlite_index, sqlite_index_url):
    a_file(sqlite_index)
    sqlite_index.executemany(
        "INSERT INTO archivefile (acq_id, name, registered) VALUES (3, ?, 5)",
        [(f"{n:0200}",) for n in range(2000)],
    )
    path = sqlite_index_url.removeprefix("sqlite:///")
    sqlite_index.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with open(path, "r+b") as file:
        file.seek(0, 2)
        end = file.tell()
        file.seek(end // 2)
        file.write(b"\xa5" * (end // 4))
    index = Index.open(sqlite_index_url)
    try:
        with pytest.raises(IndexUnusable, match="is damaged"):
            index.execute("SELECT id, name FROM archivefile NOT INDEXED").fetchall()
        with pytest.raises(IndexUnusable, match="is damaged"):
            list(index.execute("SELECT id, name FROM archivefile NOT INDEXED"))
    finally:
        index.close()


def test_situation_1_messages_are_stored_whatever_they_quote_and_names_are_refused(index):
    """Also on a server."""
    strange = "caf\udce9 \ud800"
    sql = "INSERT INTO sync_index (name, value) VALUES (?, ?)"
    index.execute(sql, ("a", strange))
    index.executemany(sql, [("b", "plain"), ("c", strange)])
    stored = index.execute("SELECT value FROM sync_index ORDER BY name").fetchall()
    assert [row[0] for row in stored] == ["caf\\udce9 \\ud800", "plain", "caf\\udce9 \\ud800"]
    with pytest.raises(Refused, match="cannot hold text that is not UTF-8"):
        index.execute("INSERT INTO archiveacq (name) VALUES (?)", (strange,))
    with pytest.raises(Refused, match="larger than the index can hold"):
        sqlite_overflow(index)


def sqlite_overflow(index):
    if not index.dialect.in_a_file:
        raise Refused("a server compares it: larger than the index can hold")
    index.execute("SELECT id FROM archiveacq WHERE id = ?", (2**64,))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(ANYTHING, min_size=5, max_size=5))
def test_no_row_is_an_error_whatever_its_columns_hold(sqlite_index, data):
    sqlite_index.execute("DELETE FROM archivefile")
    sqlite_index.execute("DELETE FROM archiveacq")
    names = ("acq_id", "name", "size_b", "md5sum", "registered")
    try:
        a_file(sqlite_index, **dict(zip(names, data, strict=True)))
    except pw.IntegrityError:
        return
    kinds = (int, int, str, int, str)
    assert all(type(cell) in (kind, type(None)) for cell, kind in zip(read(sqlite_index), kinds, strict=True))


def test_an_index_may_lie_below_a_directory_whose_name_is_not_utf_8(tmp_path):
    for _ in range(2):
        index = Index.open(f"sqlite:///{tmp_path}/\udcff?#%/index.db", create=True)
        index.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY)")
        index.close()
    assert [path.name for path in tmp_path.iterdir()] == ["\udcff?#%"]
