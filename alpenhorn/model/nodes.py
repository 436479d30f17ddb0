"""Data of nodes, groups and media, and of the jobs that probe and mark nodes."""

from enum import StrEnum
from typing import NamedTuple

from alpenhorn.reasons import Why

MARKER = "ALPENHORN_NODE"
MANIFEST = ".alpenhorn/manifest.md5"
RECORDED_PLACE = 255  # characters
BUILT_IN_CLASSES = frozenset({"Default", "LustreHSM", "LustreQuota", "Rclone", "Transport"})
"""The storage classes that are part of alpenhorn; no package can replace them."""


def may_have_tape(io_class: str | None) -> bool:
    """Return whether a node of a class may put files on tape in batches, which only classes of packages do."""
    return io_class is not None and io_class not in BUILT_IN_CLASSES


GIB = 2**30


class StorageKind(StrEnum):
    """What the copies on a node are."""

    DIRECTORY = "directory"  # files below a directory
    OBJECTS = "objects"  # objects of a service, without paths on this host


def remote_in(io_config: str | None) -> str:
    """Return the setting `remote` of a node, where its objects are; "" for a node without objects."""
    if not io_config or '"remote"' not in io_config:
        return ""
    import json  # few nodes have objects

    try:
        settings = json.loads(io_config)
    except (ValueError, RecursionError):
        return ""
    found = settings.get("remote") if isinstance(settings, dict) else None
    return found if isinstance(found, str) else ""


class NodeFact(NamedTuple):
    """A row of storagenode with its host.

    `manifest`: the token of the node's manifest while the files on the node are known to be unchanged; "" if
    it could not be written, None if they are not known to be unchanged.  `medium`: the random id of its
    medium; None if no run has seen it.  `separate`: no copy on it is a hard link to another.  `fault`: why
    the row is inconsistent; "" if it is not.  `top_acq`: the acquisition into which files at the top of its root
    are moved; None or "" for none.  `site`: where its storage is; None if that is not known.  `retired`: nothing is
    copied to it, and its copies do not count; `releases`: its copies are released once enough others exist.
    """

    id: int
    name: str
    root: str | None
    group_id: int
    host: str | None
    username: str | None
    address: str | None
    active: bool
    archive: bool
    io_class: str | None
    io_config: str | None
    max_total_gb: float | None
    min_avail_gb: float
    avail_gb: float | None
    auto_import: bool = False
    auto_verify: int = 0
    manifest: str | None = None
    medium: str | None = None
    separate: bool = False
    fault: Why = ""
    top_acq: str | None = None
    site: str | None = None
    retired: bool = False
    releases: bool = False

    @property
    def place(self) -> tuple[str | None, str | None, str]:
        """Its host, its root, and where its objects are."""
        return self.host, self.root, remote_in(self.io_config)

    @property
    def where(self) -> str | None:
        """Where its files are, for messages: its root, or the place of its objects."""
        return remote_in(self.io_config) or self.root

    @property
    def recorded_place(self) -> str:
        """Where its manifest was written, as the index records it."""
        return (self.where or "")[:RECORDED_PLACE]

    @property
    def keeps(self) -> bool:
        """Whether good copies on it may count for the deletion of others."""
        return self.active and self.archive and not self.retired


class Identity(NamedTuple):
    """The contents of the identity file on a medium: the index it belongs to, the medium, and its generation
    (a number and a random word).  Ids have 32 hexadecimal digits, words 16.
    """

    index_id: str
    medium: str
    generation: int
    word: str


class MediumFact(NamedTuple):
    """The index's record of a node's medium, a row of sync_medium.  `seen`: POSIX seconds."""

    node_id: int
    medium: str | None = None
    generation: int = 0
    word: str | None = None
    next_generation: int | None = None
    next_word: str | None = None
    seen: float | None = None
    wrong: bool = False
    distrust: str | None = None


class GroupFact(NamedTuple):
    """A row of storagegroup.  `fault`: why it is inconsistent; "" if it is not."""

    id: int
    name: str
    io_class: str | None
    io_config: str | None
    fault: Why = ""


class ProbeJob(NamedTuple):
    """Look whether a node is there.

    `tidy`: also remove leftovers of earlier runs; for the holder of the node's run lock only.
    """

    node: NodeFact
    tidy: bool = False


class InitJob(NamedTuple):
    """Mark a root as the node's.

    `request_id`: the request that asks for it.  `formerly`: the node's former name, if the root is still
    marked with that.
    """

    node: NodeFact
    request_id: int | None
    formerly: str | None = None


class IdentityJob(NamedTuple):
    """Write a node's identity file: replace its older slot, or, with `anew`, the whole file."""

    node: NodeFact
    identity: Identity
    anew: bool = False


class TrashBatch(NamedTuple):
    """A batch of deleted files on a disk (`alpenhorn.model.trash`).

    `modified`: POSIX seconds, when its directory was last changed, by the host's clock.
    """

    name: str
    modified: float


class ProbeOutcome(NamedTuple):
    """The outcome of a ProbeJob.

    `error`: why the node cannot be used.  `free_b`: free bytes, None if unknown.  `free_files`: free inodes,
    None for no limit.  `uninitialised`: the root exists without a marker.  `owner`: the other node that the
    root is marked as, "" for none.  `warning`: a problem to report although the node can be used.
    `manifest`: the token of the manifest on it, "" for none.  `identity`: the contents of its identity file,
    None without one.  `place`: device and inode of the root, None if unknown.  `trash`: what is in its trash,
    None if unknown.
    """

    node_id: int
    free_b: int | None = None
    uninitialised: bool = False
    owner: str = ""
    error: Why = ""
    warning: Why = ""
    manifest: str = ""
    identity: Identity | None = None
    place: tuple[int, int] | None = None
    free_files: int | None = None
    trash: tuple[TrashBatch, ...] | None = ()


class InitOutcome(NamedTuple):
    request_id: int | None
    error: Why = ""
