"""A text file that other programs read at any time, and whose writers depend on its earlier contents."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alpenhorn.fs.syscalls import flush

READABLE = 0o644
LOCK_SECONDS = 10.0  # writers hold the lock for milliseconds, unless one is stopped or its disk hangs
_LOOK_EVERY = 0.01


def read(path: Path) -> str:
    """Return the text; "" if there is no file, or it is not UTF-8.  Raises OSError."""
    try:
        # Not blocking, since another user may have put a pipe there.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


@contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Exclude other writers of the file.  Raises OSError, TimeoutError after `seconds`.

    The lock is a file of its own, since the file itself is replaced, and any user may open that.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(0, f"another process keeps {path}.lock locked") from None
                time.sleep(_LOOK_EVERY)
        yield
    finally:
        os.close(lock)


def replace(path: Path, content: bytes, mode: int = READABLE, new: Path | None = None) -> None:
    """Replace the file at once, with this mode whatever the umask.  Raises OSError.

    The caller holds the lock.  Without it, `new` must be a path beside the file that no other process uses.
    """
    new = Path(f"{path}.new") if new is None else new
    with suppress(FileNotFoundError):
        os.unlink(new)  # of a writer that was killed
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            # Otherwise a power failure may leave an empty file, and what it had is forgotten.
            flush(file.fileno())
        os.replace(new, path)
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise
