"""Copy a file of this host to a stage, and hash the copy in the same pass.

One thread copies a big file in the kernel, while a second one reads the copy back and hashes it (hashlib
releases the GIL), so that both together take as long as the MD5 sum does; writing to the medium is started
early.  sendfile and not copy_file_range: both are as fast, but the latter may share blocks with the source,
and copies that share blocks are a single copy.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable

from alpenhorn.errors import Stopped
from alpenhorn.fs.attributes import KEPT, set_owner_and_mode, set_times
from alpenhorn.fs.hashing import Digests, Hasher
from alpenhorn.fs.syscalls import start_writing
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code
from alpenhorn.transfer.blame import (
    TransferFailed,
    check_source,
    destination_failed,
    mismatch,
    source_failed,
)
from alpenhorn.transfer.rate_limiter import RateLimiter
from alpenhorn.transfer.trailing_hash import TrailingHash

SMALL = 2**20  # bytes; maximum for one read and one write
CHUNK = 32 * 2**20  # smaller chunks cost a fifth more: the file system allocates one at a time
AHEAD = 128 * 2**20  # maximum distance of copying ahead of hashing, so that the pages are still in memory

_NEW = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW


def copy(
    source: int,
    stage: int,
    name: str,
    size_b: int,
    md5sum: str,
    *,
    flush: bool,
    stopping: Callable[[], bool] | None = None,
    on_bytes: Callable[[int], None] | None = None,
    limiter: RateLimiter | None = None,
    sha256: str | None = None,
) -> Digests:
    """Copy the open file `source` to `name` in the directory `stage`, with its mode and times, and verify it.

    Returns its sums after the copy was read and has the given length and MD5 sum; with `flush`, it is also on
    stable storage.  `sha256`: as in `PullFile`.  A partial big file at `name` is continued.  Owner and group are kept
    for root.  `limiter` limits the rate.  Raises TransferFailed, and Stopped if `stopping` returns true, called after
    each chunk of a big file; what has been written stays.
    """
    before = check_source(source, size_b)
    small = size_b <= (SMALL if limiter is None else min(SMALL, limiter.block))
    try:
        # A mode that forbids writing is set at the end: not every network file system lets the creator write then.
        fd = _create(stage, name, before.st_mode & 0o777 | 0o600 if small else 0o600)
    except OSError as error:
        raise destination_failed(error) from None
    try:
        if small:
            if limiter is not None:
                limiter.wait(size_b)
            found = _copy_small(source, fd, size_b, sha256 is not None)
            if on_bytes is not None:
                on_bytes(size_b)
            length = _finish(fd, before, flush)
        else:
            part = os.fstat(fd).st_size
            if not 0 < part <= size_b:
                part = 0
            both = sha256 is not None
            found = _copy_big(source, fd, before, part, flush, stopping, on_bytes, limiter, both)
            if part and not found.agree(md5sum, sha256):
                # The partial file was not the beginning of this file.
                found = _copy_big(source, fd, before, 0, flush, stopping, on_bytes, limiter, both)
            length = os.fstat(fd).st_size
        if not found.agree(md5sum, sha256) or length != size_b:
            raise mismatch(source, before, found.md5, md5sum, sha256, stopping)
        return found
    finally:
        os.close(fd)


def _create(stage: int, name: str, mode: int) -> int:
    try:
        return os.open(name, _NEW | os.O_EXCL, mode, dir_fd=stage)
    except FileExistsError:
        pass
    status = os.stat(name, dir_fd=stage, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        # Writing through a link would change another file.
        os.unlink(name, dir_fd=stage)
    try:
        return os.open(name, _NEW, 0o600, dir_fd=stage)
    except PermissionError:
        try:
            # A complete partial file has the source's mode already, which may forbid writing.
            os.chmod(name, 0o600, dir_fd=stage)
        except PermissionError:
            os.unlink(name, dir_fd=stage)  # left by a run of another user
        return os.open(name, _NEW, 0o600, dir_fd=stage)


def _copy_small(source: int, fd: int, size_b: int, sha256: bool) -> Digests:
    try:
        data = os.read(source, size_b + 1)
        while 0 < len(data) < size_b and (more := os.read(source, size_b + 1 - len(data))):
            data += more
    except OSError as error:
        raise source_failed(error) from None
    if len(data) != size_b:
        raise TransferFailed(Blame.SOURCE, Code.SOURCE_CHANGED())
    try:
        written = os.pwrite(fd, data, 0)
        while written < size_b:
            written += os.pwrite(fd, data[written:], written)
        hasher = Hasher(sha256)
        hasher.update(os.pread(fd, size_b + 1, 0))
        return hasher.digests()
    except OSError as error:
        raise destination_failed(error) from None


def _copy_big(
    source: int,
    fd: int,
    before: os.stat_result,
    part: int,
    flush: bool,
    stopping: Callable[[], bool] | None,
    on_bytes: Callable[[int], None] | None,
    limiter: RateLimiter | None,
    sha256: bool,
) -> Digests:
    """Copy from the offset `part` on, hash the whole copy, and return its sums."""
    size_b = before.st_size
    chunk = CHUNK if limiter is None else min(CHUNK, limiter.block)
    sparse = before.st_blocks * 512 < size_b
    try:
        os.ftruncate(fd, part)
        with TrailingHash(fd, part, sha256) as hasher:
            if on_bytes is not None and part:
                on_bytes(part)
            offset = part
            while offset < size_b:
                if stopping is not None and stopping():
                    raise Stopped("the run was asked to stop while copying a file")
                start, end = _next_data(source, offset, size_b) if sparse else (offset, size_b)
                if start > offset:
                    os.ftruncate(fd, start)
                    count = start - offset
                else:
                    count = min(chunk, end - offset)
                    if limiter is not None:
                        limiter.wait(count)
                    count = _copy_chunk(source, fd, offset, count)
                    with contextlib.suppress(OSError):  # only saves time
                        start_writing(fd, offset, count)
                offset += count
                hasher.advance(offset, AHEAD)
                if on_bytes is not None:
                    on_bytes(count)
            # The flush overlaps with the rest of the hashing.
            _finish(fd, before, flush)
            return hasher.digests()
    except OSError as error:
        raise destination_failed(error) from None


def _copy_chunk(source: int, fd: int, offset: int, count: int) -> int:
    """Copy up to `count` bytes; raises OSError for the destination, TransferFailed for the source."""
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        copied = os.sendfile(fd, source, offset, count)
    except OSError:
        # Not supported here, or failed on one side: reading and writing finds out which.
        try:
            data = os.pread(source, min(count, SMALL), offset)
        except OSError as error:
            raise source_failed(error) from None
        copied = os.pwrite(fd, data, offset)
    if copied == 0:
        raise TransferFailed(Blame.SOURCE, Code.SOURCE_SHRANK())
    return copied


def _next_data(source: int, offset: int, size_b: int) -> tuple[int, int]:
    """Return start and end of the next data that is not a hole."""
    try:
        start = os.lseek(source, offset, os.SEEK_DATA)
        return min(start, size_b), min(os.lseek(source, start, os.SEEK_HOLE), size_b)
    except OSError:  # ENXIO: only a hole is left
        return size_b, size_b


def _finish(fd: int, like: os.stat_result, flush: bool) -> int:
    """Set the source's mode and times, and owner for root, flush the copy if requested, and return its length."""
    try:
        now = os.fstat(fd)
        owner = (like.st_uid, like.st_gid)
        if owner == (now.st_uid, now.st_gid) or os.geteuid() != 0:
            owner = (KEPT, KEPT)
        set_owner_and_mode(fd, now, *owner, stat.S_IMODE(like.st_mode))
        set_times(fd, like.st_atime_ns, like.st_mtime_ns)
        if flush:
            os.fsync(fd)
        return now.st_size
    except OSError as error:
        raise destination_failed(error) from None
