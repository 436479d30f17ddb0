"""Rows whose names match a pattern with *, ? and [...], as in a shell; * also matches slashes.

The query reads the names that begin with the text before the first of these characters, by the index on the names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate

from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.scan import names
from alpenhorn.scan.names import NamedRow

SPECIAL = re.compile(r"[*?[]")
MOST = 10_000  # names that patterns may match, because their ids become parameters of one statement


def matcher(pattern: str) -> Callable[[str], object]:
    """Return a function that tells whether a name matches; upper and lower case differ."""
    return re.compile(translate(pattern)).match


def matches(pattern: str, name: str) -> bool:
    """Return whether a name matches a pattern or is equal to it."""
    return name == pattern or bool(matcher(pattern)(name))


def condition(column: str, pattern: str) -> tuple[str, tuple[str, ...]]:
    """Return an SQL condition for the names with the fixed beginning of a pattern, and its values."""
    beginning = SPECIAL.split(pattern, maxsplit=1)[0]
    if not names.storable(beginning):
        return "1 = 0", ()
    return names.beginning_with(column, beginning)


def matching(index: Index, kind: str, patterns: Iterable[str]) -> list[NamedRow]:
    """Return the rows of a kind (a key of `names.KINDS`) that match any of the patterns, each row once.

    A name of an existing row matches only itself, whatever characters it contains.  Raises NotFound if a pattern
    matches nothing, and Refused if the patterns match more than MOST rows.
    """
    found: dict[int, NamedRow] = {}
    for pattern in patterns:
        for row in _matching(index, kind, pattern):
            found[row.id] = row
            if len(found) > MOST:
                raise Refused(
                    f"the pattern {pattern!r} matches too many names: more than {MOST}; use a longer pattern"
                )
    return list(found.values())


def _matching(index: Index, kind: str, pattern: str) -> Iterable[NamedRow]:
    if not SPECIAL.search(pattern):
        return [names.one(index, kind, pattern)]
    named = names.exact(index, kind, pattern)
    if named is not None:
        return [named]
    table, listing = names.KINDS[kind]
    where, values = condition("name", pattern)
    rows = index.facts(NamedRow, f"SELECT id, name FROM {table} WHERE {where} ORDER BY name", values)
    match = matcher(pattern)
    found = [row for row in rows if match(row.name)]
    if not found:
        raise NotFound(f"no {kind} matches {pattern!r}; see: {listing}")
    return found
