"""Version 9 of the component `sync`: deleted files in the trash of nodes.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import (
    AUTO,
    BIGINT,
    DATETIME,
    INTEGER,
    Column,
    IndexOn,
    Migration,
    Table,
)

MIGRATION = Migration(
    number=9,
    tables=(
        Table(
            "sync_trash",
            (
                Column("id", AUTO),
                Column("node_id", INTEGER),
                Column("file_id", INTEGER),
                Column("batch", "VARCHAR(64)"),
                Column("trashed", DATETIME),
                Column("size_b", BIGINT),
                Column("asked", DATETIME, null=True),
            ),
        ),
    ),
    indexes=(
        IndexOn("sync_trash", "sync_trash_node_id_batch_file_id", ("node_id", "batch", "file_id"), True),
        IndexOn("sync_trash", "sync_trash_file_id_node_id_batch", ("file_id", "node_id", "batch")),
        IndexOn("sync_trash", "sync_trash_node_id_asked", ("node_id", "asked")),
    ),
)
