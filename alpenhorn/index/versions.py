"""By what an index is known as today's."""

# Of sync: the number of the newest step in alpenhorn.index.migrations.
VERSIONS = {"alpenhorn": 2, "sync": 3}
OURS = (
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
)
# Of storagenode in the older releases 2.0.0rc1 and rc2, which had no table storagehost.
OLD_COLUMNS = ("host", "username", "address", "storage_type")
