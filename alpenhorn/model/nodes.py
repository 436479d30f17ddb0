"""Nodes, groups and media: their rows, and the jobs that look at a node or mark it."""

from typing import NamedTuple

from alpenhorn.reasons import Why

MARKER = "ALPENHORN_NODE"
MANIFEST = ".alpenhorn/manifest.md5"


GIB = 2**30


class NodeFact(NamedTuple):
    """A row of storagenode with its host.

    `manifest`: the token of the manifest on it while somebody vouches that the files there are what they were: "" when
    it could not be written; None: nobody does.  `medium`: the random id of its medium, None when no run has seen it.
    `separate`: every copy on it is known to have bytes of its own.  `fault`: why the row cannot be relied on, or "".
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


class Identity(NamedTuple):
    """What the identity file on a medium says: to which index it belongs, which medium it is, and its generation, a
    number and a random word.  Ids are 32 hexadecimal digits, words 16."""

    index_id: str
    medium: str
    generation: int
    word: str


class MediumFact(NamedTuple):
    """What the index knows of the medium of a node, as in the table sync_medium.  `seen`: POSIX seconds."""

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
    """`fault`: why its row cannot be relied on, "" when it can."""

    id: int
    name: str
    io_class: str | None
    io_config: str | None
    fault: Why = ""


class ProbeJob(NamedTuple):
    """Is the node there?  With `tidy`, which only the holder of the node's run lock may ask for, leftovers
    of earlier runs are removed as well."""

    node: NodeFact
    tidy: bool = False


class InitJob(NamedTuple):
    """Mark a root as the node's: `request_id` when a request asks for it; `formerly` when the root bears that
    name, which the node had before it was renamed."""

    node: NodeFact
    request_id: int | None
    formerly: str | None = None


class IdentityJob(NamedTuple):
    """Write what the identity file of a node is to say: over its older slot, or, with `anew`, in place of whatever is
    there."""

    node: NodeFact
    identity: Identity
    anew: bool = False


class ProbeOutcome(NamedTuple):
    """`error` is set when the node may not be worked on; `free_b` None: unknown.  `uninitialised`: the
    root is there and has no marker at all.  `owner`: the other name that the root bears, "" for none.
    `warning`: what should be told although the node may be worked on.  `manifest`: the token of the manifest that
    lies there, "" for none.  `identity`: what the identity file there says, None without one.
    `place`: device and inode of the root, None where they are not known.  `free_files`: free inodes, None where there
    is no limit."""

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


class InitOutcome(NamedTuple):
    request_id: int | None
    error: Why = ""
