"""Look-up of rows by the names that a user gives; errors for unknown names suggest similar ones."""

from __future__ import annotations

import posixpath
from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

from alpenhorn.errors import NotFound
from alpenhorn.index.bulk import chunks, in_chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.model.lengths import ACQ_LENGTH, NAME_LENGTH
from alpenhorn.model.nodes import remote_in
from alpenhorn.reasons import quoted
from alpenhorn.suggestions import advice

LAST = "\U0010ffff" * NAME_LENGTH  # sorts after the rest of every name
SUGGESTIONS = 2000  # names compared with an unknown one; takes half a second
LINES = 10_000  # lines of a list of files that are looked up together
SHOWN = 3  # unknown files of a list that a message names
TERMS = 200  # (acquisition, name) pairs in one query; SQLite refuses expressions deeper than 1000
COMPLETIONS = 500  # maximum number of names for the shell's completion
# Kinds of names: the table, and the command that lists them.
KINDS = {
    "host": ("storagehost", "alpenhorn host list"),
    "group": ("storagegroup", "alpenhorn group list"),
    "node": ("storagenode", "alpenhorn node list"),
    "acquisition": ("archiveacq", "alpenhorn acq list"),
    "policy": ("sync_policy", "alpenhorn policy list"),
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
    """Return the host with a name.  Raises NotFound, as do the following functions."""
    return one(index, "host", name)


def group(index: Index, name: str) -> NamedRow:
    return one(index, "group", name)


def node(index: Index, name: str) -> NamedRow:
    return one(index, "node", name)


def policy(index: Index, name: str) -> NamedRow:
    return one(index, "policy", name)


def acq(index: Index, name: str) -> NamedRow:
    return one(index, "acquisition", name)


def hosts(index: Index, names: Iterable[str]) -> list[NamedRow]:
    return [host(index, name) for name in names]


def groups(index: Index, names: Iterable[str]) -> list[NamedRow]:
    return [group(index, name) for name in names]


def nodes(index: Index, names: Iterable[str]) -> list[NamedRow]:
    return [node(index, name) for name in names]


def acqs(index: Index, names: Iterable[str]) -> list[NamedRow]:
    return [acq(index, name) for name in names]


def root(index: Index, node: NamedRow) -> str | None:
    """Return the root of a node."""
    found: str | None = index.value("SELECT root FROM storagenode WHERE id = ?", (node.id,))
    return found


def keeps_objects(index: Index, node: NamedRow) -> bool:
    """Return whether the copies of a node are objects."""
    return bool(remote_in(index.value("SELECT io_config FROM storagenode WHERE id = ?", (node.id,))))


def beginning_with(column: str, text: str) -> tuple[str, tuple[str, ...]]:
    """Return an SQL condition for the names in a column that begin with a text, and its values; all names for "".

    It may be true of further names, because collations differ.
    """
    # MariaDB's LIKE misses characters above U+FFFF when it uses the index, and SQLite's does not use the index.  A
    # collation that ignores case treats all these characters as one, so the end of the range has more than any name.
    return (f"{column} >= ? AND {column} < ?", (text, text + LAST)) if text else ("1 = 1", ())


def beginning(index: Index, kind: str, text: str) -> list[str]:
    """Return the first names of a kind that begin with a text and are printable."""
    if not storable(text):
        return []
    table, _ = KINDS[kind]
    where, bounds = beginning_with("name", text)
    rows = index.execute(f"SELECT name FROM {table} WHERE {where} ORDER BY name LIMIT {COMPLETIONS}", bounds)
    return [name for (name,) in rows if name.startswith(text) and name.isprintable()]


def one(index: Index, kind: str, name: str) -> NamedRow:
    """Return the row of a kind (a key of KINDS) with a name.  Raises NotFound."""
    table, listing = KINDS[kind]
    row = exact(index, kind, name)
    if row is None:
        raise NotFound(
            f"no {kind} called {name!r}; {advice(name, _candidates(index, table, name), f'see: {listing}')}"
        )
    return row


def exact(index: Index, kind: str, name: str) -> NamedRow | None:
    """Return the row of a kind with a name, None if there is none."""
    if not storable(name):
        return None
    return index.fact(NamedRow, f"SELECT id, name FROM {KINDS[kind][0]} WHERE name = ?", (name,))


def _candidates(index: Index, table: str, name: str) -> list[str]:
    """Return the names to compare with an unknown one: those with the same first letter, or all if there are few."""
    if not storable(name):
        return []
    count = index.value(f"SELECT COUNT(*) FROM {table}")
    where, bounds = beginning_with("name", name[:1] if count > SUGGESTIONS else "")
    return index.values(f"SELECT name FROM {table} WHERE {where} ORDER BY name LIMIT {SUGGESTIONS}", bounds)


def storable(name: str) -> bool:
    """Return whether a name can be used in a query; Python represents bytes that are not UTF-8 as surrogates."""
    return "\0" not in name and not any("\ud800" <= char <= "\udfff" for char in name)


# --- files ---------------------------------------------------------------------------------------------


def below(path: str, root: str | None) -> str:
    """Return a path relative to a node's root if it is below that; otherwise unchanged."""
    if root and path.startswith("/"):
        inner = posixpath.relpath(posixpath.normpath(path), posixpath.normpath(root))
        if inner != ".." and not inner.startswith("../"):
            return inner
    return path


def file(index: Index, path: str, root: str | None = None) -> FileName:
    """Return the file at `acquisition/name`, or at a path below `root`.  Raises NotFound."""
    found = _files(index, [below(path, root)])
    if not found:
        raise NotFound(f"no file called {path!r}{_hint(index, path)}")
    return next(iter(found.values()))


def _hint(index: Index, path: str) -> str:
    """Return advice for the message about an unknown path."""
    first, slash, name = path.partition("/")
    if not slash:
        return "; a file is named as ACQUISITION/NAME"
    if not first or not storable(path):
        return ""
    acq_id = index.value("SELECT id FROM archiveacq WHERE name = ?", (first,))
    if acq_id is None:
        known = _candidates(index, "archiveacq", first)
        return f"; no acquisition called {first!r}; {advice(first, known, 'see: alpenhorn acq list')}"
    where, bounds = beginning_with("name", name[:1])
    sql = f"SELECT name FROM archivefile WHERE acq_id = ? AND {where} LIMIT {SUGGESTIONS}"
    known = [f"{first}/{other}" for (other,) in index.execute(sql, (acq_id, *bounds))]
    return f"; {advice(path, known, f'see: alpenhorn file list --acq {quoted(first)}')}"


def files(index: Index, paths: Iterable[tuple[int, str]], root: str | None, source: str) -> Sequence[int]:
    """Return the ids of the files in a list of (line number, path), without duplicates, in ascending order.

    Raises NotFound with the first unknown files of `source`.
    """
    ids = array("q")
    missing: list[tuple[int, str]] = []
    unknown = 0
    lines = iter(paths)
    # In portions, so that a long list needs no memory except for the ids.
    while some := [(number, below(path, root)) for number, path in islice(lines, LINES)]:
        found = _files(index, list(dict.fromkeys(path for _, path in some)))
        ids.extend(sorted({name.id for name in found.values()}))
        wrong = [line for line in some if line[1] not in found]
        unknown += len(wrong)
        missing += wrong[: SHOWN - len(missing)]
    if unknown:
        shown = ", ".join(f"line {number}: {path!r}" for number, path in missing)
        more = f" and {unknown - SHOWN} more" if unknown > SHOWN else ""
        raise NotFound(f"{source}: files not in the index: {shown}{more}; nothing was changed")
    return array("q", (id_ for id_, _ in groupby(sorted(ids))))


def acq_names(index: Index, ids: Iterable[int]) -> dict[int, str]:
    """Return the names of acquisitions by id, without those that do not exist."""
    found: dict[int, str] = {}
    for some_marks, some in in_chunks(sorted(set(ids))):
        rows = index.facts(NamedRow, f"SELECT id, name FROM archiveacq WHERE id IN ({some_marks})", some)
        found.update((row.id, row.name) for row in rows)
    return found


def _files(index: Index, paths: Sequence[str]) -> dict[str, FileName]:
    """Return the files at paths.  If several acquisitions match, the longest name wins."""
    splits = {path: _splits(path) for path in paths if storable(path) and not path.startswith("/")}
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
    """Return all pairs (acquisition, name) that a path can mean, the longest acquisition first."""
    cuts = [i for i, char in enumerate(path[: ACQ_LENGTH + 1]) if char == "/"]
    return [(path[:i], path[i + 1 :]) for i in reversed(cuts) if i and i + 1 < len(path)]
