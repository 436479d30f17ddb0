"""From the names that a user gives to rows; a name that is not there is answered with the nearest ones."""

from __future__ import annotations

import posixpath
from array import array
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import groupby, islice
from typing import Any, NamedTuple

from alpenhorn.errors import NotFound
from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index

SUGGESTIONS = 2000  # names compared with a wrong one; comparing them takes half a second
LINES = 10_000  # of a list of files that are looked up together
SHOWN = 3  # lines of a list that are no file
TERMS = 200  # (acquisition, name) pairs in one query; SQLite refuses expressions deeper than 1000
ACQ_LENGTH = 64
LAST = "\U0010ffff"  # sorts behind every character that a name has
COMPLETIONS = 500  # more are of no use to somebody who is typing

# What there are names of: its table, and the command that lists them.
KINDS = {
    "host": ("storagehost", "alpenhorn host list"),
    "group": ("storagegroup", "alpenhorn group list"),
    "node": ("storagenode", "alpenhorn node list"),
    "acquisition": ("archiveacq", "alpenhorn acq list"),
}


class NamedRow(NamedTuple):
    id: int
    name: str


class FileName(NamedTuple):
    id: int
    acq: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.acq}/{self.name}"


def host(index: Index, name: str) -> NamedRow:
    """Raises NotFound, as all of these do."""
    return _one(index, "host", name)


def group(index: Index, name: str) -> NamedRow:
    return _one(index, "group", name)


def node(index: Index, name: str) -> NamedRow:
    return _one(index, "node", name)


def acq(index: Index, name: str) -> NamedRow:
    return _one(index, "acquisition", name)


def hosts(index: Index, names: Iterable[str]) -> list[NamedRow]:
    return [host(index, name) for name in names]


def groups(index: Index, names: Iterable[str]) -> list[NamedRow]:
    return [group(index, name) for name in names]


def nodes(index: Index, names: Iterable[str]) -> list[NamedRow]:
    return [node(index, name) for name in names]


def acqs(index: Index, names: Iterable[str]) -> list[NamedRow]:
    return [acq(index, name) for name in names]


def root(index: Index, node: NamedRow) -> str | None:
    """Where a node is, on its host."""
    found: str | None = index.value("SELECT root FROM storagenode WHERE id = ?", (node.id,))
    return found


def beginning(index: Index, kind: str, text: str) -> list[str]:
    """The names of that kind that begin with a text and can be shown as they are, in order; not too many."""
    if not _storable(text):
        return []
    table, _ = KINDS[kind]
    sql = f"SELECT name FROM {table}"
    bounds: tuple[str, ...] = ()
    if text:
        sql, bounds = f"{sql} WHERE name >= ? AND name < ?", (text, text + LAST)
    rows = index.execute(f"{sql} ORDER BY name LIMIT {COMPLETIONS}", bounds)
    return [name for (name,) in rows if name.startswith(text) and name.isprintable()]


def _one(index: Index, kind: str, name: str) -> NamedRow:
    table, listing = KINDS[kind]
    row = None
    if _storable(name):
        row = index.fact(NamedRow, f"SELECT id, name FROM {table} WHERE name = ?", (name,))
    if row is None:
        raise NotFound(f"no {kind} called {name!r}; {_suggestion(index, table, name)}see: {listing}")
    return row


def _suggestion(index: Index, table: str, name: str) -> str:
    """The nearest names among those that begin alike, or among all where there are few."""
    if not _storable(name):
        return ""
    count = index.value(f"SELECT COUNT(*) FROM {table}")
    sql = f"SELECT name FROM {table}"
    bounds: tuple[str, ...] = ()
    if count > SUGGESTIONS and name:
        sql += " WHERE name >= ? AND name < ?"
        bounds = (name[0], name[0] + LAST)
    known = index.values(f"{sql} ORDER BY name LIMIT {SUGGESTIONS}", bounds)
    return nearest(name, known)


def nearest(name: str, known: Iterable[str]) -> str:
    """A question after the names that are most like a wrong one; empty when there are none."""
    close = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(repr(other) for other in close)}? " if close else ""


def _storable(name: str) -> bool:
    """Whether a database can be asked for that name: bytes that are no UTF-8 reach us as surrogates."""
    return "\0" not in name and not any("\ud800" <= char <= "\udfff" for char in name)


# --- files ---------------------------------------------------------------------------------------------


def below(path: str, root: str | None) -> str:
    """An absolute path made relative to a node's root, where it is below it; any other path as it is."""
    if root and path.startswith("/"):
        inner = posixpath.relpath(posixpath.normpath(path), posixpath.normpath(root))
        if inner != ".." and not inner.startswith("../"):
            return inner
    return path


def file(index: Index, path: str, root: str | None = None) -> FileName:
    """The file at `acquisition/name`, or at a path below `root`.  Raises NotFound."""
    found = _files(index, [below(path, root)])
    if not found:
        raise NotFound(f"no file called {path!r}{_hint(index, path)}")
    return next(iter(found.values()))


def _hint(index: Index, path: str) -> str:
    """What to try in place of a path that no file has."""
    first, slash, name = path.partition("/")
    if not slash:
        return "; a file is named as ACQUISITION/NAME"
    if not first or not _storable(path):
        return ""
    acq_id = index.value("SELECT id FROM archiveacq WHERE name = ?", (first,))
    if acq_id is None:
        suggestion = _suggestion(index, "archiveacq", first)
        return f"; no acquisition is called {first!r}; {suggestion}see: alpenhorn acq list"
    bounds = (acq_id, name[:1], name[:1] + LAST)
    sql = f"SELECT name FROM archivefile WHERE acq_id = ? AND name >= ? AND name < ? LIMIT {SUGGESTIONS}"
    known = [f"{first}/{other}" for (other,) in index.execute(sql, bounds)]
    return f"; {nearest(path, known)}see: alpenhorn file list --acq {first}"


def files(index: Index, paths: Iterable[tuple[int, str]], root: str | None, source: str) -> Sequence[int]:
    """The ids of the files of a list of (line number, path), without repetitions, in ascending order.

    Raises NotFound that names the first lines of `source` that are no file.
    """
    ids = array("q")
    missing: list[tuple[int, str]] = []
    unknown = 0
    lines = iter(paths)
    # A list of any length needs no more memory than the numbers that come of it.
    while some := [(number, below(path, root)) for number, path in islice(lines, LINES)]:
        found = _files(index, list(dict.fromkeys(path for _, path in some)))
        ids.extend(sorted({name.id for name in found.values()}))
        wrong = [line for line in some if line[1] not in found]
        unknown += len(wrong)
        missing += wrong[: SHOWN - len(missing)]
    if unknown:
        shown = ", ".join(f"line {number}: {path!r}" for number, path in missing)
        more = f" and {unknown - SHOWN} more" if unknown > SHOWN else ""
        raise NotFound(f"{source} names files that are not in the index ({shown}{more}); nothing was changed")
    return array("q", (id_ for id_, _ in groupby(sorted(ids))))


def _files(index: Index, paths: Sequence[str]) -> dict[str, FileName]:
    """The files at those paths.  Of acquisitions whose own names have slashes the longest wins."""
    splits = {path: _splits(path) for path in paths if _storable(path) and not path.startswith("/")}
    wanted = list(dict.fromkeys(acq for pairs in splits.values() for acq, _ in pairs))
    ids: dict[str, int] = {}
    for some in chunks(wanted):
        rows = index.execute(f"SELECT name, id FROM archiveacq WHERE name IN ({marks(some)})", tuple(some))
        ids.update(dict(rows))
    by_id = {acq_id: acq for acq, acq_id in ids.items()}
    pairs = [(ids[acq], name) for found in splits.values() for acq, name in found if acq in ids]
    rows_found: dict[tuple[str, str], int] = {}
    for part in chunks(pairs, TERMS):
        terms = " OR ".join(["(acq_id = ? AND name = ?)"] * len(part))
        values: list[Any] = [value for pair in part for value in pair]
        for acq_id, name, file_id in index.execute(
            f"SELECT acq_id, name, id FROM archivefile WHERE {terms}", tuple(values)
        ):
            rows_found[by_id[acq_id], name] = file_id
    found = {}
    for path, candidates in splits.items():
        for pair in candidates:
            if pair in rows_found:
                found[path] = FileName(rows_found[pair], *pair)
                break
    return found


def _splits(path: str) -> list[tuple[str, str]]:
    """Every (acquisition, name) that a path can mean, the longest acquisition first."""
    cuts = [i for i, char in enumerate(path[: ACQ_LENGTH + 1]) if char == "/"]
    return [(path[:i], path[i + 1 :]) for i in reversed(cuts) if i and i + 1 < len(path)]
