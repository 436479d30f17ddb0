"""Version 11 of the component `sync`: sums of copies by state, and an index on the time of their last change.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import BIGINT, DATETIME, INTEGER, Column, IndexOn, Migration, Table

MIGRATION = Migration(
    number=11,
    tables=(
        Table(
            "sync_tally",
            (
                Column("part", INTEGER),
                Column("node_id", INTEGER),
                Column("has_file", "VARCHAR(1)"),
                Column("wants_file", "VARCHAR(1)"),
                Column("files", INTEGER),
                Column("bytes", BIGINT),
            ),
            key=("part", "node_id", "has_file", "wants_file"),
        ),
        Table("sync_tally_part", (Column("part", INTEGER), Column("counted", DATETIME)), key=("part",)),
    ),
    indexes=(IndexOn("archivefilecopy", "sync_copy_by_update", ("last_update", "file_id")),),
)
