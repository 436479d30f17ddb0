"""What a storage class consists of: three kinds of object, each with its own job.

A *group* decides, a *node* does, a *remote* tells.  See `alpenhorn/io/default.py` for the class that most
archives use.  Nothing outside this folder asks what kind of storage a node is.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from alpenhorn.errors import StorageError
from alpenhorn.fs.flushing import Flusher
from alpenhorn.fs.placing import Stage
from alpenhorn.fs.removal import OpenRoot, Removal
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.model.pulls import Method, PullFact
from alpenhorn.reasons import Code, Reason, Why

if TYPE_CHECKING:
    from alpenhorn.model.tape import Told

PROBE_SECONDS = 30.0
MARKER_BYTES = 256  # a marker holds a name of at most 64 characters and a newline
REPLACED = "--io-config '{…}'"


class WrongSettings(StorageError):
    """An `io_config` that its class cannot use.

    `owner` is "node x" or "group x"; `fault` says what is wrong; `option` is what sets it right.
    """

    code = Code.SETTINGS_WRONG

    def __init__(self, owner: str, fault: str, option: str) -> None:
        Exception.__init__(self, owner, fault, option)  # its message is made of them
        self.owner = owner
        self.fault = fault
        self.option = option

    def __str__(self) -> str:
        kind, _, name = self.owner.partition(" ")
        return f"{self.fault}; mend it with: alpenhorn {kind} modify {name} {self.option}"


class Misfit(NamedTuple):
    """Why no node of a group takes a file now.  `waits`: that is as it should be, and nobody need be told."""

    reason: Reason
    waits: bool = False


class Room(Protocol):
    """What a group may ask of its nodes."""

    def obstacle(self, node_id: int, size_b: int) -> Why:
        """Why a file of that length cannot be put there now, with the node's name; "" when it can."""
        ...

    def left_b(self, node_id: int) -> int | None:
        """Bytes that may still come there; None when that is not known."""
        ...


class Group(ABC):
    """Decides which of a group's nodes on this host receives a file.  Pure: no disk, no index.

    `nodes` are the group's active nodes on this host, less those that a class has no use for; `warnings` say
    which those are.  Raises StorageError when group and nodes do not go together, or the settings are wrong; the
    group is then left out of the run with that message.

    `travels`: its nodes are carried between hosts, so that their manifests are never put off.  `known`: as in Node.
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
        """Raise WrongSettings for settings that are wrong whatever nodes the group has.

        Apart from the constructor, since a group is edited where its nodes are not, or before it has any.
        """
        return

    def refuses(self, source: NodeFact) -> Misfit | None:
        """Why nothing can be taken from that node here, whatever the file; None when it can."""
        return None

    @abstractmethod
    def choose(self, pull: PullFact, room: Room) -> int | Misfit:
        """Return the id of the node that takes the file, or why none does."""


class Node(ABC):
    """The verbs on storage that is on this host.  Used by workers only, since any of them may hang.

    The constructor touches no storage, for it is also called where the node is not, and raises WrongSettings.
    `warnings`: what should be told of the settings, though they can be used.

    Paths are relative to the root, as in the index.  All verbs raise OSError for what the file system
    says, StorageError when the storage as a whole cannot be used, UnsafePath for a path that leaves it.

    `known`: the settings that the class has; whoever gives another one is told.  None: nobody is.
    """

    known: frozenset[str] | None = None

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
        """The space to set aside for a file of that length before it is pulled.  Touches no storage."""

    @property
    @abstractmethod
    def jobs(self) -> int | None:
        """How many workers may work on this node at once; None for no limit of its own."""

    @property
    @abstractmethod
    def local_method(self) -> Method:
        """How files from this host's other nodes are copied here: Method.COPY or Method.RSYNC."""

    @property
    def probe_seconds(self) -> float:
        """How long a look at the storage, its free space included, may take before it counts as gone."""
        return PROBE_SECONDS

    @abstractmethod
    def check(self) -> None:
        """Raise StorageError unless this is the right storage: root there, marker right."""

    @abstractmethod
    def owner(self) -> str | None:
        """The name of the node whose storage this is marked as; None when the root is there without a marker."""

    @abstractmethod
    def initialise(self, formerly: str | None = None) -> None:
        """Mark this storage as the node's, once; raises StorageError when it is already another node's.

        `formerly`: the mark of that name, which the node had before, is replaced.  Only for the holder of the
        node's run lock.
        """

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Bytes that may still be written here; None when that is not known.  Raises StorageError with the reason
        for which it cannot be told."""

    def free_files(self) -> int | None:
        """Files and directories that may still be made here; None when there is no limit, or it is not known."""
        return None

    @abstractmethod
    def tidy(self) -> None:
        """Remove what killed runs left behind.  Only for the holder of the node's run lock."""

    @abstractmethod
    def stage(self, name: str) -> Stage:
        """A private place on this storage in which files arrive before they get their names."""

    @abstractmethod
    def removal(self) -> Removal:
        """What removes files from this storage; raises StorageError unless it is the right one."""

    def open_root(self) -> OpenRoot:
        """The root, held open to look at files; raises StorageError unless it is that of the right storage."""
        return self.removal()

    def flusher(self) -> Flusher:
        """Makes durable what others wrote or removed here; raises StorageError."""
        return Flusher(self.root)

    @abstractmethod
    def open(self, path: str) -> int:
        """Open a regular file for reading, following no symbolic link; the caller closes the descriptor."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether anything at all is at that path."""

    @abstractmethod
    def locked(self, path: str) -> bool:
        """Whether whoever writes the file has marked it as unfinished."""

    @abstractmethod
    def space_used(self, status: os.stat_result) -> int:
        """Bytes that a file of that status takes on the medium."""


class TapeNode(Node):
    """A node whose files may be on tape only; the `ready` column of a copy says that it is on disk.

    Whoever reads a file that is on tape only waits for the tape, which no run may do.  Other hosts read here what
    is ready.
    """

    @property
    @abstractmethod
    def headroom_b(self) -> int:
        """Bytes to keep free on the disk."""

    @property
    @abstractmethod
    def restore_limit(self) -> int:
        """How many files may be on their way back from tape at once."""

    @property
    @abstractmethod
    def restore_wait(self) -> float:
        """Seconds after which one that was asked back is looked at again."""

    @property
    @abstractmethod
    def release_check_count(self) -> int:
        """How many copies a run compares with what the index says of them."""

    @abstractmethod
    def job_seconds(self, files: int) -> float:
        """How long a job that looks at so many files may take."""

    @abstractmethod
    def where(self, paths: Sequence[str]) -> dict[str, Told]:
        """Where each of the files is.  Raises StorageError when that cannot be told of any."""

    @abstractmethod
    def restore(self, paths: Sequence[str]) -> dict[str, str]:
        """Ask for files back from tape, in one batch; returns of which this failed, and why.  Does not wait."""

    @abstractmethod
    def leave_to_tape(self, paths: Sequence[str]) -> dict[str, str]:
        """Give the disk space of files on tape back; returns of which this failed, and why."""


class Remote(ABC):
    """The little that a pull may know about its source, which may be anywhere.  Touches no storage.

    `witness`: a file, relative to the root, that lies on every storage of the kind; "" for the root itself.  Where
    there is one, a file on another host counts as missing only if the witness was seen in the same session.
    """

    witness = ""

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        self.node = node
        self.settings = settings

    @abstractmethod
    def ready(self, pull: PullFact) -> bool:
        """Whether the source copy can be read now."""

    @abstractmethod
    def unreachable(self) -> str:
        """Why no other host can fetch files from here, and the remedy; an empty string when it can."""


class StorageClass(NamedTuple):
    """What an extension offers under one `io_class` name; a part that is None cannot be used as that."""

    node: type[Node] | None
    group: type[Group] | None
    remote: type[Remote] | None


def marked_name(beginning: bytes) -> str:
    """The name of the node whose storage it is, from the first MARKER_BYTES of a marker."""
    return beginning.split(b"\n", 1)[0].decode("utf-8", "replace").strip()


def parse_settings(owner: str, io_config: str | None) -> dict[str, Any]:
    """The JSON object in an `io_config` column; `owner` is named in the message ("node x").

    Raises WrongSettings when it is not a JSON object.
    """
    if not io_config:
        return {}
    try:
        settings = json.loads(io_config)
    except (ValueError, RecursionError) as error:
        raise WrongSettings(owner, f"io_config of {owner} is not JSON ({error})", REPLACED) from None
    if not isinstance(settings, dict):
        found = type(settings).__name__
        raise WrongSettings(owner, f"io_config of {owner} is not a JSON object but {found}", REPLACED)
    return settings


def wrong_setting(owner: str, settings: Mapping[str, Any], key: str, expected: str) -> WrongSettings:
    """What to raise for a key that is missing, or has a value that is not `expected` ("a whole number")."""
    if key in settings:
        fault = f"io_config of {owner}: {key} is {settings[key]!r}, not {expected}"
    else:
        fault = f"io_config of {owner} lacks {key}, {expected}"
    return WrongSettings(owner, fault, f"--io-var {key}=VALUE")
