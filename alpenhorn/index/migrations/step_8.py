"""Version 8 of the component `sync`: the node from which a claimed pull reads, and priorities of requests.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import INTEGER, Column, IndexOn, Migration, Table

MIGRATION = Migration(
    number=8,
    tables=(
        Table(
            "sync_priority",
            (Column("request_id", INTEGER), Column("group_id", INTEGER), Column("priority", INTEGER)),
            key=("request_id",),
        ),
    ),
    columns=(("sync_claim", Column("source_id", INTEGER, null=True)),),
    indexes=(
        IndexOn(
            "sync_priority",
            "sync_priority_group_id_priority_request_id",
            ("group_id", "priority", "request_id"),
        ),
    ),
)
