"""The differences between the engines are in one module."""

import re
from pathlib import Path

import pytest

import alpenhorn
from alpenhorn.index.dialect import MARIADB, SQLITE, Dialect

PACKAGE = Path(alpenhorn.__file__).parent
CAPABILITIES = ("in_a_file", "compares_bytes", "transactional_ddl")
ASKS = re.compile(
    rf"\.(?:sqlite|{'|'.join(CAPABILITIES)})\b|\b(?:SQLiteDialect|MariaDBDialect|SqliteDatabase|MySQLDatabase)\b"
    r"|index\.dialect import"
)


def test_no_module_outside_of_index_asks_which_engine_it_is():
    asking = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] != "index"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ASKS.search(line)
    ]
    assert asking == []


def test_pattern_for_checks_of_the_engine_finds_them():
    assert ASKS.search("lock = '' if index.sqlite else ' FOR UPDATE'")
    assert ASKS.search("if index.dialect.in_a_file:") and ASKS.search(
        "from alpenhorn.index.dialect import SQLITE"
    )
    assert not ASKS.search("lock = index.dialect.for_update")


def test_every_capability_is_one_that_the_pattern_looks_for():
    flags = {name for name, kind in Dialect.__annotations__.items() if kind == "bool"}
    assert flags == set(CAPABILITIES)


def test_both_dialects_define_every_name():
    for name in (*Dialect.__annotations__, *(name for name in vars(Dialect) if not name.startswith("_"))):
        assert hasattr(SQLITE, name) and hasattr(MARIADB, name)


def test_an_index_has_the_dialect_of_its_engine(index):
    sql = index.dialect.statement("SELECT SUM(1), ?")
    assert sql == ("SELECT TOTAL(1), ?" if index.dialect is SQLITE else "SELECT SUM(1), %s")


@pytest.mark.parametrize("one", [SQLITE, MARIADB])
def test_names_are_quoted_whatever_they_hold(one):
    mark = one.quoted("x")[0]
    assert one.quoted(f"a{mark}b") == f"{mark}a{mark}{mark}b{mark}"


def test_marks_in_texts_stay_as_they_are():
    assert MARIADB.statement("a = ? AND b = 'it''s ? 5%'") == "a = %s AND b = 'it''s ? 5%%'"
