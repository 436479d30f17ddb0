"""Hash a file while it is being written."""

from __future__ import annotations

import errno
import os
import threading
from types import TracebackType

from alpenhorn.fs.hashing import Digests, Hasher

BLOCK = 2**20


class TrailingHash:
    """A thread that reads an open file behind its writer and computes its sums.

        with TrailingHash(fd, already) as hasher:
            ... hasher.advance(offset) ...
            digests = hasher.digests()

    `already`: bytes in the file at the start.  `sha256`: whether to compute that sum, too.
    """

    def __init__(self, fd: int, already: int, sha256: bool = False) -> None:
        self._fd = fd
        self._written = already
        self._read = 0
        self._complete = False
        self._given_up = False
        self._error: OSError | None = None
        self._hasher = Hasher(sha256)
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)

    def __enter__(self) -> TrailingHash:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._moved:
            self._given_up = True
            self._moved.notify_all()
        self._thread.join()

    def advance(self, written: int, ahead: int) -> None:
        """Report that `written` bytes have been written; wait while the reader is more than `ahead` bytes behind."""
        with self._moved:
            self._written = written
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._written - self._read <= ahead or self._error is not None)

    def digests(self) -> Digests:
        """Wait for the end of the file and return the sums; raises OSError if the file cannot be read."""
        with self._moved:
            self._complete = True
            self._moved.notify_all()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._hasher.digests()

    def _run(self) -> None:
        buffer = memoryview(bytearray(BLOCK))
        try:
            while (end := self._wait()) > self._read:
                read = self._read
                while read < end and not self._given_up:
                    count = os.preadv(self._fd, [buffer[: min(BLOCK, end - read)]], read)
                    if count == 0:
                        raise OSError(errno.EIO, "what was written cannot be read back")
                    self._hasher.update(buffer[:count])
                    read += count
                with self._moved:
                    self._read = read
                    self._moved.notify_all()
                if self._given_up:
                    return
        except OSError as error:
            with self._moved:
                self._error = error
                self._moved.notify_all()

    def _wait(self) -> int:
        """Return the offset up to which to read; the current one at the end."""
        with self._moved:
            self._moved.wait_for(lambda: self._written > self._read or self._complete or self._given_up)
            return self._read if self._given_up else self._written
