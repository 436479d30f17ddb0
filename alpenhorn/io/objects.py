"""The base of storage classes whose copies are objects of a service: a verb for each thing that is done with them.

The verbs work on batches, since each call of a service takes longer than a small file.  They decide nothing; the rules
are in `alpenhorn/workers/objects/`.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.fs import identity
from alpenhorn.fs.placing import PRIVATE
from alpenhorn.io.base import PROBE_SECONDS, Node, marked_name
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import MARKER, Identity, StorageKind
from alpenhorn.model.pulls import Method
from alpenhorn.reasons import Code, Why

# Of an identity, as in the file of a directory (`alpenhorn.fs.identity`).
SLOTS = (f"{identity.PATH}.0", f"{identity.PATH}.1")


def witness_of(name: str) -> str:
    """Return the name of the witness of a node, for any name of a node."""
    return f"{PRIVATE}/node.{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"


def identity_in(found: Mapping[str, bytes], remote: str) -> tuple[Identity, int] | None:
    """Return the identity in the contents of the slots that exist, and the number of its slot; None without any.

    `remote`: where they are, for messages.  Raises StorageError if they are damaged.
    """
    if not found:
        return None
    slots = [found.get(name, identity.EMPTY) for name in SLOTS]
    # An object that was cut off is no valid slot, and must not shift the other one.
    whole = (slot if len(slot) == identity.SLOT_B else identity.EMPTY for slot in slots)
    return identity.newest(remote, b"".join(whole))


class SeenObject(NamedTuple):
    """An object as the service lists it, without reading it.

    `md5sum`: "" if the service has none.  `modified`: POSIX seconds.
    """

    size_b: int
    md5sum: str
    modified: float


class Effort(NamedTuple):
    """How long a verb may try.

    `stopping`: returns whether to give up; then the verb raises Stopped.  `seconds`: its maximum duration, None for no
    limit.  `rate`: maximum bytes per second, 0 for no limit.
    """

    stopping: Callable[[], bool]
    seconds: float | None = None
    rate: int = 0


class ObjectNode(Node):
    """The operations on objects, for the host of the node; those that only read, for any host with the same settings.

    The objects are at `remote`, with their paths in the index as names.  The root of the node is a directory of this
    host, since a service has no locks: it holds the marker and the run lock, and can be replaced by an empty one.  What
    identifies the medium is among the objects.

    A class stores `remote` in the setting of that name, so that a run notices when it is edited.

    All verbs raise StorageError if the service as a whole cannot be used, and Stopped.  Those that return reasons
    return one for each path that failed.
    """

    storage = StorageKind.OBJECTS
    batch_files = 100
    """Maximum number of paths in one call of a verb."""

    # --- the verbs of a class

    @property
    @abstractmethod
    def remote(self) -> str:
        """Where the objects are, for the service and for messages; contains no password."""

    @abstractmethod
    def refuses(self, path: str) -> Why:
        """Return why no object can have that name unchanged; "" if one can.  Does not access the service."""

    @abstractmethod
    def look(self, paths: Sequence[str], effort: Effort) -> dict[str, SeenObject]:
        """Return the objects at those paths; one that is not returned does not exist.

        Raises StorageError unless the same session has seen the witness of this node.
        """

    @abstractmethod
    def listed(
        self,
        directory: str,
        recursive: bool,
        take: Callable[[str, SeenObject | None], None],
        effort: Effort,
    ) -> None:
        """Call `take` with the path of each object in a directory, and, with None, of each directory in it.

        `directory`: "" for all objects.  `recursive`: call it with the objects below that at any depth, and with no
        directory.  The objects have no MD5 sums; `modified` is when the service stored them, if it knows.  A directory
        that does not exist is empty.  `take` is called as the answers arrive, and ends the listing if it raises
        anything.
        """

    @abstractmethod
    def deliver(self, root: str, paths: Sequence[str], replace: bool, effort: Effort) -> dict[str, Why]:
        """Store the files at those paths below the directory `root`; return "" for each that is stored.

        An object appears whole or not at all.  Without `replace`, an existing object is left alone, and not returned.
        """

    @abstractmethod
    def fetch(self, paths: Sequence[str], directory: str, effort: Effort) -> dict[str, Why]:
        """Write the objects to files at their paths below a directory; return why some did not arrive whole."""

    @abstractmethod
    def md5sums(self, paths: Sequence[str], effort: Effort) -> dict[str, str]:
        """Read the objects, and return the MD5 sum of each that could be read to its end."""

    @abstractmethod
    def remove(self, paths: Sequence[str], effort: Effort) -> dict[str, Why]:
        """Remove the objects; return why some could not be removed."""

    @abstractmethod
    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of some of alpenhorn's own small objects; one that is not returned does not exist."""

    @abstractmethod
    def head(self, name: str, most: int) -> bytes | None:
        """Return the first `most` bytes of one of alpenhorn's own objects, without reading the rest.

        None if it does not exist; nothing if it exists but cannot be read.
        """

    @abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Store one of alpenhorn's own small objects."""

    # --- what any storage has

    def reserved_bytes(self, size_b: int) -> int:
        return size_b

    @property
    def jobs(self) -> int | None:
        return None

    @property
    def local_method(self) -> Method:
        return Method.OBJECTS

    def directory(self) -> DefaultNode:
        """Return the root, which is marked as that of any node, so that a wrong one is noticed."""
        return DefaultNode(self.node, {})

    def check(self) -> None:
        self.directory().check()
        self._check_name(self.marked())

    def check_for_reading(self) -> None:
        """Raise StorageError unless this host, which may be any, finds the node's objects.

        The same name may lead to another storage here; one that is marked alike, for another index, is another medium.
        """
        found = self.get((MARKER, self.witness, *SLOTS))
        self._check_name(self._name_in(found))
        slots = {name: content for name, content in found.items() if name in SLOTS}
        there = identity_in(slots, self.remote)
        if self.node.medium is not None and (there is None or there[0].medium != self.node.medium):
            raise StorageError(Code.REMOTE_OF_OTHER_MEDIUM(remote=self.remote, node=self.node.name))

    def _check_name(self, found: str | None) -> None:
        """Raise StorageError unless the name in the marker is that of this node."""
        if found is None:
            raise self.unmarked()
        if found != self.node.name:
            raise StorageError(
                Code.REMOTE_OF_OTHER_NODE(remote=self.remote, other=repr(found), node=self.node.name)
            )

    @property
    def witness(self) -> str:
        """The object that only the storage of this node has, so that a look recognises it without reading.

        The markers of two nodes may have the same length.
        """
        return witness_of(self.node.name)

    def marked(self) -> str | None:
        """Return the node's name in the marker among the objects; None without one, or without its witness."""
        return self._name_in(self.get((MARKER, self.witness)))

    def _name_in(self, found: Mapping[str, bytes]) -> str | None:
        if MARKER not in found:
            return None
        name = marked_name(found[MARKER])
        return None if name == self.node.name and self.witness not in found else name

    def unmarked(self) -> StorageError:
        """Return the error for objects without a marker."""
        return StorageError(Code.REMOTE_NOT_MARKED(remote=self.remote, marker=MARKER, node=self.node.name))

    def owner(self) -> str | None:
        names = (self.marked(), self.directory().owner())
        for name in names:
            if name is not None and name != self.node.name:
                return name
        return None if None in names else self.node.name

    def initialise(self, formerly: str | None = None) -> None:
        found = self.marked()
        if found not in (None, formerly, self.node.name):
            raise StorageError(
                Code.REMOTE_OF_OTHER_NODE(remote=self.remote, other=repr(found), node=self.node.name)
            )
        self.directory().initialise(formerly)
        if found != self.node.name:
            content = f"{self.node.name}\n".encode()
            self.put(self.witness, content)
            self.put(MARKER, content)
        if found is not None and found == formerly:
            self.remove((witness_of(formerly),), Effort(lambda: False, PROBE_SECONDS))
        self.check()

    def tidy(self) -> None:
        self.directory().tidy()

    # --- the identity of the medium

    def identity(self) -> Identity | None:
        """Return the identity among the objects; None without one.  Raises StorageError if it is damaged."""
        found = identity_in(self.get(SLOTS), self.remote)
        return None if found is None else found[0]

    def identify(self, new: Identity, anew: bool) -> None:
        """Store a new identity over the older slot, or, with `anew`, over both.

        Raises StorageError if the present one is damaged, or belongs to another medium or index.
        """
        if anew:
            # An interruption leaves the old identity, or none that is valid.
            self.put(SLOTS[1], identity.EMPTY)
            self.put(SLOTS[0], identity.slot_of(new))
            return
        there = identity_in(self.get(SLOTS), self.remote)
        if there is None or (there[0].index_id, there[0].medium) != (new.index_id, new.medium):
            raise StorageError(Code.OTHER_MEDIUM_MEANWHILE(root=self.remote))
        self.put(SLOTS[1 - there[1]], identity.slot_of(new))
