"""The partial file whose ranges arrive in any order, and the map of those that have arrived.

Both are in the stage of the file, under names that no file of a node can have.  The length of this part says
nothing, as it has holes; so it never has the name under which rsync continues a part by its length.

The map is JSON: `size_b` and `md5sum` of the file, and `written`, a list of [start, end] in bytes.  It is replaced
by renaming a flushed one, after the bytes that it lists were flushed.  So it lists no byte that was not written,
whatever is interrupted.  A map without a part says nothing; neither does a part without a map.  The caller verifies
the whole file in any case.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from contextlib import suppress
from types import TracebackType

from alpenhorn.model.pulls import PullFile
from alpenhorn.outside import parsed
from alpenhorn.transfer.byte_ranges import BLOCK, ByteRange, RangeSet, without_tail

PART = ".alpenhorn-ranges"
MAP = ".alpenhorn-ranges.json"
_NEW_MAP = ".alpenhorn-ranges.new"

SAVE_SECONDS = 1.0  # interval for flushing what has arrived and replacing the map
_MAP_BYTES = 2**20
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def open_part(stage: int, file: PullFile) -> tuple[int, RangeSet]:
    """Open the part in the directory `stage`, and return its descriptor and the ranges that have arrived.

    A longer part of rsync takes its place, and a shorter one is removed.  Raises OSError.
    """
    written = _read_map(stage, file)
    other = _length_of(stage, file.path)
    if other is not None:
        if written.total < other <= file.size_b and _is_flushed(stage, file.path):
            written = RangeSet([ByteRange(0, without_tail(other, file.size_b))])
            discard(stage)  # first, or the new map could remain with the old part, which has gaps
            _write_map(stage, file, written)
            os.rename(file.path, PART, src_dir_fd=stage, dst_dir_fd=stage)
        else:
            os.unlink(file.path, dir_fd=stage)
    if not written.total:
        discard(stage)
    try:
        return os.open(PART, _FLAGS, 0o600, dir_fd=stage), written
    except PermissionError:
        discard(stage)  # left by a run of another user
        return os.open(PART, _FLAGS, 0o600, dir_fd=stage), RangeSet()


def give_to_rsync(stage: int, file: PullFile) -> None:
    """Turn the bytes before the first gap into a part that rsync can continue; remove everything else.

    Raises OSError.
    """
    length = _read_map(stage, file).prefix()
    if length > (_length_of(stage, file.path) or 0):
        # First, so that the map never lists bytes that were cut off.
        _write_map(stage, file, RangeSet([ByteRange(0, length)]))
        fd = os.open(PART, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stage)
        try:
            os.ftruncate(fd, length)
        finally:
            os.close(fd)
        rename_to_rsync(stage, file)
    discard(stage)


def rename_to_rsync(stage: int, file: PullFile) -> None:
    """Give the part, which has no holes, the name that rsync uses.  Raises OSError."""
    directory = os.path.dirname(file.path)
    os.makedirs(f"/proc/self/fd/{stage}/{directory}", exist_ok=True)
    os.rename(PART, file.path, src_dir_fd=stage, dst_dir_fd=stage)
    discard(stage)


def discard(stage: int) -> None:
    """Remove the part and its map, if they can be removed."""
    for name in (MAP, _NEW_MAP, PART):
        with suppress(OSError):
            os.unlink(name, dir_fd=stage)


class RangeRecorder:
    """A thread that flushes the part and replaces the map while ranges arrive.

    `fd`: the part, `written`: what it holds at the start.  Leaving the context records everything that has
    arrived, whatever the reason, unless flushing has failed.
    """

    def __init__(self, stage: int, fd: int, file: PullFile, written: RangeSet) -> None:
        self.error: OSError | None = None
        self._stage = stage
        self._fd = fd
        self._file = file
        self._written = written
        self._recorded = written.total
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ranges", daemon=True)

    def __enter__(self) -> RangeRecorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._record()

    def arrived(self, new: ByteRange) -> int:
        """Note that a range was written; return the number of bytes before the first gap."""
        with self._lock:
            self._written.add(new)
            return self._written.prefix()

    def withdraw(self, wrong: ByteRange) -> None:
        """Forget a range that may hold other bytes than the source."""
        with self._lock:
            self._written.remove(wrong)
            self._recorded = -1

    def _run(self) -> None:
        while not self._end.wait(SAVE_SECONDS) and self.error is None:
            self._record()

    def _record(self) -> None:
        with self._lock:
            if self.error is not None or self._written.total == self._recorded:
                return
            now = RangeSet(self._written)
            self._recorded = now.total
        try:
            os.fdatasync(self._fd)
            _write_map(self._stage, self._file, now)
        except OSError as error:
            self.error = error


def _read_map(stage: int, file: PullFile) -> RangeSet:
    """Return the ranges in the map; none unless the map is valid, of this file, and its part is there."""
    nothing = RangeSet()
    try:
        length = _length_of(stage, PART)
        fd = os.open(MAP, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stage)
        try:
            found = parsed(os.read(fd, _MAP_BYTES))
        finally:
            os.close(fd)
        if length is None or length > file.size_b:
            return nothing
        if (found["size_b"], found["md5sum"]) != (file.size_b, file.md5sum):
            return nothing
        ranges = [ByteRange(int(start), int(end)) for start, end in found["written"]]
    except (OSError, ValueError, TypeError, KeyError):
        return nothing
    for one in ranges:
        whole = one.start % BLOCK == 0 and without_tail(one.end, file.size_b) == one.end
        # A map that lists more than the part holds is not of this part.
        if not (whole and 0 <= one.start < one.end <= length):
            return nothing
    return RangeSet(ranges)


def _write_map(stage: int, file: PullFile, written: RangeSet) -> None:
    text = json.dumps(
        {"size_b": file.size_b, "md5sum": file.md5sum, "written": [[one.start, one.end] for one in written]}
    )
    with suppress(FileNotFoundError):
        os.unlink(_NEW_MAP, dir_fd=stage)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(_NEW_MAP, flags, 0o600, dir_fd=stage), "w") as new:
        new.write(text)
        new.flush()
        os.fsync(new.fileno())
    os.rename(_NEW_MAP, MAP, src_dir_fd=stage, dst_dir_fd=stage)


def _length_of(stage: int, path: str) -> int | None:
    """Return the length of a part; None if there is none, or something else, which is removed."""
    try:
        status = os.stat(path, dir_fd=stage, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        # Writing through a link would change another file.
        os.unlink(path, dir_fd=stage)
        return None
    return status.st_size


def _is_flushed(stage: int, path: str) -> bool:
    """Flush a part of rsync, and make it writable; return False if another user's run has left it."""
    try:
        os.chmod(path, 0o600, dir_fd=stage)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stage)
    except PermissionError:
        return False
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
    return True
