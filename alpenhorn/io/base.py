"""The base classes of a storage class: group, node and remote.

A *Group* chooses the node that receives a file, a *Node* works on storage, and a *Remote* says how a source
can be reached.  `alpenhorn/io/default.py` has the class that most archives use.  Code outside this package
must not depend on the storage class of a node.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from alpenhorn.errors import StorageError
from alpenhorn.fs.flushing import Flusher
from alpenhorn.fs.placing import Stage
from alpenhorn.fs.removal import OpenRoot, Removal
from alpenhorn.model.nodes import MANIFEST, GroupFact, NodeFact, StorageKind
from alpenhorn.model.pulls import Method, PullFact
from alpenhorn.reasons import Code, Reason, Why

if TYPE_CHECKING:
    from alpenhorn.fs.moving import Moving
    from alpenhorn.fs.trashed import Trash
    from alpenhorn.model.tape import TapeState
    from alpenhorn.model.tape_batches import BatchLimits, BatchProgress, TapeMember

PROBE_SECONDS = 30.0
MARKER_BYTES = 256  # a marker holds a name of at most 64 characters and a newline
REPLACED = "--io-config '{…}'"

OpenFile = Callable[[str], tuple[int, os.stat_result]]
"""Open a file as `DirectoryNode.open` does; return a descriptor, which the caller closes, and the file's status."""


class WrongSettings(StorageError):
    """Invalid settings in an `io_config`.

    `owner`: "node x" or "group x".  `fault`: what is wrong.  `option`: the option of `modify` that corrects
    it.
    """

    code = Code.SETTINGS_WRONG

    def __init__(self, owner: str, fault: str, option: str) -> None:
        Exception.__init__(self, owner, fault, option)  # __str__ builds the message
        self.owner = owner
        self.fault = fault
        self.option = option

    def __str__(self) -> str:
        kind, _, name = self.owner.partition(" ")
        return f"{self.fault} (alpenhorn {kind} modify {name} {self.option})"


class Refusal(NamedTuple):
    """Why no node of a group takes a file now.  `waits`: this is normal and is not reported as a problem."""

    reason: Reason
    waits: bool = False


class Room(Protocol):
    """The room on the nodes of a group."""

    def obstacle(self, node_id: int, size_b: int) -> Why:
        """Return why a file of that length cannot be put there now, with the node's name; "" if it can."""
        ...

    def left_b(self, node_id: int) -> int | None:
        """Return the bytes that may still be written there; None if unknown."""
        ...


class Group(ABC):
    """Choose the node of a group on this host that receives a file.  Accesses neither disks nor the index.

    `nodes`: the group's active nodes on this host, without those that the class does not use; `warnings` name
    those.  The constructor raises StorageError if the nodes do not suit the group or the settings are
    invalid; the run then skips the group and reports the message.

    `travels`: its nodes are carried between hosts, so their manifests are always written at once.  `known`:
    see Node.
    """

    travels = False
    known: frozenset[str] | None = None

    def __init__(self, group: GroupFact, nodes: Sequence[NodeFact], settings: Mapping[str, Any]) -> None:
        self.check_settings(group, settings)
        self.group = group
        self.nodes = tuple(nodes)
        self.settings = settings
        self.warnings: tuple[str, ...] = ()

    @classmethod
    def check_settings(cls, group: GroupFact, settings: Mapping[str, Any]) -> None:
        """Raise WrongSettings for settings that are invalid for any nodes.

        Called without nodes as well: a group can be edited on other hosts, and before it has nodes.
        """
        return

    def refuses(self, source: NodeFact) -> Refusal | None:
        """Return why no file of that node can be pulled here; None if files can."""
        return None

    @abstractmethod
    def choose(self, pull: PullFact, room: Room) -> int | Refusal:
        """Return the id of the node that takes the file, or why no node takes it."""


class Node(ABC):
    """What storage of any kind has, on the host of its node.  Only workers call what accesses the storage, since that
    may hang.

    A class derives from `DirectoryNode`, or from `alpenhorn.io.objects.ObjectNode` if its storage has no directories.

    The constructor does not access the storage, since commands on other hosts call it too; it raises
    WrongSettings.  `warnings`: what to report about valid settings, such as outdated ones.

    All methods raise StorageError if the storage as a whole cannot be used.

    `storage`: the kind of storage, for which `alpenhorn.kinds` has the handlers of jobs.

    `known`: the names of the settings; any other is reported.  None: report none.

    `keeps_trash`: deleted files may be moved to a trash on the storage, because that costs nothing and a later deletion
    there frees their space.
    """

    storage: StorageKind
    known: frozenset[str] | None = None
    keeps_trash = False

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        self.node = node
        self.settings = settings
        self.warnings: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        if not self.node.root:
            raise StorageError(Code.NODE_WITHOUT_ROOT(node=self.node.name))
        return self.node.root

    @abstractmethod
    def reserved_bytes(self, size_b: int) -> int:
        """Return the bytes to reserve for a file of that length before a pull.  Does not access the storage."""

    @property
    @abstractmethod
    def jobs(self) -> int | None:
        """Maximum number of workers on this node at once; None for no limit of its own."""

    @property
    @abstractmethod
    def local_method(self) -> Method:
        """The method for pulls from other nodes of this host."""

    @property
    def probe_seconds(self) -> float:
        """Maximum seconds for a probe of the storage, its free space included, before the node counts as gone."""
        return PROBE_SECONDS

    @property
    def manifest_check(self) -> str:
        """How a user checks the copies by the manifest alone, for its heading; "" if there is no way."""
        return ""

    @abstractmethod
    def check(self) -> None:
        """Raise StorageError unless this is the right storage: it exists, with the right marker."""

    @abstractmethod
    def owner(self) -> str | None:
        """Return the name in the storage's marker; None if the storage exists without a marker."""

    @abstractmethod
    def initialise(self, formerly: str | None = None) -> None:
        """Mark this storage as the node's; raises StorageError if it is marked as another node's.

        `formerly`: the node's former name; a marker with that name is replaced.  For the holder of the node's
        run lock only.
        """

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Return the bytes that may still be written here; None if there is no way to know.  Raises
        StorageError if they cannot be determined now.
        """

    def free_files(self) -> int | None:
        """Return the number of files and directories that may still be created; None if unlimited or unknown."""
        return None

    @abstractmethod
    def tidy(self) -> None:
        """Remove the leftovers of killed runs.  For the holder of the node's run lock only."""


class DirectoryNode(Node):
    """The operations on a directory of this host.

    Paths are relative to the root, as in the index.  Methods also raise OSError for errors of the file system, and
    UnsafePath for a path that leads out of it.
    """

    storage = StorageKind.DIRECTORY

    @property
    def manifest_check(self) -> str:
        return f"in the directory that contains .alpenhorn: md5sum --quiet -c {MANIFEST}"

    @abstractmethod
    def stage(self, name: str) -> Stage:
        """Return a private directory on this storage for files that are not complete yet."""

    @abstractmethod
    def removal(self) -> Removal:
        """Return an object that removes files from this storage; raises StorageError unless it is the right one."""

    def trash(self) -> Trash:
        """Return the trash of this storage; raises StorageError unless it is the right storage."""
        from alpenhorn.fs.trashed import Trash  # few nodes have one

        return Trash(self.root, lambda root: self.check())

    def open_root(self) -> OpenRoot:
        """Return the opened root, to look at files; raises StorageError unless it is the right storage."""
        return self.removal()

    def moving(self) -> Moving:
        """Return an object that moves files below the root; raises StorageError unless it is the right storage."""
        from alpenhorn.fs.moving import Moving  # only a node with top_acq moves files

        return Moving(self.root, lambda root: self.check())

    def flusher(self) -> Flusher:
        """Return an object that flushes files written or removed by others; raises StorageError."""
        return Flusher(self.root)

    @abstractmethod
    def open(self, path: str) -> int:
        """Open a regular file for reading, without following symbolic links; the caller closes the descriptor."""

    def reading(self) -> AbstractContextManager[OpenFile]:
        """Return a context whose function opens files as `open` does, and also returns their status.

        For many files in turn: the root and a directory may be kept open.  A file only counts as missing if it is not
        found from the current root.  Entering and leaving the context raise StorageError, the latter if the root is
        another one by then.
        """
        return nullcontext(self._open_with_status)

    def _open_with_status(self, path: str) -> tuple[int, os.stat_result]:
        fd = self.open(path)
        return fd, os.fstat(fd)

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Return whether anything is at that path."""

    @abstractmethod
    def locked(self, path: str) -> bool:
        """Return whether the file's writer has marked it as unfinished."""

    @abstractmethod
    def space_used(self, status: os.stat_result) -> int:
        """Return the bytes that a file with that status takes on the medium."""


class TapeNode(DirectoryNode):
    """A node whose files may be on tape only; `ready` in the index marks copies on disk.

    Reading a file that is on tape only would block a run until the tape is read.  Other hosts pull only
    copies that are ready.  Such a file keeps its name, length and times on the disk.
    """

    @property
    @abstractmethod
    def headroom_b(self) -> int:
        """Bytes to keep free on the disk."""

    @property
    @abstractmethod
    def restore_limit(self) -> int:
        """Maximum number of files being restored from tape at once."""

    @property
    @abstractmethod
    def restore_wait(self) -> float:
        """Seconds until a file being restored is looked at again."""

    @property
    @abstractmethod
    def release_check_count(self) -> int:
        """Number of copies per run whose place is compared with the index."""

    @abstractmethod
    def job_seconds(self, files: int) -> float:
        """Return the maximum duration of a job that looks at this number of files."""

    @abstractmethod
    def where(self, paths: Sequence[str]) -> dict[str, TapeState]:
        """Return where each file is.  Raises StorageError if that is unknown for all of them.

        A file that is still on tape after it was deleted from the disk is on tape.
        """

    @abstractmethod
    def restore(self, paths: Sequence[str]) -> dict[str, str]:
        """Request files from tape, in one batch; return the reason for each that failed.  Does not wait."""

    @abstractmethod
    def leave_to_tape(self, paths: Sequence[str]) -> dict[str, str]:
        """Free the disk space of files that are on tape; return the reason for each that failed."""

    @abstractmethod
    def remove(self, paths: Sequence[str]) -> dict[str, str]:
        """Remove files from tape that were deleted from the disk; return the reason for each that failed.

        A file that is not on tape, or was removed already, did not fail.  Raises StorageError if that is unknown for
        all of them.
        """

    def restore_command(self, path: str) -> str:
        """Return the shell command with which a user requests a file from tape; "" if there is none."""
        return ""


class BatchTapeNode(TapeNode):
    """A tape node whose files are put on tape by runs, many files in one batch.

    Files arrive on the disk, and are collected there.  A run names a batch, records which files are in it, and calls
    `archive`; later ones ask for its `progress` and, once it has ended, `verify` each file.  No run waits for a batch.
    What is on tape must be known to the storage itself, since an index can be lost or restored.

    `counts_on_tape`: a copy counts for the deletion of others only once it was verified on tape.
    """

    counts_on_tape = True

    @property
    @abstractmethod
    def batch_limits(self) -> BatchLimits:
        """When a batch is begun."""

    @abstractmethod
    def archive(self, batch: str, members: Sequence[TapeMember]) -> None:
        """Begin to put files of the disk on tape.  Does not wait.

        A batch that was begun already must not be begun again.  Raises StorageError; the batch may have begun even so.
        """

    @abstractmethod
    def progress(self, batch: str) -> BatchProgress:
        """Return the state of a batch; one that was never begun has failed.  Raises StorageError if it is unknown."""

    @abstractmethod
    def verify(self, batch: str, members: Sequence[TapeMember]) -> dict[str, str]:
        """Compare files on tape with their MD5 sums by the storage's own checksums; return the reason for each that
        differs, is not there, or cannot be verified.

        `batch`: the batch that was to put them there; "" for files that are on tape already.  Raises StorageError.
        """

    @abstractmethod
    def discard(self, batch: str) -> None:
        """Make sure that a failed batch puts nothing more on tape, and remove what it left; raises StorageError."""


class Remote(ABC):
    """A node on any host as the source of pulls.  Does not access the storage.

    `witness`: a file, relative to the root, that exists on every storage of the class; "" for the root
    itself.  With one, a file on another host counts as missing only if the same session has seen the witness.

    `objects`: its copies are objects of a service, which other hosts read without a session with its host.
    """

    witness = ""
    objects = False

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        self.node = node
        self.settings = settings

    @abstractmethod
    def ready(self, pull: PullFact) -> bool:
        """Return whether the source copy can be read now."""

    @abstractmethod
    def unreachable(self) -> str:
        """Return why other hosts cannot pull from here, and what to do; "" if they can."""


class StorageClass(NamedTuple):
    """The parts of a storage class; None for a part that the class does not offer."""

    node: type[Node] | None
    group: type[Group] | None
    remote: type[Remote] | None


def marked_name(beginning: bytes) -> str:
    """Return the node's name from the first MARKER_BYTES of a marker."""
    return beginning.split(b"\n", 1)[0].decode("utf-8", "replace").strip()


def parse_settings(owner: str, io_config: str | None) -> dict[str, Any]:
    """Return the JSON object in an `io_config` column; messages name `owner` ("node x").

    Raises WrongSettings if it is not a JSON object.
    """
    if not io_config:
        return {}
    try:
        settings = json.loads(io_config)
    except (ValueError, RecursionError) as error:
        raise WrongSettings(owner, f"io_config of {owner} is not JSON ({error})", REPLACED) from None
    if not isinstance(settings, dict):
        found = type(settings).__name__
        raise WrongSettings(owner, f"io_config of {owner} is not a JSON object (found {found})", REPLACED)
    return settings


def wrong_setting(owner: str, settings: Mapping[str, Any], key: str, expected: str) -> WrongSettings:
    """Return the error for a setting that is missing, or is not what is `expected` ("a whole number")."""
    if key in settings:
        fault = f"io_config of {owner}: {key} is {settings[key]!r}, not {expected}"
    else:
        fault = f"io_config of {owner}: {key} is missing; must be {expected}"
    return WrongSettings(owner, fault, f"--io-var {key}=VALUE")
