"""Version 12 of the component `sync`: the statuses of copies when their bytes were verified.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import INTEGER, Column, Migration, Table

MIGRATION = Migration(
    number=12,
    tables=(
        Table(
            "sync_verified_status",
            (
                Column("file_id", INTEGER),
                Column("node_id", INTEGER),
                Column("medium", "VARCHAR(32)"),
                Column("md5sum", "VARCHAR(32)"),
                Column("sha256", "VARCHAR(64)"),
                Column("status", "VARCHAR(128)"),
            ),
            key=("node_id", "file_id"),
        ),
    ),
)
