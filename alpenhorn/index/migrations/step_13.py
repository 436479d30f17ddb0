"""Version 13 of the component `sync`: which files the sums of copies are about.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import BIGINT, INTEGER, Column, Migration

# NULL: counted by an earlier version.
MIGRATION = Migration(
    number=13,
    columns=(
        ("sync_tally", Column("ids", BIGINT, null=True)),
        ("sync_tally_part", Column("files", INTEGER, null=True)),
        ("sync_tally_part", Column("ids", BIGINT, null=True)),
    ),
)
