"""Version 4 of the component `sync`: days for which a node may be absent, why a medium is not valid as a code, and runs
by host.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import INTEGER, Column, IndexOn, Migration

MIGRATION = Migration(
    number=4,
    columns=(
        ("sync_node", Column("absent_ok", INTEGER, null=True)),
        ("sync_medium", Column("code", "VARCHAR(48)", null=True)),
    ),
    indexes=(IndexOn("sync_run", "sync_run_host", ("host",)),),
)
