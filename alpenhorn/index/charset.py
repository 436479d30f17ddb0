"""Names that the tables of an index on a server cannot store, because their character set is not utf8mb4.

The alpenhorn daemon creates its tables with the server's default, which on many servers is latin1 or utf8mb3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from alpenhorn.errors import Refused
from alpenhorn.reasons import Code

if TYPE_CHECKING:
    from alpenhorn.index.mariadb import ServerErrors

# The columns of names and paths.
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
# A text that is in no row; it replaces a text that no row can have.
NO_NAME = "\0"
_TEXTS = 100  # in one query
_REMEDY = "run `alpenhorn db upgrade`, which converts the tables to utf8mb4"
UNHELD = Code.NAME_NOT_HELD()

# Error codes of MariaDB and MySQL: a text cannot be stored in a column, or not be compared with it.
UNSTORABLE = {1366}
INCOMPARABLE = {1267, 1270, 1271, 3854}


class CannotHold(Refused):
    """A text has a character that the tables' character set lacks; nothing was changed."""


class CannotCompare(CannotHold):
    """A text in a comparison has a character that the tables' character set lacks."""


def explained(where: str, code: object, text: str) -> CannotHold | None:
    """Return the error to raise for an error of the server about the characters of a text; None for others."""
    wrong = f"{where}: cannot store a character of a text; {_REMEDY} ({text})"
    if code in INCOMPARABLE:
        return CannotCompare(wrong)
    # The same code is used for numbers.
    return CannotHold(wrong) if code in UNSTORABLE and "string" in text else None


def narrow(db: ServerErrors) -> tuple[str, ...]:
    """Return the character sets of the columns of names, without ALL."""
    where = " OR ".join(["(table_name = %s AND column_name = %s)"] * len(NAMES))
    rows = db.execute_sql(
        "SELECT DISTINCT character_set_name FROM information_schema.columns"
        f" WHERE table_schema = DATABASE() AND ({where})",
        tuple(part for name in NAMES for part in name),
    ).fetchall()
    return tuple(sorted(name for (name,) in rows if name not in (None, ALL)))


def narrow_tables(db: ServerErrors, tables: Iterable[str]) -> list[tuple[str, str]]:
    """Return (table, its character sets) of the tables that have text columns in another character set than ALL."""
    wanted = tuple(tables)
    rows = db.execute_sql(
        "SELECT table_name, GROUP_CONCAT(DISTINCT character_set_name ORDER BY character_set_name SEPARATOR ', ')"
        " FROM information_schema.columns WHERE table_schema = DATABASE() AND character_set_name <> %s"
        f" AND table_name IN ({', '.join(['%s'] * len(wanted))}) GROUP BY table_name ORDER BY table_name",
        (ALL, *wanted),
    ).fetchall()
    return [(table, sets) for table, sets in rows]


def cannot_hold(db: ServerErrors, sets: Iterable[str], texts: Iterable[str]) -> frozenset[str]:
    """Return the texts with a character that one of the character sets lacks; the server decides."""
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
    """Yield the values of a SELECT, with each text that cannot be stored replaced by NO_NAME."""
    for value in params:
        yield NO_NAME if isinstance(value, str) and value in unheld else value
