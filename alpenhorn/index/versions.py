"""Versions, tables and columns by which the current index is recognized."""

# The version of sync is the number of the newest step in alpenhorn.index.migrations.
VERSIONS = {"alpenhorn": 2, "sync": 14}
SYNC_TABLE_NAMES = (
    "sync_run",
    "sync_claim",
    "sync_attempt",
    "sync_verification",
    "sync_pin",
    "sync_former_name",
    "sync_restore",
    "sync_node",
    "sync_event",
    "sync_index",
    "sync_medium",
    "sync_file_claim",
    "sync_condition",
    "sync_backoff",
    "sync_host",
    "sync_policy",
    "sync_policy_acq",
    "sync_policy_group",
    "sync_policy_sweep",
    "sync_retirement",
    "sync_retirement_group",
    "sync_deleted_node",
    "sync_priority",
    "sync_trash",
    "sync_digest",
    "sync_tally",
    "sync_tally_part",
    "sync_verified_status",
    "sync_tape",
)
# Columns of storagenode in the older releases 2.0.0rc1 and rc2, which had no table storagehost.
OLD_COLUMNS = ("host", "username", "address", "storage_type")
