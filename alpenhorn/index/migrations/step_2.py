"""Version 2 of the component `sync`: identities of the index and of media, and claims of files on Galera clusters.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import (
    AUTO,
    BIGINT,
    BOOL,
    DATETIME,
    INTEGER,
    TEXT,
    Column,
    IndexOn,
    Migration,
    Table,
)

ID = Column("id", AUTO)

MIGRATION = Migration(
    number=2,
    tables=(
        Table(
            "sync_index",
            (
                ID,
                Column("name", "VARCHAR(32)"),
                Column("value", TEXT),
                Column("at", DATETIME, null=True),
            ),
        ),
        Table(
            "sync_medium",
            (
                ID,
                Column("node_id", INTEGER),
                Column("medium", "VARCHAR(32)", null=True),
                Column("generation", BIGINT, default=0),
                Column("word", "VARCHAR(16)", null=True),
                Column("next_generation", BIGINT, null=True),
                Column("next_word", "VARCHAR(16)", null=True),
                Column("seen", DATETIME, null=True),
                Column("wrong", DATETIME, null=True),
                Column("why", TEXT, null=True),
                Column("distrust", "VARCHAR(16)", null=True),
                Column("separate", BOOL, default=0),
                Column("looked", INTEGER, default=0),
                Column("lost", INTEGER, default=0),
                Column("changed", DATETIME, null=True),
                Column("changed_why", TEXT, null=True),
            ),
        ),
        Table(
            "sync_file_claim",
            (Column("file_id", INTEGER), Column("fence", BIGINT)),
            key=("file_id",),
        ),
    ),
    indexes=(
        IndexOn("sync_index", "sync_index_name", ("name",), True),
        IndexOn("sync_medium", "sync_medium_node_id", ("node_id",), True),
    ),
)
