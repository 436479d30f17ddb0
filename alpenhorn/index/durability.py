"""Settings of a server, and kinds of tables, with which what was recorded may be lost: what that means for deletions.

A run deletes a file because of what the index says of others, and says afterwards that it is gone.  Each of these
lets one of the two be forgotten, or lets two hosts decide at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from alpenhorn.index.check import Finding, Level
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import COMPONENTS
from alpenhorn.reasons import Code

_VARIABLES = (
    *("innodb_flush_log_at_trx_commit", "log_bin", "sync_binlog", "read_only", "super_read_only"),
    "innodb_doublewrite",
)


def durability(index: Index) -> list[Finding]:
    """What is found of the server; two queries."""
    if index.dialect.in_a_file:
        return []
    wanted = tuple(table._meta.table_name for tables in COMPONENTS.values() for table in tables)
    engines = index.execute(
        "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE()"
        f" AND engine IS NOT NULL AND table_name IN ({', '.join('?' * len(wanted))}) ORDER BY table_name",
        wanted,
    ).fetchall()
    rows = index.execute(
        f"SHOW GLOBAL VARIABLES WHERE variable_name IN ({', '.join('?' * len(_VARIABLES))})", _VARIABLES
    ).fetchall()
    settings = {name.lower(): value.upper() for name, value in rows}
    found = [*_engines(engines), *_read_only(settings), *_flushing(settings)]
    return found or [Finding(Level.PASS, "tables are transactional, and the server flushes every commit")]


def _engines(engines: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    others = [(table, engine) for table, engine in engines if engine.lower() != "innodb"]
    if not others:
        return
    shown = ", ".join(f"{table} ({engine})" for table, engine in others)
    yield Finding(
        Level.FAIL,
        Code.TABLES_NOT_TRANSACTIONAL(tables=shown),
        "with a backup at hand and nothing running: "
        + "; ".join(f"ALTER TABLE {table} ENGINE=InnoDB" for table, _ in others),
    )


def _read_only(settings: Mapping[str, str]) -> Iterator[Finding]:
    on = [name for name in ("read_only", "super_read_only") if settings.get(name, "OFF") not in ("OFF", "0")]
    if on:
        yield Finding(
            Level.FAIL,
            Code.SERVER_READ_ONLY(settings=" and ".join(on)),
            "name the primary server in [database] url",
        )


def _flushing(settings: Mapping[str, str]) -> Iterator[Finding]:
    flush = settings.get("innodb_flush_log_at_trx_commit", "1")
    if flush != "1":
        yield Finding(
            Level.WARN,
            Code.SERVER_FLUSHES_LATE(value=flush),
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and in the server's configuration; after such a crash:"
            " alpenhorn reconcile on every host",
        )
    binlog = settings.get("sync_binlog", "1")
    if settings.get("log_bin") == "ON" and binlog != "1":
        yield Finding(
            Level.WARN,
            Code.SERVER_FLUSHES_BINLOG_LATE(value=binlog),
            "SET GLOBAL sync_binlog = 1, and in the server's configuration; before a replica takes over after a crash:"
            " alpenhorn reconcile on every host",
        )
    if settings.get("innodb_doublewrite") in ("OFF", "0"):
        yield Finding(
            Level.WARN,
            Code.SERVER_WITHOUT_DOUBLEWRITE(),
            "switch it on, unless the storage writes pages as a whole, as ZFS does",
        )
