"""Settings of a server, and kinds of tables, with which what was recorded may be lost: what that means for deletions.

A run deletes a file because of what the index says of others, and says afterwards that it is gone.  Each of these
lets one of the two be forgotten, or lets two hosts decide at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from alpenhorn.index.check import Finding, Level
from alpenhorn.index.connection import Index
from alpenhorn.index.schema import COMPONENTS

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
        f"these tables have neither transactions nor locks of rows: {shown}; two hosts that delete copies of a file at"
        " the same time may remove the last ones, and a run that is killed leaves half of what it recorded",
        "with a backup at hand and nothing running: "
        + "; ".join(f"ALTER TABLE {table} ENGINE=InnoDB" for table, _ in others),
    )


def _read_only(settings: Mapping[str, str]) -> Iterator[Finding]:
    on = [name for name in ("read_only", "super_read_only") if settings.get(name, "OFF") not in ("OFF", "0")]
    if on:
        yield Finding(
            Level.FAIL,
            f"the server is read-only ({' and '.join(on)}), as replicas are: runs can record nothing there, and what a"
            " replica says may be old, so that deletions would rest on copies that are gone",
            "name the primary server in [database] url",
        )


def _flushing(settings: Mapping[str, str]) -> Iterator[Finding]:
    flush = settings.get("innodb_flush_log_at_trx_commit", "1")
    if flush != "1":
        yield Finding(
            Level.WARN,
            f"the server does not flush every commit (innodb_flush_log_at_trx_commit = {flush}): after a crash or power"
            " cut there the index may call copies good that were deleted in the last second or two",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and in the server's configuration; after such a crash:"
            " alpenhorn reconcile on every host",
        )
    binlog = settings.get("sync_binlog", "1")
    if settings.get("log_bin") == "ON" and binlog != "1":
        yield Finding(
            Level.WARN,
            f"the server does not flush its binary log with every commit (sync_binlog = {binlog}): after a crash there,"
            " replicas and point-in-time restores lack commits, and call copies good that were deleted",
            "SET GLOBAL sync_binlog = 1, and in the server's configuration; before a replica takes over after a crash:"
            " alpenhorn reconcile on every host",
        )
    if settings.get("innodb_doublewrite") in ("OFF", "0"):
        yield Finding(
            Level.WARN,
            "the server writes pages without protection against half written ones (innodb_doublewrite is off): a power"
            " cut there may damage the index",
            "switch it on, unless the storage writes pages as a whole, as ZFS does",
        )
