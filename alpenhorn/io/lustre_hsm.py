"""The storage class LustreHSM: a directory on Lustre whose files may be on tape only."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any, NamedTuple

from alpenhorn import sizes
from alpenhorn.errors import CommandFailed, CommandTimedOut, StorageError, UnsafePath
from alpenhorn.fs import command
from alpenhorn.fs.paths import TreeOpener, check_relative
from alpenhorn.io import lfs
from alpenhorn.io.base import Group, Refusal, Room, StorageClass, TapeNode, wrong_setting
from alpenhorn.io.default import DefaultRemote, is_number
from alpenhorn.io.lustre_quota import SIZE_IN_KIB, LustreQuotaNode
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.model.pulls import PullFact
from alpenhorn.model.tape import Location, TapeState
from alpenhorn.reasons import Code, Why, from_outside, headed, within

NAME = "LustreHSM"
MOST_WAIT = 30 * 86_400
THRESHOLD_B = 1_000_000_000
CALLS = 5  # of lfs per batch of files, those included that verify a state before a release
LOST = Code.LOST_BY_TAPE()


class _Call(NamedTuple):
    output: str
    said: str
    failed: CommandFailed | None = None


class LustreHSMNode(LustreQuotaNode, TapeNode):
    """LustreQuota with tape behind it; needs no marker, and takes any number of bytes.

    A policy engine, or a user with `lfs hsm_archive`, puts files on tape, and removes those from tape whose names were
    deleted from the file system.

    Settings in addition to those of LustreQuota: `headroom` (size to keep free on the disk, by default in
    KiB; required), `restore_wait` (seconds; default 600), `restore_limit` (files; default 100),
    `release_check_count` (copies; default 100).
    """

    known = LustreQuotaNode.known | {"headroom", "restore_wait", "restore_limit", "release_check_count"}
    keeps_trash = False  # files are on tape, which a trash on the disk would not free

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        super().__init__(node, settings)
        headroom = sizes.parse_value(self._required(settings, "headroom", SIZE_IN_KIB), sizes.KIB)
        if headroom is None:
            raise self._wrong("headroom", SIZE_IN_KIB)
        self._headroom_b = headroom
        self._restore_wait = settings.get("restore_wait", 600)
        if not is_number(self._restore_wait) or not 0 <= self._restore_wait <= MOST_WAIT:
            raise self._wrong("restore_wait", f"a number of seconds, at most {MOST_WAIT}")
        self._restore_limit = settings.get("restore_limit", 100)
        if type(self._restore_limit) is not int or self._restore_limit < 1:
            raise self._wrong("restore_limit", "a whole number of at least 1")
        self._release_check_count = settings.get("release_check_count", 100)
        if type(self._release_check_count) is not int or self._release_check_count < 0:
            raise self._wrong("release_check_count", "a whole number")

    @property
    def headroom_b(self) -> int:
        return self._headroom_b

    @property
    def restore_wait(self) -> float:
        return float(self._restore_wait)

    @property
    def restore_limit(self) -> int:
        return int(self._restore_limit)

    @property
    def release_check_count(self) -> int:
        return int(self._release_check_count)

    @property
    def probe_seconds(self) -> float:
        return super().probe_seconds + float(self.lfs_timeout)  # `check` runs lfs as well

    def job_seconds(self, files: int) -> float:
        # One second per file: after a failed batch, files are asked for one by one.
        calls = CALLS * math.ceil(files / lfs.MOST_PATHS)
        return self.probe_seconds + calls * float(self.lfs_timeout) + files

    def reserved_bytes(self, size_b: int) -> int:
        return 0

    # --- which storage it is ---------------------------------------------------------------------------

    def owner(self) -> str | None:
        found = self._marked_name()
        return self.node.name if found is None else found

    def check(self) -> None:
        """Check the storage.  The marker is optional; that of another node proves that the wrong storage is mounted."""
        super().check()
        try:
            # Only the quota distinguishes Lustre from the empty directory of an unmounted one.
            self.quota()
        except StorageError as error:
            raise StorageError(within(error.reason, f"{error}; is Lustre mounted at {self.root}?")) from error

    def _check_directory(self, directory: int) -> None:
        self.check()
        if not os.path.samestat(os.fstat(directory), os.stat(self.root)):
            raise StorageError(Code.ROOT_MOUNTED_OVER(root=self.root))

    def initialise(self, formerly: str | None = None) -> None:
        if self._marked_name() is not None:
            super().initialise(formerly)
        self.check()

    # --- where files are -------------------------------------------------------------------------------

    def where(self, paths: Sequence[str]) -> dict[str, TapeState]:
        unsafe = self._unsafe(paths)
        states = {path: TapeState(None, from_outside(why)) for path, why in unsafe.items()}
        released: list[str] = []
        for path, answer in self._tell("hsm_state", [p for p in paths if p not in unsafe], lfs.STATE):
            if isinstance(answer, str):
                states[path] = _refused(answer)
                continue
            words = set(answer[1].split())
            if lfs.RELEASED not in words:
                states[path] = _on_disk(words)
            elif lfs.LOST in words:
                states[path] = TapeState(None, LOST)
            else:
                released.append(path)
        for path, answer in self._tell("hsm_action", released, lfs.ACTION):
            if isinstance(answer, str):
                states[path] = _refused(answer)
            else:
                states[path] = TapeState(Location.COMING if lfs.RESTORE in answer[0] else Location.TAPE)
        return states

    def restore(self, paths: Sequence[str]) -> dict[str, str]:
        unsafe = self._unsafe(paths)
        return unsafe | self._change("hsm_restore", [path for path in paths if path not in unsafe])

    def restore_command(self, path: str) -> str:
        return f"lfs hsm_restore {quote(os.path.join(self.root, path))}"

    def leave_to_tape(self, paths: Sequence[str]) -> dict[str, str]:
        # Look again: changes written meanwhile would be on disk only.
        states = self.where(paths)
        kept = {path: why for path in paths if (why := _must_stay(states[path]))}
        there = [path for path in paths if path not in kept and states[path].where is Location.BOTH]
        return kept | self._change("hsm_release", there)

    def remove(self, paths: Sequence[str]) -> dict[str, str]:
        return {}  # the policy engine removes files from tape whose names are gone

    def _unsafe(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the paths to withhold from lfs, which would follow a symbolic link out of the node, and why."""
        found: dict[str, str] = {}
        with TreeOpener(self.root) as below:
            for path in paths:
                try:
                    directory, name = below.parent(check_relative(path))
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                except UnsafePath as error:
                    found[path] = error.reason
                except OSError:
                    continue  # lfs will report the error
                else:
                    if stat.S_ISLNK(status.st_mode):
                        found[path] = Code.COPY_IS_SYMBOLIC_LINK()
        return found

    # --- what lfs is asked -----------------------------------------------------------------------------

    def _tell(
        self, verb: str, paths: Sequence[str], line: re.Pattern[str]
    ) -> Iterator[tuple[str, re.Match[str] | str]]:
        """Yield each path with lfs's answer, or with the reason for its refusal.

        lfs stops at the first path that fails, and some versions stop after the first path, so the others are
        asked for again.  Each call settles at least one path, or raises StorageError.
        """
        names = self._names(paths)
        left: Sequence[str] = list(names)
        while left:
            some = lfs.batch(left)
            call = self._call(verb, some)
            found, rest = lfs.answers(call.output, some, line)
            for path, answer in zip(some, found, strict=False):
                yield names[path], answer
            left = left[len(found) :]
            if len(found) == len(some) and not rest:
                continue
            reason = lfs.refusal(call.said, left[0]) if len(found) < len(some) else ""
            if reason:
                yield names[left[0]], reason
                left = left[1:]
            elif call.failed is not None:
                raise StorageError(headed(f"{verb} on node {self.node.name}", call.failed.reason))
            elif rest or not found:
                raise StorageError(
                    Code.LFS_ANSWER_UNCLEAR(verb=verb, node=self.node.name, answer=rest.strip()[:200])
                )

    def _change(self, verb: str, paths: Sequence[str]) -> dict[str, str]:
        """Run `verb` for all paths; if that fails, for each path, so that one failure does not block the others."""
        names = self._names(paths)
        left: Sequence[str] = list(names)
        failed: dict[str, str] = {}
        while left:
            some = lfs.batch(left)
            left = left[len(some) :]
            call = self._call(verb, some)
            if call.failed is None:
                continue
            calls = [call] if len(some) == 1 else [self._call(verb, [path]) for path in some]
            for path, one in zip(some, calls, strict=True):
                if one.failed is not None:
                    failed[names[path]] = one.failed.reason
        return failed

    def _names(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the absolute paths for lfs, mapped to the given ones."""
        return {os.path.join(self.root, path): path for path in paths}

    def _call(self, verb: str, paths: Sequence[str]) -> _Call:
        """Run lfs; raises StorageError if it cannot be run or times out, since the next call would fail as well."""
        try:
            done = command.run(lfs.hsm_argv(self.lfs, verb, paths), timeout=self.lfs_timeout)
        except CommandFailed as error:
            return _Call(error.stdout, error.stderr, error)
        except CommandTimedOut as error:
            raise StorageError(headed(f"{verb} on node {self.node.name}", error.reason)) from error
        return _Call(done.stdout, done.stderr)


def _refused(reason: str) -> TapeState:
    return TapeState(Location.GONE) if lfs.is_gone(reason) else TapeState(None, Code.LFS_REFUSED(why=reason))


def _on_disk(words: set[str]) -> TapeState:
    on_tape = lfs.ARCHIVED in words and lfs.LOST not in words
    held = bool(words & {lfs.DIRTY, lfs.NEVER_RELEASE, lfs.LOST})
    return TapeState(Location.BOTH if on_tape else Location.DISK, held=held)


def _must_stay(state: TapeState) -> Why:
    """Return why a file's disk space cannot be freed; "" if it can be, or already was."""
    if state.where is None:
        return state.error
    if state.where is Location.BOTH and state.held:
        return Code.COPY_STAYS_ON_DISK()
    return (
        ""
        if state.where in (Location.BOTH, Location.TAPE)
        else Code.FILE_NOT_ON_DISK_AND_TAPE(where=state.where)
    )


class LustreHSMRemote(DefaultRemote):
    """As Default, but only copies on disk can be read."""

    witness = ""  # needs no marker

    def ready(self, pull: PullFact) -> bool:
        return pull.source_ready


class LustreHSMGroup(Group):
    """A group of a LustreHSM node, which takes large files, and a node of another class for small ones.

    Setting: `threshold` (a size; default 1,000,000,000), the maximum length of a small file.
    """

    known = frozenset({"threshold"})

    def __init__(self, group: GroupFact, nodes: Sequence[NodeFact], settings: Mapping[str, Any]) -> None:
        super().__init__(group, nodes, settings)
        large = [node for node in nodes if node.io_class == NAME]
        small = [node for node in nodes if node.io_class != NAME]
        if len(large) != 1 or len(small) != 1:
            found = ", ".join(sorted(f"{node.name} ({node.io_class or 'Default'})" for node in nodes))
            raise StorageError(Code.GROUP_NODES_WRONG(group=group.name, name=NAME, found=found or "none"))
        self.large, self.small = large[0], small[0]
        self.threshold_b = sizes.parse_value(settings.get("threshold", THRESHOLD_B), 1) or 0

    @classmethod
    def check_settings(cls, group: GroupFact, settings: Mapping[str, Any]) -> None:
        if sizes.parse_value(settings.get("threshold", THRESHOLD_B), 1) is None:
            expected = f"a size such as {sizes.EXAMPLES}, or a whole number of bytes"
            raise wrong_setting(f"group {group.name}", settings, "threshold", expected)

    def choose(self, pull: PullFact, room: Room) -> int | Refusal:
        size_b = pull.size_b or 0
        node = self.small if size_b <= self.threshold_b else self.large
        why = room.obstacle(node.id, size_b)
        return Refusal(why) if why else node.id


LUSTRE_HSM = StorageClass(node=LustreHSMNode, group=LustreHSMGroup, remote=LustreHSMRemote)
