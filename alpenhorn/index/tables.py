"""The tables of the data index, fields only.

The first ten are those of the alpenhorn daemon (radiocosmology/alpenhorn v2, schema version 2), table for
table and column for column; they are never altered.  The `sync_` tables are ours: no invariant may depend
on a row of theirs existing, since other programs edit the same index and know nothing of them.

All datetimes are naive UTC.
"""

from __future__ import annotations

from typing import Any

import peewee as pw

from alpenhorn.index.engines import database
from alpenhorn.model.copies import HasFile, WantsFile


class EnumField(pw.Field):
    """One of a few short strings: a native enum on MariaDB, a checked string elsewhere.

    Raises ValueError when a value is assigned that is not among `choices`.
    """

    def __init__(self, values: tuple[str, ...], **options: Any) -> None:
        self.values = values
        super().__init__(**options)

    @property
    def field_type(self) -> str:  # type: ignore[override]
        return "ENUM" if isinstance(_backend(), pw.MySQLDatabase) else "VARCHAR"

    def get_modifiers(self) -> list[str]:  # type: ignore[override]
        if isinstance(_backend(), pw.MySQLDatabase):
            return [f"'{value}'" for value in self.values]
        return [str(max(len(value) for value in self.values))]

    def db_value(self, value: Any) -> Any:
        if value is not None and value not in self.values:
            raise ValueError(f"{value!r} is none of {', '.join(self.values)}")
        return None if value is None else str(value)


def _backend() -> Any:
    return database.obj


class TableModel(pw.Model):
    class Meta:
        database = database
        legacy_table_names = True


# --- the alpenhorn index -------------------------------------------------------------------------------


class DataIndexVersion(TableModel):
    component = pw.CharField(max_length=256, unique=True)
    version = pw.IntegerField()


class StorageHost(TableModel):
    name = pw.CharField(max_length=64, unique=True)
    username = pw.CharField(max_length=64, null=True)
    address = pw.CharField(max_length=255, null=True)
    notes = pw.TextField(null=True)


class StorageGroup(TableModel):
    name = pw.CharField(max_length=64, unique=True)
    io_class = pw.CharField(max_length=255, null=True)
    notes = pw.TextField(null=True)
    io_config = pw.TextField(null=True)


class StorageNode(TableModel):
    name = pw.CharField(max_length=64, unique=True)
    root = pw.CharField(max_length=255, null=True)
    host = pw.ForeignKeyField(StorageHost, backref="nodes", null=True)
    io_class = pw.CharField(max_length=255, null=True)
    group = pw.ForeignKeyField(StorageGroup, backref="nodes")
    active = pw.BooleanField(default=False)
    auto_import = pw.BooleanField(default=False)
    auto_verify = pw.IntegerField(default=0)
    archive = pw.BooleanField(default=False)
    max_total_gb = pw.FloatField(null=True)
    min_avail_gb = pw.FloatField(default=0)
    avail_gb = pw.FloatField(null=True)
    avail_gb_last_checked = pw.DateTimeField(null=True)
    notes = pw.TextField(null=True)
    io_config = pw.TextField(null=True)


class ArchiveAcq(TableModel):
    name = pw.CharField(max_length=64, unique=True)
    comment = pw.TextField(null=True)


class ArchiveFile(TableModel):
    acq = pw.ForeignKeyField(ArchiveAcq, backref="files")
    name = pw.CharField(max_length=255)
    size_b = pw.BigIntegerField(null=True)
    md5sum = pw.CharField(max_length=32, null=True)
    registered = pw.DateTimeField()

    class Meta:
        indexes = ((("acq", "name"), True),)


class ArchiveFileCopy(TableModel):
    file = pw.ForeignKeyField(ArchiveFile, backref="copies")
    node = pw.ForeignKeyField(StorageNode, backref="copies")
    has_file = EnumField(("N", "Y", "M", "X"), default=HasFile.NO)
    wants_file = EnumField(("Y", "M", "N"), default=WantsFile.YES)
    ready = pw.BooleanField(default=False)
    size_b = pw.BigIntegerField(null=True)
    last_update = pw.DateTimeField()

    class Meta:
        indexes = ((("file", "node"), True),)


class ArchiveFileCopyRequest(TableModel):
    file = pw.ForeignKeyField(ArchiveFile, backref="requests")
    group_to = pw.ForeignKeyField(StorageGroup, backref="requests_to")
    node_from = pw.ForeignKeyField(StorageNode, backref="requests_from")
    completed = pw.BooleanField(default=False)
    cancelled = pw.BooleanField(default=False)
    timestamp = pw.DateTimeField(null=True)
    transfer_started = pw.DateTimeField(null=True)
    transfer_completed = pw.DateTimeField(null=True)

    class Meta:
        indexes = ((("file", "group_to", "node_from"), False),)


class ArchiveFileImportRequest(TableModel):
    node = pw.ForeignKeyField(StorageNode, backref="import_requests")
    path = pw.CharField(max_length=1024)
    recurse = pw.BooleanField(default=False)
    register = pw.BooleanField(default=False)
    completed = pw.BooleanField(default=False)
    timestamp = pw.DateTimeField(null=True)


class StorageTransferAction(TableModel):
    node_from = pw.ForeignKeyField(StorageNode, backref="actions")
    group_to = pw.ForeignKeyField(StorageGroup, backref="actions")
    autosync = pw.BooleanField(default=False)
    autoclean = pw.BooleanField(default=False)

    class Meta:
        indexes = ((("node_from", "group_to"), True),)


# --- ours ----------------------------------------------------------------------------------------------
# Plain integers rather than foreign keys: a row here must never keep another program from deleting a row
# of the alpenhorn index, and a dangling one does no harm.


class SyncTable(TableModel):
    class Meta:
        legacy_table_names = False  # sync_run, and names of indexes that begin with that


class SyncRun(SyncTable):
    """One row a run.  `ending`: why a run ended that did not come to its end, such as the index lost; null: it did, or
    it died without a word.
    """

    host = pw.CharField(max_length=64)
    nodes = pw.TextField()  # names, separated by blanks
    started = pw.DateTimeField()
    ended = pw.DateTimeField(null=True)
    exit_status = pw.IntegerField(null=True)
    done = pw.IntegerField(default=0)  # files pulled, checked and imported
    failed = pw.IntegerField(default=0)
    bytes = pw.BigIntegerField(default=0)
    counts = pw.TextField(null=True)  # JSON: {"pull": {"done": n, "failed": n, "bytes": n}, "check": ...}
    pid = pw.IntegerField(null=True)
    ending = pw.TextField(null=True)


class SyncClaim(SyncTable):
    """Who may settle a file's pull into a group (kind `pull`), or delete its copy from a node (kind `delete`),
    until when.

    `fence` grows with each take-over, so that it can be seen that a lease ran out under a run.
    """

    kind = pw.CharField(max_length=8)
    file_id = pw.IntegerField()
    target_id = pw.IntegerField()  # pull: the group; delete: the node
    node_id = pw.IntegerField()  # the node that is worked on
    reserved_b = pw.BigIntegerField()
    host = pw.CharField(max_length=64)
    run_id = pw.IntegerField()
    expires = pw.DateTimeField()
    fence = pw.IntegerField()

    class Meta:
        indexes = ((("kind", "file_id", "target_id"), True), (("node_id",), False), (("run_id",), False))


class SyncAttempt(SyncTable):
    """The failed attempts at one piece of work, gone once it succeeds."""

    kind = pw.CharField(max_length=8)  # pull, check, delete, import
    subject_id = pw.IntegerField()  # pull: request id; check, delete: copy id; import: import request id
    count = pw.IntegerField()
    last = pw.DateTimeField()
    next = pw.DateTimeField()
    blame = pw.CharField(max_length=16)
    error = pw.TextField()
    code = pw.CharField(max_length=48, null=True)  # that of the reason in `error`

    class Meta:
        indexes = ((("kind", "subject_id"), True),)


class SyncVerification(SyncTable):
    """When a copy was last read in full and found good."""

    file_id = pw.IntegerField()
    node_id = pw.IntegerField()
    verified = pw.DateTimeField()

    class Meta:
        primary_key = pw.CompositeKey("node_id", "file_id")
        # Those verified longest ago first, and among equals an order in which a page ends somewhere.
        indexes = ((("node_id", "verified", "file_id"), False),)


class SyncPin(SyncTable):
    """A file whose copies, or whose copy on one node, are kept from deletion."""

    file_id = pw.IntegerField()
    node_id = pw.IntegerField()  # 0: on every node
    reason = pw.TextField(null=True)
    pinned = pw.DateTimeField()
    until = pw.DateTimeField(null=True)  # null: for good

    class Meta:
        indexes = ((("file_id", "node_id"), True),)


class SyncFormerName(SyncTable):
    """A name that a node had, by which its storage may still be marked."""

    node_id = pw.IntegerField()
    name = pw.CharField(max_length=64)
    renamed = pw.DateTimeField()

    class Meta:
        indexes = ((("node_id", "name"), True),)


class SyncRestore(SyncTable):
    """A copy that was asked back from tape, until it is known to be there or not needed any more.

    `state`: "asked"; "failed", to be tried again; "back", to be checked; "checked", to be left to the tape again.
    """

    file_id = pw.IntegerField()
    node_id = pw.IntegerField()
    purpose = pw.CharField(max_length=8)  # "pull" or "check"
    state = pw.CharField(max_length=8)
    tries = pw.IntegerField()  # how often it was asked for
    asked = pw.DateTimeField()  # when, last
    next = pw.DateTimeField()  # when it is looked at again, or tried again
    error = pw.TextField()

    class Meta:
        indexes = ((("node_id", "file_id"), True),)


class SyncNode(SyncTable):
    """What runs keep in mind of a node.

    `compared`: the last copy that was compared with the tape.  `manifest` and what follows: the token of the
    manifest on the node, null when nobody vouches that the files there are as it says; where the node was then;
    up to which event, and of how many files, the manifest tells.
    """

    node_id = pw.IntegerField(unique=True)
    compared = pw.IntegerField(default=0)
    manifest = pw.CharField(max_length=32, null=True)
    host = pw.CharField(max_length=64, null=True)
    root = pw.CharField(max_length=255, null=True)
    event_id = pw.BigIntegerField(default=0)
    files = pw.IntegerField(default=0)


class SyncIndex(SyncTable):
    """What is known of the index as a whole, one row for each name.

    `identity`: the random id by which media know to which index they belong.  `restored`: why the index is older
    than the disks, so that nothing may be deleted; no row when it is not.  `backup`: the path of the newest backup, and
    when it was made.  `pruned`: the highest number of a run that was removed from the history.
    """

    name = pw.CharField(max_length=32, unique=True)
    value = pw.TextField()
    at = pw.DateTimeField(null=True)


class SyncMedium(SyncTable):
    """The medium of a node, as it was last seen; no row: no run of ours has seen the node.

    `medium`: its random id.  `generation` and `word`: confirmed, so that the disk has exactly these; `next_generation`
    and `next_word`: intended, so that the disk has these or the confirmed ones, and nothing was changed under them.
    `seen`: when the node was last found right, by the server's clock; `wrong`: since when it is not, null when it is
    right, and `why`.  `distrust`: null; "compare": its copies count once they were compared with the disk;
    "reconcile": only an admin's reconciliation ends it.  `separate`: every copy on it is known to have bytes of its
    own, and not to share them with another name.  `looked` and `lost`: copies looked at since the node was last
    seen whole, and how many of these were missing or unreadable.  `changed` and `changed_why`: when and how the medium
    last turned out to be another one, or another state of it.
    """

    node_id = pw.IntegerField(unique=True)
    medium = pw.CharField(max_length=32, null=True)
    generation = pw.BigIntegerField(default=0)
    word = pw.CharField(max_length=16, null=True)
    next_generation = pw.BigIntegerField(null=True)
    next_word = pw.CharField(max_length=16, null=True)
    seen = pw.DateTimeField(null=True)
    wrong = pw.DateTimeField(null=True)
    why = pw.TextField(null=True)
    distrust = pw.CharField(max_length=16, null=True)
    separate = pw.BooleanField(default=False)
    looked = pw.IntegerField(default=0)
    lost = pw.IntegerField(default=0)
    changed = pw.DateTimeField(null=True)
    changed_why = pw.TextField(null=True)


class SyncFileClaim(SyncTable):
    """The row of a file that every claim on a deletion of one of its copies writes, on a Galera cluster: there the
    locks of one server mean nothing to the others, and only two that write one row are told apart."""

    file_id = pw.IntegerField(primary_key=True)
    fence = pw.BigIntegerField()


class SyncCondition(SyncTable):
    """What lasts and needs attention, such as a node that does not answer, so that it is reported when it begins,
    changes and ends, and once a day, and not by each run.

    `host`: that of the runs that meet it; `code`: of the reason; `subject`: the node, host or other thing; `began`,
    `seen` and `reported`: when it was first met, last met, and last reported.
    """

    host = pw.CharField(max_length=64)
    code = pw.CharField(max_length=48)
    subject = pw.CharField(max_length=255)
    why = pw.TextField()
    began = pw.DateTimeField()
    seen = pw.DateTimeField()
    reported = pw.DateTimeField(null=True)

    class Meta:
        indexes = ((("host", "code", "subject"), True),)


class SyncBackoff(SyncTable):
    """Failed attempts to reach a host (kind `host`, the id of its row) or to use a node (kind `node`) from `host`; gone
    once one succeeds.  Until `next` no work that needs it is tried, and then one piece of work first."""

    host = pw.CharField(max_length=64)
    kind = pw.CharField(max_length=8)
    subject_id = pw.IntegerField()
    count = pw.IntegerField()
    last = pw.DateTimeField()
    next = pw.DateTimeField()
    code = pw.CharField(max_length=48, null=True)
    error = pw.TextField()

    class Meta:
        indexes = ((("host", "kind", "subject_id"), True),)


class SyncEvent(SyncTable):
    """What happened to which copy, and why.  Only ever added to."""

    id = pw.BigAutoField()
    at = pw.DateTimeField(index=True)
    run_id = pw.IntegerField(null=True)
    file_id = pw.IntegerField()
    node_id = pw.IntegerField()
    what = pw.CharField(max_length=16)
    why = pw.TextField()
    code = pw.CharField(max_length=48, null=True)  # that of the reason in `why`

    class Meta:
        indexes = ((("file_id", "node_id"), False), (("node_id", "at"), False), (("run_id",), False))


ALPENHORN_TABLES: tuple[type[TableModel], ...] = (
    DataIndexVersion,
    StorageHost,
    StorageGroup,
    StorageNode,
    ArchiveAcq,
    ArchiveFile,
    ArchiveFileCopy,
    ArchiveFileCopyRequest,
    ArchiveFileImportRequest,
    StorageTransferAction,
)
SYNC_TABLES: tuple[type[TableModel], ...] = (
    SyncRun,
    SyncClaim,
    SyncAttempt,
    SyncVerification,
    SyncPin,
    SyncFormerName,
    SyncRestore,
    SyncNode,
    SyncEvent,
    SyncIndex,
    SyncMedium,
    SyncFileClaim,
    SyncCondition,
    SyncBackoff,
)
