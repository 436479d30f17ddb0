"""Version 6 of the component `sync`: sites, and policies.

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

MIGRATION = Migration(
    number=6,
    tables=(
        Table(
            "sync_host",
            (Column("id", AUTO), Column("host_id", INTEGER), Column("site", "VARCHAR(64)", null=True)),
        ),
        Table(
            "sync_policy",
            (
                Column("id", AUTO),
                Column("name", "VARCHAR(64)"),
                Column("copies", INTEGER),
                Column("sites", INTEGER),
                Column("min_age", BIGINT),
                Column("priority", INTEGER),
            ),
        ),
        Table(
            "sync_policy_acq",
            (Column("id", AUTO), Column("policy_id", INTEGER), Column("pattern", "VARCHAR(255)")),
        ),
        Table(
            "sync_policy_group",
            (
                Column("id", AUTO),
                Column("policy_id", INTEGER),
                Column("group_id", INTEGER),
                Column("required", BOOL),
            ),
        ),
        Table(
            "sync_policy_sweep",
            (
                Column("id", AUTO),
                Column("host", "VARCHAR(64)"),
                Column("made_from", "VARCHAR(64)"),
                Column("event_id", BIGINT),
                Column("news_at", DATETIME, null=True),
                Column("swept", DATETIME, null=True),
                Column("place", INTEGER),
                Column("begun_at", INTEGER),
                Column("part", INTEGER),
            ),
        ),
    ),
    columns=(("sync_node", Column("site", "VARCHAR(64)", null=True)),),
    indexes=(
        IndexOn("sync_host", "sync_host_host_id", ("host_id",), unique=True),
        IndexOn("sync_policy", "sync_policy_name", ("name",), unique=True),
        IndexOn("sync_policy_sweep", "sync_policy_sweep_host", ("host",), unique=True),
    ),
)
