"""Checks of a data index that can be opened: `alpenhorn db check`."""

from __future__ import annotations

import datetime
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.index.charset import NAMES
from alpenhorn.index.connection import Index
from alpenhorn.index.current import require_current
from alpenhorn.index.migrations.ddl import IndexOn, binary_collation
from alpenhorn.index.schema import COMPONENTS, EXTRA_INDEXES, absent, declared_indexes
from alpenhorn.index.tables import TableModel
from alpenhorn.index.versions import VERSIONS
from alpenhorn.reasons import Code, Reason

CLOCK_WARN = 5.0  # seconds
CLOCK_FAIL = 60.0


class Level(StrEnum):
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """The result of one check.  `remedy` is empty if there is nothing to do."""

    level: Level
    text: str
    remedy: str = ""


# References between rows: (table, column, table pointed to, description of rows whose target is missing).
_REFERENCES = (
    ("archivefile", "acq_id", "archiveacq", "files of no acquisition"),
    ("archivefilecopy", "file_id", "archivefile", "copies of no file"),
    ("archivefilecopy", "node_id", "storagenode", "copies on no node"),
    ("archivefilecopyrequest", "file_id", "archivefile", "copy requests for no file"),
    ("archivefilecopyrequest", "node_from_id", "storagenode", "copy requests from no node"),
    ("archivefilecopyrequest", "group_to_id", "storagegroup", "copy requests to no group"),
    ("archivefileimportrequest", "node_id", "storagenode", "import requests for no node"),
    ("storagenode", "group_id", "storagegroup", "nodes of no group"),
    ("storagenode", "host_id", "storagehost", "nodes on no host"),
    ("storagetransferaction", "node_from_id", "storagenode", "transfer actions from no node"),
    ("storagetransferaction", "group_to_id", "storagegroup", "transfer actions to no group"),
)


def check(index: Index) -> list[Finding]:
    """Run all checks; nothing is changed.

    Raises IndexUnusable if the tables are not those that this program knows.
    """
    require_current(index)
    versions = ", ".join(f"{component} {version}" for component, version in VERSIONS.items())
    return [
        Finding(Level.PASS, f"schema version: {versions}"),
        *structure(index),
        *collation(index),
        *orphans(index),
        *digests(index),
        clock(index),
    ]


def structure(index: Index) -> list[Finding]:
    """Find missing tables, columns and indexes."""
    existing = set(index.db.get_tables())
    findings = []
    for component, table in ((name, table) for name, tables in COMPONENTS.items() for table in tables):
        name = table._meta.table_name
        if name not in existing:
            findings.append(Finding(Level.FAIL, Code.TABLE_MISSING(table=name), "run `alpenhorn db init`"))
            continue
        present = {column.name for column in index.db.get_columns(name)}
        columns = [column for column in table._meta.columns if column not in present]
        if columns:
            findings.append(
                Finding(
                    Level.FAIL,
                    Code.COLUMN_MISSING(table=name, columns=", ".join(columns)),
                    "run `alpenhorn db init`"
                    if component == "sync"
                    else "restore the index from a backup, or migrate it with the program that made it",
                )
            )
            continue
        for missing in unserved(index, table):
            findings.append(
                Finding(
                    Level.FAIL if missing.unique else Level.WARN,
                    Code.INDEX_MISSING(
                        table=name,
                        kind="unique index" if missing.unique else "index",
                        columns=", ".join(missing.columns),
                    ),
                    missing.ddl,
                )
            )
    if {"archivefilecopy", "archivefilecopyrequest", "archivefileimportrequest"} <= existing:
        for extra in absent(index, EXTRA_INDEXES):
            findings.append(
                Finding(
                    Level.WARN,
                    Code.EXTRA_INDEX_MISSING(table=extra.table, index=extra.name),
                    "run `alpenhorn db init`",
                )
            )
    return findings or [Finding(Level.PASS, "no missing tables, columns or indexes")]


class _TextColumn(NamedTuple):
    table_name: str
    column_name: str
    character_set: str
    collation: str


def unserved(index: Index, table: type[TableModel]) -> list[IndexOn]:
    """Return the indexes of a table's model for which the table has no equivalent index under any name."""
    present = index.db.get_indexes(table._meta.table_name)
    unique = {tuple(found.columns) for found in present if found.unique}
    beginnings = {tuple(found.columns[:n]) for found in present for n in range(1, len(found.columns) + 1)}
    return [
        one for one in declared_indexes(table) if one.columns not in (unique if one.unique else beginnings)
    ]


def collation(index: Index) -> list[Finding]:
    """Find columns in which different names compare as equal, or in which some names cannot be stored."""
    if index.dialect.compares_bytes:
        return [Finding(Level.PASS, "names are compared byte for byte")]
    columns = index.facts(
        _TextColumn,
        "SELECT table_name AS table_name, column_name AS column_name, character_set_name AS character_set,"
        " collation_name AS collation FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND collation_name IS NOT NULL "
        "ORDER BY table_name, column_name",
    )
    names = [one for one in columns if (one.table_name, one.column_name) in NAMES]
    # An upgrade converts these columns to a collation that compares bytes.
    narrow = [one for one in names if one.character_set != "utf8mb4"]
    names = [one for one in names if one not in narrow]
    folding = [one for one in names if not one.collation.endswith("_bin")]
    padding = [
        one
        for one in names
        if one.collation.endswith("_bin") and not one.collation.endswith(("nopad_bin", "0900_bin"))
    ]
    findings = []
    if folding:
        tables = sorted({one.table_name for one in folding})
        findings.append(
            Finding(
                Level.WARN,
                Code.COLLATION_FOLDS_NAMES(columns=_columns_of(folding)),
                "avoid such names, or make a backup, stop all programs that use the index, and execute: "
                + "; ".join(
                    f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {binary_collation(index)}"
                    for table in tables
                ),
            )
        )
    if padding:
        findings.append(
            Finding(
                Level.WARN,
                Code.COLLATION_IGNORES_BLANKS(columns=_columns_of(padding)),
                "avoid such names",
            )
        )
    if narrow:
        findings.append(
            Finding(
                Level.WARN,
                Code.CHARACTER_SET_TOO_SMALL(columns=_columns_of(narrow)),
                "run `alpenhorn db upgrade`, which converts the tables to utf8mb4",
            )
        )
    return findings or [Finding(Level.PASS, "names are compared byte for byte")]


def orphans(index: Index) -> list[Finding]:
    """Find rows that point to missing rows; one statement for each kind."""
    findings = []
    for table, column, target, what in _REFERENCES:
        rows = (
            f"FROM {table} r LEFT JOIN {target} t ON t.id = r.{column} "
            f"WHERE r.{column} IS NOT NULL AND t.id IS NULL"
        )
        (count,) = index.execute(f"SELECT COUNT(*) {rows}").fetchone()
        if count:
            findings.append(
                Finding(
                    Level.WARN,
                    Code.ROWS_WITHOUT_TARGET(count=count, what=what),
                    f"restore the missing rows, or delete these: SELECT r.* {rows}",
                )
            )
    return findings or [Finding(Level.PASS, "no rows point to missing rows")]


def digests(index: Index) -> list[Finding]:
    """Find rows with an invalid SHA-256 or MD5 sum, which are ignored."""
    damaged = "FROM sync_digest WHERE LENGTH(sha256) <> 64 OR LENGTH(md5sum) <> 32"
    count = index.value(f"SELECT COUNT(*) {damaged}")
    if not count:
        return []
    remedy = f"delete these, which are computed again when a copy is read: DELETE {damaged}"
    return [Finding(Level.WARN, Code.DIGESTS_DAMAGED(count=count), remedy)]


def clock(index: Index) -> Finding:
    """Compare the server's clock, which decides when claims of other hosts expire, with this host's clock."""
    if index.dialect.in_a_file:
        return Finding(Level.PASS, "the index uses the clock of this host")
    before = datetime.datetime.now(datetime.UTC)
    server = index.now().replace(tzinfo=datetime.UTC)
    after = datetime.datetime.now(datetime.UTC)
    # The time that the answer took is not a difference of the clocks.
    seconds = max((server - after).total_seconds(), (before - server).total_seconds(), 0.0)
    text = f"clocks of the index's server and of this host differ by {seconds:.1f} s"
    if seconds < CLOCK_WARN:
        return Finding(Level.PASS, text)
    level = Level.WARN if seconds < CLOCK_FAIL else Level.FAIL
    return Finding(
        level, Reason(text, Code.CLOCKS_DIFFER), "synchronize the clocks of both hosts, for example with NTP"
    )


def _columns_of(columns: list[_TextColumn]) -> str:
    return ", ".join(f"{one.table_name}.{one.column_name} ({one.collation})" for one in columns)
