"""Version 8 of the component `sync`: the node from which a claimed pull reads.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import INTEGER, Column, Migration

MIGRATION = Migration(
    number=8,
    columns=(("sync_claim", Column("source_id", INTEGER, null=True)),),
)
