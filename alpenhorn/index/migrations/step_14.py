"""Version 14 of the component `sync`: the way of copies to tape.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import (
    BOOL,
    DATETIME,
    INTEGER,
    TEXT,
    Column,
    IndexOn,
    Migration,
    Table,
)

MIGRATION = Migration(
    number=14,
    tables=(
        Table(
            "sync_tape",
            (
                Column("node_id", INTEGER),
                Column("file_id", INTEGER),
                Column("state", "VARCHAR(12)"),
                Column("batch", "VARCHAR(64)"),
                Column("since", DATETIME),
                Column("tries", INTEGER),
                Column("next", DATETIME),
                Column("error", TEXT),
                Column("code", "VARCHAR(48)", null=True),
                Column("md5sum", "VARCHAR(32)"),
                Column("medium", "VARCHAR(32)"),
            ),
            key=("node_id", "file_id"),
        ),
    ),
    columns=(
        ("sync_node", Column("tape_class", "VARCHAR(255)", null=True)),
        ("sync_node", Column("needs_tape", BOOL, null=True)),
    ),
    indexes=(IndexOn("sync_tape", "sync_tape_node_id_state_since", ("node_id", "state", "since")),),
)
