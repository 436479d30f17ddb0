"""Version 5 of the component `sync`: the acquisition into which files at the top of a node's root are moved.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import Column, Migration

MIGRATION = Migration(
    number=5,
    columns=(("sync_node", Column("top_acq", "VARCHAR(64)", null=True)),),
)
