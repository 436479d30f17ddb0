"""Version 10 of the component `sync`: the SHA-256 sums of files.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import BIGINT, INTEGER, Column, Migration, Table

MIGRATION = Migration(
    number=10,
    tables=(
        Table(
            "sync_digest",
            (
                Column("file_id", INTEGER),
                Column("size_b", BIGINT),
                Column("md5sum", "VARCHAR(32)"),
                Column("sha256", "VARCHAR(64)"),
            ),
            key=("file_id",),
        ),
    ),
)
