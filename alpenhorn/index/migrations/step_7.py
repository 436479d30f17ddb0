"""Version 7 of the component `sync`: retired nodes, the groups into which their files are copied, and deleted nodes.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import (
    AUTO,
    BIGINT,
    BOOL,
    DATETIME,
    INTEGER,
    Column,
    IndexOn,
    Migration,
    Table,
)

ID = Column("id", AUTO)

MIGRATION = Migration(
    number=7,
    tables=(
        Table(
            "sync_retirement",
            (
                ID,
                Column("node_id", INTEGER),
                Column("began", DATETIME),
                Column("releases", BOOL, default=0),
                Column("declared_lost", BOOL, default=0),
                Column("cancelled", BOOL, default=0),
                Column("compared_at", DATETIME, null=True),
                Column("event_id", BIGINT, default=0),
                Column("stuck", INTEGER, default=0),
                Column("nowhere", INTEGER, default=0),
            ),
        ),
        Table("sync_retirement_group", (ID, Column("node_id", INTEGER), Column("group_id", INTEGER))),
        Table("sync_deleted_node", (ID, Column("name", "VARCHAR(64)"), Column("deleted", DATETIME))),
    ),
    indexes=(
        IndexOn("sync_retirement", "sync_retirement_node_id", ("node_id",), True),
        IndexOn(
            "sync_retirement_group", "sync_retirement_group_node_id_group_id", ("node_id", "group_id"), True
        ),
        IndexOn("sync_deleted_node", "sync_deleted_node_name", ("name",)),
    ),
)
