"""Models of the tables of the data index.

The first ten are the tables of the alpenhorn daemon (radiocosmology/alpenhorn v2, schema version 2), with the same
columns; they are never altered.  The `sync_` tables are this program's own.  No invariant may depend on the existence
of their rows, since other programs edit the same index and do not know these tables.

All datetimes are naive UTC.
"""

from __future__ import annotations

from typing import Any

import peewee as pw

from alpenhorn.index.engines import database
from alpenhorn.model.copies import HasFile, WantsFile


class EnumField(pw.Field):
    """A field with a few permitted strings: an ENUM on MariaDB, a checked string on SQLite.

    Raises ValueError if another value is assigned.
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
            raise ValueError(f"{value!r} is not one of {', '.join(self.values)}")
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


# --- the sync_ tables -----------------------------------------------------------------------------------
# They refer to rows by plain integers: foreign keys would prevent other programs from deleting rows of the
# alpenhorn index, while a dangling reference does no harm.


class SyncTable(TableModel):
    class Meta:
        legacy_table_names = False  # names such as sync_run, also as the beginning of the names of indexes


class SyncRun(SyncTable):
    """A run.  `ending`: why it ended early, such as a lost index; null: it completed, or was killed."""

    host = pw.CharField(max_length=64)
    nodes = pw.TextField()  # names, separated by spaces
    started = pw.DateTimeField()
    ended = pw.DateTimeField(null=True)
    exit_status = pw.IntegerField(null=True)
    done = pw.IntegerField(default=0)  # files pulled, checked and imported
    failed = pw.IntegerField(default=0)
    bytes = pw.BigIntegerField(default=0)
    counts = pw.TextField(null=True)  # JSON: {"pull": {"done": n, "failed": n, "bytes": n}, "check": ...}
    pid = pw.IntegerField(null=True)
    ending = pw.TextField(null=True)

    class Meta:
        indexes = ((("host",), False),)


class SyncClaim(SyncTable):
    """A run's lease to pull a file into a group (kind `pull`), or to delete its copy from a node (kind `delete`).

    `fence` increases with each take-over, so that a run notices that its lease expired and was taken over.
    """

    kind = pw.CharField(max_length=8)
    file_id = pw.IntegerField()
    target_id = pw.IntegerField()  # pull: the group; delete: the node
    node_id = pw.IntegerField()  # the node on which the run works
    reserved_b = pw.BigIntegerField()
    host = pw.CharField(max_length=64)
    run_id = pw.IntegerField()
    expires = pw.DateTimeField()
    fence = pw.IntegerField()
    source_id = pw.IntegerField(null=True)  # pull: the node that is read

    class Meta:
        indexes = ((("kind", "file_id", "target_id"), True), (("node_id",), False), (("run_id",), False))


class SyncAttempt(SyncTable):
    """Failed attempts at one piece of work; deleted when it succeeds."""

    kind = pw.CharField(max_length=8)  # pull, source, check, delete, import
    # pull: request id; check, delete: copy id; import: import request id; source: id of the copy that was read in place
    # of the requested source
    subject_id = pw.IntegerField()
    count = pw.IntegerField()
    last = pw.DateTimeField()
    next = pw.DateTimeField()
    blame = pw.CharField(max_length=16)
    error = pw.TextField()
    code = pw.CharField(max_length=48, null=True)  # of the reason in `error`

    class Meta:
        indexes = ((("kind", "subject_id"), True),)


class SyncVerification(SyncTable):
    """The time at which a copy was last read in full and found good."""

    file_id = pw.IntegerField()
    node_id = pw.IntegerField()
    verified = pw.DateTimeField()

    class Meta:
        primary_key = pw.CompositeKey("node_id", "file_id")
        # The order in which copies are verified again, oldest first; file_id makes it unique for paging.
        indexes = ((("node_id", "verified", "file_id"), False),)


class SyncPin(SyncTable):
    """A file whose copies, or whose copy on one node, must not be deleted."""

    file_id = pw.IntegerField()
    node_id = pw.IntegerField()  # 0: on every node
    reason = pw.TextField(null=True)
    pinned = pw.DateTimeField()
    until = pw.DateTimeField(null=True)  # null: for good

    class Meta:
        indexes = ((("file_id", "node_id"), True),)


class SyncFormerName(SyncTable):
    """A former name of a node, which the marker on its storage may still have."""

    node_id = pw.IntegerField()
    name = pw.CharField(max_length=64)
    renamed = pw.DateTimeField()

    class Meta:
        indexes = ((("node_id", "name"), True),)


class SyncRestore(SyncTable):
    """A restore of a copy from tape, kept until the copy is on disk or no longer needed.

    `state`: "asked"; "failed", to be tried again; "back", to be checked; "checked", to be released to tape again.
    """

    file_id = pw.IntegerField()
    node_id = pw.IntegerField()
    purpose = pw.CharField(max_length=8)  # "pull" or "check"
    state = pw.CharField(max_length=8)
    tries = pw.IntegerField()  # number of restore requests
    asked = pw.DateTimeField()  # time of the last request
    next = pw.DateTimeField()  # time of the next look or try
    error = pw.TextField()

    class Meta:
        indexes = ((("node_id", "file_id"), True),)


class SyncNode(SyncTable):
    """State of a node between runs.

    `compared`: the last copy that was compared with the tape.  `manifest`: the token of the manifest on the node, null
    if the manifest may be wrong; `host` and `root`: location of the node when it was written, with the place of its
    objects instead of the root if it has any; `event_id` and `files`:
    the last event that it includes, and its number of files.  `absent_ok`: number of days for which the node may be
    absent without a complaint, null for none.  `top_acq`: the acquisition into which files at the top of its root are
    moved, null for none.  `site`: where its storage is, null for the site of its host.  `tape_class`: the storage class
    of an installed package that the node had in its last run, and `needs_tape`: whether copies on it count for
    deletions only once they are on tape.
    """

    node_id = pw.IntegerField(unique=True)
    compared = pw.IntegerField(default=0)
    manifest = pw.CharField(max_length=32, null=True)
    host = pw.CharField(max_length=64, null=True)
    root = pw.CharField(max_length=255, null=True)
    event_id = pw.BigIntegerField(default=0)
    files = pw.IntegerField(default=0)
    absent_ok = pw.IntegerField(null=True)
    top_acq = pw.CharField(max_length=64, null=True)
    site = pw.CharField(max_length=64, null=True)
    tape_class = pw.CharField(max_length=255, null=True)
    needs_tape = pw.BooleanField(null=True)


class SyncHost(SyncTable):
    """Properties of a host.  `site`: where it is, null for a site of its own, with its name."""

    host_id = pw.IntegerField(unique=True)
    site = pw.CharField(max_length=64, null=True)


class SyncPolicy(SyncTable):
    """How many good copies of files there should be, and at how many sites.

    `min_age`: seconds since a file was registered before copies of it are requested; `priority`: of these requests.
    The policy `default` applies to the files that no other policy matches.
    """

    name = pw.CharField(max_length=64, unique=True)
    copies = pw.IntegerField()
    sites = pw.IntegerField()
    min_age = pw.BigIntegerField()
    priority = pw.IntegerField()


class SyncPolicyAcq(SyncTable):
    """A pattern of names of acquisitions that a policy matches; a policy without one matches all."""

    policy_id = pw.IntegerField()
    pattern = pw.CharField(max_length=255)


class SyncPolicyGroup(SyncTable):
    """A group of a policy.  `required`: it must have a copy; otherwise only copies in such groups count."""

    policy_id = pw.IntegerField()
    group_id = pw.IntegerField()
    required = pw.BooleanField()


class SyncPolicySweep(SyncTable):
    """How far a host has compared the files of the index with the policies.

    `made_from`: a digest of the policies, nodes and sites of the last comparison.  `event_id` and `news_at`: the last
    event, and the time, up to which changed files were looked at.  A comparison of all files goes from the file after
    `begun_at` to the last one (`part` 1), and from the first to `begun_at` (`part` 2); `place` is the last file so far;
    `part` 0: none is under way.  `swept`: when the last one was complete; null: none was.
    """

    host = pw.CharField(max_length=64, unique=True)
    made_from = pw.CharField(max_length=64)
    event_id = pw.BigIntegerField()
    news_at = pw.DateTimeField(null=True)
    swept = pw.DateTimeField(null=True)
    place = pw.IntegerField()
    begun_at = pw.IntegerField()
    part = pw.IntegerField()


class SyncIndex(SyncTable):
    """Named values about the index as a whole.

    `identity`: the random id of the index, which its media also have.  `restored`: why the index is older than the
    disks, so that nothing may be deleted; no row otherwise.  `backup`: path and time of the newest backup.
    `pruned`: the highest number of a run that was removed from the history.  `priorities`: a random word, new after
    each change of the priority of a request.  `few copies N`: the number of files with too few copies, where files to
    which no policy applies should have N; `few copies N part`: a count of them that is not complete.  `retirement N`:
    what is remembered of the last comparison of the copies on the retired node N.
    """

    name = pw.CharField(max_length=32, unique=True)
    value = pw.TextField()
    at = pw.DateTimeField(null=True)


class SyncMedium(SyncTable):
    """The medium of a node, as last seen; no row: no run has seen the node yet.

    `medium`: its random id.  `generation` and `word`: the confirmed values, which the disk has; `next_generation` and
    `next_word`: intended values, which the disk may already have; no file was changed yet under them.
    `seen`: time at which the node was last found valid, by the server's clock; `wrong` and `why`: time since which it
    is not valid, and the reason, with its `code`; null if it is valid.  `distrust`: null; "compare": its copies count
    after they were compared with the disk; "reconcile": its copies count after the user has run `alpenhorn reconcile`.
    `separate`: no copy on it is a hard link or clone of another file.  `looked` and `lost`: numbers of copies looked
    at since the node was last found complete, and of missing or unreadable ones among them.  `changed` and
    `changed_why`: when and how the medium, or its state, was last found exchanged.
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
    code = pw.CharField(max_length=48, null=True)
    distrust = pw.CharField(max_length=16, null=True)
    separate = pw.BooleanField(default=False)
    looked = pw.IntegerField(default=0)
    lost = pw.IntegerField(default=0)
    changed = pw.DateTimeField(null=True)
    changed_why = pw.TextField(null=True)


class SyncFileClaim(SyncTable):
    """A row for each file, written by every claim to delete one of its copies, on a Galera cluster only.

    There, locks are local to one server; only writes to the same row conflict across servers.
    """

    file_id = pw.IntegerField(primary_key=True)
    fence = pw.BigIntegerField()


class SyncCondition(SyncTable):
    """A problem that lasts, such as an unreachable node: reported when it begins, changes and ends, and once a day.

    `host`: the host whose runs have the problem; `code`: code of the reason; `subject`: the node, host or other thing;
    `began`, `seen` and `reported`: when it was first seen, last seen, and last reported.
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
    """Failed attempts to reach a host (kind `host`, by its row's id) or to use a node (kind `node`) from `host`.

    Deleted after a success.  No work that needs the host or node is tried before `next`; then one piece of work first.
    """

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


class SyncRetirement(SyncTable):
    """A retired node: it is a source, but its copies do not count for deletions, and nothing is copied to it.

    `releases`: runs release its copies once enough others exist; `declared_lost`: its medium is gone; `cancelled`: it
    is not retired any more, but some of its requests or releases may not be undone yet.  `compared_at`: when all its
    copies were last compared with those elsewhere; `event_id`: the last event up to which files with new events were
    compared, too; `stuck` and `nowhere`: numbers of its files that could not be requested, and that have no good copy
    anywhere, as of then.
    """

    node_id = pw.IntegerField(unique=True)
    began = pw.DateTimeField()
    releases = pw.BooleanField(default=False)
    declared_lost = pw.BooleanField(default=False)
    cancelled = pw.BooleanField(default=False)
    compared_at = pw.DateTimeField(null=True)
    event_id = pw.BigIntegerField(default=0)
    stuck = pw.IntegerField(default=0)
    nowhere = pw.IntegerField(default=0)


class SyncRetirementGroup(SyncTable):
    """A group into which the files of a retired node are requested."""

    node_id = pw.IntegerField()
    group_id = pw.IntegerField()

    class Meta:
        indexes = ((("node_id", "group_id"), True),)


class SyncDeletedNode(SyncTable):
    """A node that was deleted from the index.  The events about it have the node id -`id`."""

    name = pw.CharField(max_length=64, index=True)
    deleted = pw.DateTimeField()


class SyncPriority(SyncTable):
    """The priority of a pending request, if it is not 0; larger ones are done first."""

    request_id = pw.IntegerField(primary_key=True)
    group_id = pw.IntegerField()
    priority = pw.IntegerField()

    class Meta:
        indexes = ((("group_id", "priority", "request_id"), False),)


class SyncTrash(SyncTable):
    """A deleted file that is still in the trash of a node, ROOT/.alpenhorn/trash/BATCH/ACQ/NAME.

    `file_id` 0: the batch holds files that the index does not know.  `trashed`: when it was deleted, by the server's
    clock; `size_b`: bytes that it takes on the medium; `asked`: when somebody asked for its return, null if nobody did.
    """

    node_id = pw.IntegerField()
    file_id = pw.IntegerField()
    batch = pw.CharField(max_length=64)
    trashed = pw.DateTimeField()
    size_b = pw.BigIntegerField()
    asked = pw.DateTimeField(null=True)

    class Meta:
        indexes = (
            (("node_id", "batch", "file_id"), True),
            (("file_id", "node_id", "batch"), False),
            (("node_id", "asked"), False),
        )


class SyncDigest(SyncTable):
    """The SHA-256 sum of a file, from a copy that had this length and MD5 sum.

    It is believed only while the file has both: other programs change them, and SQLite gives the id of a deleted file
    to a later one.  All sums are hexadecimal and in lower case.
    """

    file_id = pw.IntegerField(primary_key=True)
    size_b = pw.BigIntegerField()
    md5sum = pw.CharField(max_length=32)
    sha256 = pw.CharField(max_length=64)


class SyncTally(SyncTable):
    """The copies of a part of the archive on a node, in one state, when the part was counted.

    `part`: its first possible file id, and `files`: number of copies of its files; `ids`: which files these are, see
    `alpenhorn.scan.tallies`.
    """

    part = pw.IntegerField()
    node_id = pw.IntegerField()
    has_file = pw.CharField(max_length=1)
    wants_file = pw.CharField(max_length=1)
    files = pw.IntegerField()
    bytes = pw.BigIntegerField()
    ids = pw.BigIntegerField(null=True)

    class Meta:
        primary_key = pw.CompositeKey("part", "node_id", "has_file", "wants_file")


class SyncTallyPart(SyncTable):
    """A part of the archive whose tallies can be used.

    `counted`: the copies were counted after that time.  `files`: number of the files of the part, with or without
    copies; `ids`: which files these are.
    """

    part = pw.IntegerField(primary_key=True)
    counted = pw.DateTimeField()
    files = pw.IntegerField(null=True)
    ids = pw.BigIntegerField(null=True)


class SyncVerifiedStatus(SyncTable):
    """The status of a copy when its bytes were verified (`alpenhorn.fs.verified_status`); written on request only.

    `medium`: that of the node then; `md5sum`, `sha256`: the sums with which the bytes agreed, hexadecimal and in lower
    case; `sha256` is "" if it was not computed.
    """

    file_id = pw.IntegerField()
    node_id = pw.IntegerField()
    medium = pw.CharField(max_length=32)
    md5sum = pw.CharField(max_length=32)
    sha256 = pw.CharField(max_length=64)
    status = pw.CharField(max_length=128)

    class Meta:
        primary_key = pw.CompositeKey("node_id", "file_id")


class SyncTape(SyncTable):
    """The way of a copy to tape, on nodes whose storage class puts files there in batches.

    `state`: "collecting", on disk only; "asked", in the batch `batch`, which was begun or was about to be; "on tape",
    verified there by the storage's own checksum.  `since`: time since when the copy has been in that state, or has
    waited.  `tries`: number of batches that failed; `next`: time before which it is in no further batch; `error`: why
    the last one failed, "" if none did, with its `code`.  `md5sum` and `medium`: MD5 sum of the file, and medium of the
    node, when the state was recorded; if either is another one now, the copy does not count as on tape.
    """

    node_id = pw.IntegerField()
    file_id = pw.IntegerField()
    state = pw.CharField(max_length=12)
    batch = pw.CharField(max_length=64)
    since = pw.DateTimeField()
    tries = pw.IntegerField()
    next = pw.DateTimeField()
    error = pw.TextField()
    code = pw.CharField(max_length=48, null=True)
    md5sum = pw.CharField(max_length=32)
    medium = pw.CharField(max_length=32)

    class Meta:
        primary_key = pw.CompositeKey("node_id", "file_id")
        indexes = ((("node_id", "state", "since"), False),)


class SyncEvent(SyncTable):
    """The history of copies: event and reason.  Rows are only added."""

    id = pw.BigAutoField()
    at = pw.DateTimeField(index=True)
    run_id = pw.IntegerField(null=True)
    file_id = pw.IntegerField()
    node_id = pw.IntegerField()
    what = pw.CharField(max_length=16)
    why = pw.TextField()
    code = pw.CharField(max_length=48, null=True)  # of the reason in `why`

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
    SyncHost,
    SyncPolicy,
    SyncPolicyAcq,
    SyncPolicyGroup,
    SyncPolicySweep,
    SyncRetirement,
    SyncRetirementGroup,
    SyncDeletedNode,
    SyncPriority,
    SyncTrash,
    SyncDigest,
    SyncTally,
    SyncTallyPart,
    SyncVerifiedStatus,
    SyncTape,
)
