"""Names that the tables of an index on a server cannot hold, where these have another character set than utf8mb4.

The alpenhorn daemon makes its tables with the server's default, which on many servers is latin1 or utf8mb3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from alpenhorn.errors import Refused
from alpenhorn.reasons import Code

if TYPE_CHECKING:
    from alpenhorn.index.mariadb import MariaDB

# What the paths of files are made of, and the names that commands are given.
NAMES = (
    ("archiveacq", "name"),
    ("archivefile", "name"),
    ("archivefileimportrequest", "path"),
    ("storagegroup", "name"),
    ("storagehost", "name"),
    ("storagenode", "name"),
    ("storagenode", "root"),
)
ALL = "utf8mb4"
# In the place of a text that no row can have; neither can any have this one.
NO_NAME = "\0"
_TEXTS = 100  # in one question
_REMEDY = "run `alpenhorn db upgrade`, which converts the tables to utf8mb4"
UNHELD = Code.NAME_NOT_HELD()

# Codes of MariaDB and MySQL for a text that a column cannot hold, and for a comparison with one.
UNHOLDABLE = {1366}
INCOMPARABLE = {1267, 1270, 1271, 3854}


class CannotHold(Refused):
    """A text has a character that the tables' character set lacks; nothing was changed."""


class CannotCompare(CannotHold):
    """As CannotHold, in a comparison."""


def explained(where: str, code: object, text: str) -> CannotHold | None:
    """What an error of the server means, where it is about the characters of a text."""
    wrong = f"{where} cannot hold some character of a text that it was given; {_REMEDY} ({text})"
    if code in INCOMPARABLE:
        return CannotCompare(wrong)
    # The same code is used for numbers.
    return CannotHold(wrong) if code in UNHOLDABLE and "string" in text else None


def narrow(db: MariaDB) -> tuple[str, ...]:
    """The character sets of names, without ALL."""
    where = " OR ".join(["(table_name = %s AND column_name = %s)"] * len(NAMES))
    rows = db.execute_sql(
        "SELECT DISTINCT character_set_name FROM information_schema.columns"
        f" WHERE table_schema = DATABASE() AND ({where})",
        tuple(part for name in NAMES for part in name),
    ).fetchall()
    return tuple(sorted(name for (name,) in rows if name not in (None, ALL)))


def narrow_tables(db: MariaDB, tables: Iterable[str]) -> list[tuple[str, str]]:
    """(table, its character sets) of those of the tables that have texts in another one than ALL."""
    wanted = tuple(tables)
    rows = db.execute_sql(
        "SELECT table_name, GROUP_CONCAT(DISTINCT character_set_name ORDER BY character_set_name SEPARATOR ', ')"
        " FROM information_schema.columns WHERE table_schema = DATABASE() AND character_set_name <> %s"
        f" AND table_name IN ({', '.join(['%s'] * len(wanted))}) GROUP BY table_name ORDER BY table_name",
        (ALL, *wanted),
    ).fetchall()
    return [(table, sets) for table, sets in rows]


def cannot_hold(db: MariaDB, sets: Iterable[str], texts: Iterable[str]) -> frozenset[str]:
    """Those of the texts that one of the character sets has not; the server is asked, which knows."""
    found: set[str] = set()
    wanted = [text for text in dict.fromkeys(texts) if not text.isascii()]
    for name in sets:
        for some in (wanted[start : start + _TEXTS] for start in range(0, len(wanted), _TEXTS)):
            kept = f"CAST(CONVERT(CONVERT(%s USING {name}) USING utf8mb4) AS BINARY) = CAST(%s AS BINARY)"
            sql = f"SELECT {', '.join([kept] * len(some))}"
            row = db.execute_sql(sql, tuple(text for text in some for _ in range(2))).fetchone()
            found.update(text for text, same in zip(some, row, strict=True) if not same)
    return frozenset(found)


def comparable(params: Iterable[Any], unheld: frozenset[str]) -> Iterator[Any]:
    """The values of a SELECT in which what no row can have is replaced by what no row has."""
    for value in params:
        yield NO_NAME if isinstance(value, str) and value in unheld else value
