"""The storage class Default: a directory on a POSIX file system."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from errno import ELOOP
from typing import TYPE_CHECKING, Any

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs.abilities import Abilities
from alpenhorn.fs.own import open_directory
from alpenhorn.fs.paths import TreeOpener, open_below
from alpenhorn.fs.placing import PARTS, PRIVATE, Stage
from alpenhorn.fs.removal import OpenRoot, Removal
from alpenhorn.fs.syscalls import flush, rename_new
from alpenhorn.fs.trash import NAME as TRASH
from alpenhorn.fs.tree_lock import LOCK_NAME, probe_locks
from alpenhorn.io.base import (
    MARKER_BYTES,
    DirectoryNode,
    Group,
    OpenFile,
    Refusal,
    Remote,
    Room,
    StorageClass,
    marked_name,
    wrong_setting,
)
from alpenhorn.model.nodes import MARKER, GroupFact, NodeFact
from alpenhorn.model.pulls import Method, PullFact
from alpenhorn.reasons import Code, quoted
from alpenhorn.transfer.methods import BY_SETTING

if TYPE_CHECKING:
    from alpenhorn.fs.moving import Moving
    from alpenhorn.fs.trashed import Trash

MOST_RESERVED = 1000  # times a file's length
PART_SECONDS = 14 * 86_400  # longer than the longest back-off


class DefaultNode(DirectoryNode):
    """A directory whose marker is the file `ALPENHORN_NODE`, with the node's name in its first line.

    Settings: `reserve_factor` (a number from 1 to 1000; default 2), `jobs` (a whole number ≥ 1; default no
    limit), `method` (`auto` or `rsync`), `bwlimit` (a limit or a schedule, see `alpenhorn/bwlimit.py`;
    default none).
    """

    known = frozenset({"reserve_factor", "jobs", "method", "bwlimit"})
    keeps_trash = True

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        super().__init__(node, settings)
        self._reserve_factor = settings.get("reserve_factor", 2)
        self._jobs = settings.get("jobs")
        method = settings.get("method", "auto")
        if not is_number(self._reserve_factor) or not 1 <= self._reserve_factor <= MOST_RESERVED:
            raise self._wrong("reserve_factor", f"a number from 1 to {MOST_RESERVED}")
        if self._jobs is not None and (type(self._jobs) is not int or self._jobs < 1):
            raise self._wrong("jobs", "a whole number of at least 1")
        if not isinstance(method, str) or method not in BY_SETTING:
            raise self._wrong("method", "auto or rsync")
        if "bwlimit" in settings:
            from alpenhorn.io.bandwidth import node_bwlimit  # most nodes have no limit

            node_bwlimit(node.name, settings)
        self._method = BY_SETTING[method]

    def _wrong(self, key: str, expected: str) -> StorageError:
        return wrong_setting(f"node {self.node.name}", self.settings, key, expected)

    def reserved_bytes(self, size_b: int) -> int:
        return int(size_b * self._reserve_factor)

    @property
    def jobs(self) -> int | None:
        return self._jobs

    @property
    def local_method(self) -> Method:
        return self._method

    def check(self) -> None:
        self._check(self.owner())

    def _check(self, found: str | None) -> None:
        if found is None:
            raise StorageError(Code.ROOT_NOT_MARKED(root=self.root, marker=MARKER, node=self.node.name))
        if found != self.node.name:
            raise StorageError(
                Code.ROOT_OF_OTHER_NODE(root=self.root, other=repr(found), node=self.node.name)
            )

    def owner(self) -> str | None:
        return self._marked_name()

    def initialise(self, formerly: str | None = None) -> None:
        found = self.owner()
        if found == self.node.name:
            return
        if found == "" and self._was_reserved():
            os.unlink(os.path.join(self.root, MARKER))
            found = None
        if found is not None and found == formerly:
            self._mark_anew()
            return
        if found is not None:
            raise StorageError(Code.ROOT_TAKEN(root=self.root, other=repr(found), node=self.node.name))
        probe_locks(self.root)
        try:
            # Must fail if there is a marker, or two hosts could both mark the root.
            self._place_marker(b"", rename_new)
        except FileExistsError:
            self.check()  # another run was faster, which is fine if it marked it for this node

    def _mark_anew(self) -> None:
        with open(open_below(self.root, MARKER, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            notes = file.read().partition(b"\n")[2]
        self._place_marker(notes, os.replace)

    def _place_marker(self, notes: bytes, place: Callable[[str, str], None]) -> None:
        """Write the marker under a temporary name first, so that a crash cannot leave an empty one."""
        aside = os.path.join(self.root, f".{MARKER}.{os.urandom(8).hex()}")
        try:
            with open(aside, "xb") as file:
                file.write(self.node.name.encode() + b"\n" + notes)
                file.flush()
                with suppress(OSError):  # mount options may fix the modes
                    os.fchmod(
                        file.fileno(), 0o644
                    )  # whatever the umask: other users and hosts have to read it
                os.fsync(file.fileno())
            place(aside, os.path.join(self.root, MARKER))
        finally:
            if os.path.lexists(aside):
                os.unlink(aside)
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flush(root)
        finally:
            os.close(root)

    def _was_reserved(self) -> bool:
        """Return whether the marker is an empty file left by a crash between reserving the name and filling it."""
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return Abilities(root, root).left_reserved(MARKER)
        finally:
            os.close(root)

    def _marked_name(self, directory: int | None = None) -> str | None:
        """Return the node's name in the marker of the root, or of an open directory; None without a marker.

        Only the marker proves that the storage is mounted: statvfs also answers for an empty mount point.
        """
        if directory is None and not os.path.isdir(self.root):
            raise StorageError(Code.ROOT_ABSENT(root=self.root, node=self.node.name))
        try:
            path = MARKER if directory is not None else os.path.join(self.root, MARKER)
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            file = f"{self.root}/{MARKER}"
            if error.errno == ELOOP:
                raise StorageError(Code.MARKER_IS_SYMBOLIC_LINK(file=file)) from None
            raise StorageError(Code.MARKER_UNREADABLE(file=file, why=error.strerror)) from None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise StorageError(Code.MARKER_NOT_REGULAR(file=f"{self.root}/{MARKER}"))
            return marked_name(os.read(fd, MARKER_BYTES))
        finally:
            os.close(fd)

    def free_bytes(self) -> int | None:
        space = os.statvfs(self.root)
        # Some drivers, such as fusefat, report no sizes.
        return space.f_bavail * space.f_frsize if space.f_blocks else None

    def free_files(self) -> int | None:
        space = os.statvfs(self.root)
        # Btrfs and others report 0 inodes of 0, since they create them as needed; FAT reports its clusters.
        return space.f_favail if space.f_files else None

    def tidy(self) -> None:
        # A lock that hangs must be found here, with a short deadline, and not by the first pull.
        if os.path.lexists(os.path.join(self.root, LOCK_NAME)):
            probe_locks(self.root)
        root = os.open(self.root, os.O_PATH | os.O_DIRECTORY)
        try:
            # A symbolic link would redirect the removal to other files.
            private = open_directory(root, PRIVATE, self.root, make=False)
        except FileNotFoundError:
            return
        finally:
            os.close(root)
        try:
            with os.scandir(private) as entries:
                left = [
                    entry.name
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                    and entry.name != TRASH
                    and not _is_live_part(private, entry.name)
                ]
            if left:
                import shutil  # 2 ms, and most runs have nothing to remove
            for name in left:
                shutil.rmtree(name, dir_fd=private)
        finally:
            os.close(private)

    def stage(self, name: str) -> Stage:
        return Stage(self.root, name)

    def open_root(self) -> OpenRoot:
        return OpenRoot(self.root, self._check_directory)

    def moving(self) -> Moving:
        from alpenhorn.fs.moving import Moving  # only a node with top_acq moves files

        return Moving(self.root, self._check_directory)

    def trash(self) -> Trash:
        from alpenhorn.fs.trashed import Trash  # few nodes have one

        return Trash(self.root, self._check_directory)

    def removal(self) -> Removal:
        return Removal(self.root, self._check_directory)

    def _check_directory(self, directory: int) -> None:
        """Check the marker in an open directory, as `check` does."""
        self._check(self._marked_name(directory))

    def open(self, path: str) -> int:
        with TreeOpener(self.root) as below:
            return self._open(below, path)[0]

    def reading(self) -> AbstractContextManager[OpenFile]:
        if type(self).open is not DefaultNode.open:
            return super().reading()  # a class of an extension opens files in its own way
        return self._keeping_directory()

    @contextmanager
    def _keeping_directory(self) -> Iterator[OpenFile]:
        try:
            root = os.open(self.root, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise StorageError(Code.ROOT_NOT_OPENED(root=self.root, why=error.strerror)) from None
        try:
            with TreeOpener(root) as below:

                def open_file(path: str) -> tuple[int, os.stat_result]:
                    try:
                        return self._open(below, path)
                    except (OSError, UnsafePath):
                        # A directory that is kept open may have been replaced, so that the file only seems missing.
                        with TreeOpener(self.root) as anew:
                            return self._open(anew, path)

                yield open_file
            self._check_is_root(root)
        finally:
            os.close(root)

    def _check_is_root(self, directory: int) -> None:
        """Raise StorageError if the root is not that open directory any more, such as after it was unmounted."""
        with suppress(OSError):
            if os.path.samestat(os.fstat(directory), os.stat(self.root)):
                return
        self.check()  # it names what is there instead
        raise StorageError(Code.ROOT_MOUNTED_OVER(root=self.root))

    def _open(self, below: TreeOpener, path: str) -> tuple[int, os.stat_result]:
        # O_NONBLOCK: a fifo in place of a file must not block the worker.
        fd = below.open(path, os.O_RDONLY | os.O_NONBLOCK)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise StorageError(Code.PATH_NOT_REGULAR(path=repr(path), node=self.node.name))
        return fd, status

    def exists(self, path: str) -> bool:
        return os.path.lexists(os.path.join(self.root, path))

    def locked(self, path: str) -> bool:
        directory, slash, name = path.rpartition("/")
        return os.path.lexists(f"{self.root}/{directory}{slash}.{name}.lock")

    def space_used(self, status: os.stat_result) -> int:
        return status.st_blocks * 512


class DefaultGroup(Group):
    """A group with at most one active node on each host, which takes every file."""

    known = frozenset()

    def __init__(self, group: GroupFact, nodes: Sequence[NodeFact], settings: Mapping[str, Any]) -> None:
        super().__init__(group, nodes, settings)
        if len(nodes) > 1:
            names = ", ".join(sorted(node.name for node in nodes))
            raise StorageError(Code.GROUP_WITH_SEVERAL_NODES(group=group.name, nodes=names))

    def choose(self, pull: PullFact, room: Room) -> int | Refusal:
        node = self.nodes[0]
        why = room.obstacle(node.id, pull.size_b or 0)
        return Refusal(why) if why else node.id


class DefaultRemote(Remote):
    """A directory on any host, reached as `username@address`; always ready."""

    witness = MARKER

    def ready(self, pull: PullFact) -> bool:
        return True

    def unreachable(self) -> str:
        node = self.node
        if not node.host:
            return f"no host (alpenhorn node modify {quoted(node.name)} --host HOST)"
        if not node.root:
            return f"no root (alpenhorn node modify {quoted(node.name)} --root DIR)"
        missing = [what for what in ("address", "username") if not getattr(node, what)]
        if not missing:
            return ""
        options = " ".join(f"--{what} {what.upper()}" for what in missing)
        lacks = f"host {node.host} has no {' and no '.join(missing)}"
        return f"{lacks} (alpenhorn host modify {quoted(node.host)} {options})"


def _is_live_part(private: int, name: str) -> bool:
    """Return whether a stage directory holds a partial file that another run can continue.

    Old ones are removed, because the requests of some were cancelled.
    """
    if not name.startswith(PARTS):
        return False
    changed = [
        os.stat(file, dir_fd=fd, follow_symlinks=False).st_ctime
        for _, _, files, fd in os.fwalk(name, dir_fd=private)
        for file in files
    ]
    return bool(changed) and max(changed) > time.time() - PART_SECONDS


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


DEFAULT = StorageClass(node=DefaultNode, group=DefaultGroup, remote=DefaultRemote)
