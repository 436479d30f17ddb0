"""Version 3 of the component `sync`: conditions, back-off by host and node, codes of reasons, and how runs ended.

Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import AUTO, DATETIME, INTEGER, TEXT, Column, IndexOn, Migration, Table

ID = Column("id", AUTO)
CODE = Column("code", "VARCHAR(48)", null=True)

MIGRATION = Migration(
    number=3,
    tables=(
        Table(
            "sync_condition",
            (
                ID,
                Column("host", "VARCHAR(64)"),
                Column("code", "VARCHAR(48)"),
                Column("subject", "VARCHAR(255)"),
                Column("why", TEXT),
                Column("began", DATETIME),
                Column("seen", DATETIME),
                Column("reported", DATETIME, null=True),
            ),
        ),
        Table(
            "sync_backoff",
            (
                ID,
                Column("host", "VARCHAR(64)"),
                Column("kind", "VARCHAR(8)"),
                Column("subject_id", INTEGER),
                Column("count", INTEGER),
                Column("last", DATETIME),
                Column("next", DATETIME),
                Column("code", "VARCHAR(48)", null=True),
                Column("error", TEXT),
            ),
        ),
    ),
    columns=(
        ("sync_attempt", CODE),
        ("sync_event", CODE),
        ("sync_run", Column("pid", INTEGER, null=True)),
        ("sync_run", Column("ending", TEXT, null=True)),
    ),
    indexes=(
        IndexOn("sync_condition", "sync_condition_host_code_subject", ("host", "code", "subject"), True),
        IndexOn("sync_backoff", "sync_backoff_host_kind_subject_id", ("host", "kind", "subject_id"), True),
    ),
)
