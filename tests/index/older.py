"""The index as the releases 2.0.0rc1 and 2.0.0rc2 made it, with rows; and what of them must be there afterwards.

They made their tables with peewee as today's daemon does; what differs is `storagenode`, that there is no
`storagehost`, that rc1 has no `dataindexversion`, and that on SQLite their enums have the type `string(1)`.
"""

from __future__ import annotations

from typing import Any

from alpenhorn.index.connection import Index
from tests.index.daemon import INDEXES, MARIADB, SQLITE, TABLES

RC1, RC2 = "2.0.0rc1", "2.0.0rc2"
RELEASES = (RC1, RC2)

NODE = (
    "{id}, name VARCHAR(64) NOT NULL, root VARCHAR(255), host VARCHAR(64), username VARCHAR(64), "
    "address VARCHAR(255), io_class VARCHAR(255), group_id INTEGER NOT NULL, active {bool} NOT NULL, "
    "auto_import {bool} NOT NULL, auto_verify INTEGER NOT NULL, storage_type {type} NOT NULL, "
    "max_total_gb {float}, min_avail_gb {float} NOT NULL, avail_gb {float}, avail_gb_last_checked DATETIME, "
    "notes TEXT, io_config TEXT, FOREIGN KEY (group_id) REFERENCES storagegroup (id)"
)
WORDS = {
    True: SQLITE | {"has": "string(1)", "wants": "string(1)", "type": "string(1)"},
    False: MARIADB | {"type": "ENUM('A', 'T', 'F')"},
}

# name, host, username, address, storage_type, active, notes
NODES = (
    ("field1", "alp1", "obs", "alp1.example.org", "F", 1, "in the 'hut'; rack \\ 7\nsecond line"),
    ("field2", "alp1", "root", "alp1.example.org", "F", 0, "\N{SATELLITE} café"),
    ("disk1", "alp1", None, "10.0.0.7", "T", 1, None),
    ("vault", "alp2", "arc", "alp2.example.org", "A", 1, 'a "quoted" -- comment; DROP TABLE storagenode'),
    ("old", None, None, None, "A", 0, ""),
    ("blank", "  ", None, "lost.example.org", "F", 0, None),
)
HOSTS = {("alp1", "obs", "alp1.example.org"), ("alp2", "arc", "alp2.example.org")}
ON = {"field1": "alp1", "field2": "alp1", "disk1": "alp1", "vault": "alp2", "old": None, "blank": None}
OLD = ("host", "username", "address", "storage_type")
KEPT = (
    "id, name, root, io_class, group_id, active, auto_import, auto_verify, max_total_gb, min_avail_gb, avail_gb, "
    "avail_gb_last_checked, notes, io_config"
)


def make_older_index(index: Index, release: str = RC2, files: int = 3) -> None:
    """Make it in an empty database, with the server's default collation, and fill it."""
    words = WORDS[index.dialect.in_a_file]
    tables = {name: ddl for name, ddl in TABLES.items() if name != "storagehost"} | {"storagenode": NODE}
    if release == RC1:
        del tables["dataindexversion"]
    for name, ddl in tables.items():
        index.execute(f"CREATE TABLE {name} ({ddl.format(**words)})")
    for statement in INDEXES:
        if statement.partition(" ON ")[2].split()[0] in tables and "host_id" not in statement:
            index.execute(statement)
    if release == RC2:
        index.execute("INSERT INTO dataindexversion (component, version) VALUES ('alpenhorn', 2)")
    fill(index, files)


def fill(index: Index, files: int) -> None:
    with index.transaction():
        index.executemany(
            "INSERT INTO storagegroup (name, io_class) VALUES (?, ?)",
            [("field", None), ("transit", "Transport"), ("offsite", None)],
        )
        groups = {"F": 1, "T": 2, "A": 3}
        index.executemany(
            "INSERT INTO storagenode (name, root, host, username, address, group_id, active, auto_import, auto_verify, "
            "storage_type, max_total_gb, min_avail_gb, avail_gb, avail_gb_last_checked, notes, io_config) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 0, 3, ?, 1234.5678, 0.1, 1e9, '2026-01-02 03:04:05', ?, '{\"jobs\": 2}')",
            [
                (name, f"/srv/{name}", host, username, address, groups[kind], active, kind, notes)
                for name, host, username, address, kind, active, notes in NODES
            ],
        )
        index.execute("INSERT INTO archiveacq (name) VALUES ('pilot')")
        index.executemany(
            "INSERT INTO archivefile (acq_id, name, size_b, md5sum, registered) VALUES (1, ?, ?, ?, ?)",
            [(f"{n:07}.h5", n or None, f"{n:032x}", "2026-01-02 03:04:05") for n in range(files)],
        )
        index.executemany(
            "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    n + 1,
                    node,
                    "YMXN"[n % 4],
                    "YMN"[n % 3],
                    n % 2,
                    None if n % 5 else 4096 * n,
                    "2026-01-02 03:04:06",
                )
                for n in range(files)
                for node in (1, 4)
            ],
        )
        index.executemany(
            "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp) "
            "VALUES (?, 3, 1, ?, 0, '2026-01-02 03:04:07')",
            [(n + 1, n % 2) for n in range(files)],
        )
        index.execute(
            "INSERT INTO archivefileimportrequest (node_id, path, recurse, register, completed) "
            "VALUES (1, 'p', 1, 1, 0)"
        )
        index.execute(
            "INSERT INTO storagetransferaction (node_from_id, group_to_id, autosync, autoclean) VALUES (1, 3, 1, 0)"
        )


def rows(index: Index, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in index.execute(sql).fetchall()]


def kept(index: Index) -> dict[str, list[tuple[Any, ...]]]:
    """All that an upgrade leaves as it is."""
    found = {
        table: rows(index, f"SELECT * FROM {table} ORDER BY id")
        for table in TABLES
        if table not in ("storagehost", "storagenode", "dataindexversion")
    }
    return found | {"storagenode": rows(index, f"SELECT {KEPT} FROM storagenode ORDER BY id")}


def old_values(index: Index) -> list[tuple[Any, ...]]:
    """What an upgrade moves."""
    return rows(index, f"SELECT name, {', '.join(OLD)} FROM storagenode ORDER BY id")


def assert_moved(index: Index) -> None:
    """The hosts and kinds of the nodes are where today's index has them."""
    assert set(rows(index, "SELECT name, username, address FROM storagehost")) == HOSTS
    nodes = rows(
        index,
        "SELECT n.name, h.name, n.archive FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id ORDER BY n.id",
    )
    assert nodes == [(name, ON[name], int(kind == "A")) for name, _, _, _, kind, _, _ in NODES]
    columns = {column.name for column in index.db.get_columns("storagenode")}
    assert columns.isdisjoint(OLD)
