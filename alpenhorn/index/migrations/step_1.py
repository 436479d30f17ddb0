"""Version 1 of the component `sync`.

Its tables and indexes were added over time without a new version, so an index of version 1 may lack some of them.
Released: never edit it; add a new step instead.
"""

from __future__ import annotations

from alpenhorn.index.migrations.ddl import (
    AUTO,
    BIG_AUTO,
    BIGINT,
    DATETIME,
    INTEGER,
    TEXT,
    Column,
    IndexOn,
    Migration,
    Table,
)

ID = Column("id", AUTO)

MIGRATION = Migration(
    number=1,
    tables=(
        Table(
            "sync_run",
            (
                ID,
                Column("host", "VARCHAR(64)"),
                Column("nodes", TEXT),
                Column("started", DATETIME),
                Column("ended", DATETIME, null=True),
                Column("exit_status", INTEGER, null=True),
                Column("done", INTEGER, default=0),
                Column("failed", INTEGER, default=0),
                Column("bytes", BIGINT, default=0),
                Column("counts", TEXT, null=True),
            ),
        ),
        Table(
            "sync_claim",
            (
                ID,
                Column("kind", "VARCHAR(8)"),
                Column("file_id", INTEGER),
                Column("target_id", INTEGER),
                Column("node_id", INTEGER),
                Column("reserved_b", BIGINT),
                Column("host", "VARCHAR(64)"),
                Column("run_id", INTEGER),
                Column("expires", DATETIME),
                Column("fence", INTEGER),
            ),
        ),
        Table(
            "sync_attempt",
            (
                ID,
                Column("kind", "VARCHAR(8)"),
                Column("subject_id", INTEGER),
                Column("count", INTEGER),
                Column("last", DATETIME),
                Column("next", DATETIME),
                Column("blame", "VARCHAR(16)"),
                Column("error", TEXT),
            ),
        ),
        Table(
            "sync_verification",
            (Column("file_id", INTEGER), Column("node_id", INTEGER), Column("verified", DATETIME)),
            key=("node_id", "file_id"),
        ),
        Table(
            "sync_pin",
            (
                ID,
                Column("file_id", INTEGER),
                Column("node_id", INTEGER),
                Column("reason", TEXT, null=True),
                Column("pinned", DATETIME),
                Column("until", DATETIME, null=True),
            ),
        ),
        Table(
            "sync_former_name",
            (ID, Column("node_id", INTEGER), Column("name", "VARCHAR(64)"), Column("renamed", DATETIME)),
        ),
        Table(
            "sync_restore",
            (
                ID,
                Column("file_id", INTEGER),
                Column("node_id", INTEGER),
                Column("purpose", "VARCHAR(8)"),
                Column("state", "VARCHAR(8)"),
                Column("tries", INTEGER),
                Column("asked", DATETIME),
                Column("next", DATETIME),
                Column("error", TEXT),
            ),
        ),
        Table(
            "sync_node",
            (
                ID,
                Column("node_id", INTEGER),
                Column("compared", INTEGER, default=0),
                Column("manifest", "VARCHAR(32)", null=True),
                Column("host", "VARCHAR(64)", null=True),
                Column("root", "VARCHAR(255)", null=True),
                Column("event_id", BIGINT, default=0),
                Column("files", INTEGER, default=0),
            ),
        ),
        Table(
            "sync_event",
            (
                Column("id", BIG_AUTO),
                Column("at", DATETIME),
                Column("run_id", INTEGER, null=True),
                Column("file_id", INTEGER),
                Column("node_id", INTEGER),
                Column("what", "VARCHAR(16)"),
                Column("why", TEXT),
            ),
        ),
    ),
    indexes=(
        IndexOn("sync_claim", "sync_claim_kind_file_id_target_id", ("kind", "file_id", "target_id"), True),
        IndexOn("sync_claim", "sync_claim_node_id", ("node_id",)),
        IndexOn("sync_claim", "sync_claim_run_id", ("run_id",)),
        IndexOn("sync_attempt", "sync_attempt_kind_subject_id", ("kind", "subject_id"), True),
        IndexOn(
            "sync_verification",
            "sync_verification_node_id_verified_file_id",
            ("node_id", "verified", "file_id"),
        ),
        IndexOn("sync_pin", "sync_pin_file_id_node_id", ("file_id", "node_id"), True),
        IndexOn("sync_former_name", "sync_former_name_node_id_name", ("node_id", "name"), True),
        IndexOn("sync_restore", "sync_restore_node_id_file_id", ("node_id", "file_id"), True),
        IndexOn("sync_node", "sync_node_node_id", ("node_id",), True),
        IndexOn("sync_event", "sync_event_at", ("at",)),
        IndexOn("sync_event", "sync_event_file_id_node_id", ("file_id", "node_id")),
        IndexOn("sync_event", "sync_event_node_id_at", ("node_id", "at")),
        IndexOn("sync_event", "sync_event_run_id", ("run_id",)),
        # Indexes on the daemon's tables, which have none for pending work.
        IndexOn("archivefilecopyrequest", "sync_request_by_group", ("group_to_id", "completed", "cancelled")),
        IndexOn(
            "archivefilecopyrequest", "sync_request_by_source", ("node_from_id", "completed", "cancelled")
        ),
        IndexOn("archivefilecopy", "sync_copy_by_state", ("node_id", "has_file", "wants_file")),
        IndexOn("archivefileimportrequest", "sync_import_by_node", ("node_id", "completed")),
    ),
)
