"""Version 6 of the component `sync`: the sites of nodes and hosts.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import AUTO, INTEGER, Column, IndexOn, Migration, Table

MIGRATION = Migration(
    number=6,
    tables=(
        Table(
            "sync_host",
            (Column("id", AUTO), Column("host_id", INTEGER), Column("site", "VARCHAR(64)", null=True)),
        ),
    ),
    columns=(("sync_node", Column("site", "VARCHAR(64)", null=True)),),
    indexes=(IndexOn("sync_host", "sync_host_host_id", ("host_id",), unique=True),),
)
