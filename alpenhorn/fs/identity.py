"""The identity file of a medium, ROOT/.alpenhorn/identity: its index, its id, and its generation
(CONTRIBUTING.md, "The identity of media").

It has two slots of 512 bytes, each a line of text padded with blanks:

    alpenhorn identity 1 index=ID medium=ID generation=NUMBER word=WORD md5=SUM

ID has 32 hexadecimal digits, WORD 16; SUM is the MD5 sum of the line up to the blank before `md5=`.  A slot
of blanks is empty.  The slot with the highest generation is valid; a new generation overwrites the other one,
so that a write cut off by a crash leaves the previous generation.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from contextlib import suppress

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs.own import open_own
from alpenhorn.fs.paths import open_below
from alpenhorn.fs.placing import PRIVATE, Stage
from alpenhorn.fs.sharing import share
from alpenhorn.model.nodes import Identity
from alpenhorn.reasons import Code

NAME = "identity"
PATH = f"{PRIVATE}/{NAME}"
SLOT_B = 512
FILE_MODE = 0o644

EMPTY = b" " * (SLOT_B - 1) + b"\n"
_HEAD = re.compile(rb"alpenhorn identity ([0-9]{1,9}) ")
_SLOT = re.compile(
    rb"(alpenhorn identity 1 index=([0-9a-f]{32}) medium=([0-9a-f]{32}) generation=([0-9]{1,18})"
    rb" word=([0-9a-f]{16})) md5=([0-9a-f]{32}) *\n"
)


def new_id() -> str:
    """Return a random id of an index or a medium."""
    return os.urandom(16).hex()


def new_word() -> str:
    """Return the random word of a generation."""
    return os.urandom(8).hex()


def read(root: str) -> Identity | None:
    """Return the contents of the file, None without one.

    Raises StorageError if it is damaged or of a newer version; OSError.
    """
    try:
        fd = open_below(root, PATH, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnsafePath as error:
        raise _damaged(root, str(error)) from None
    try:
        return newest(root, _read(root, fd))[0]
    finally:
        os.close(fd)


def write(root: str, identity: Identity) -> None:
    """Write and flush a new generation over the older slot.

    Raises StorageError if the file is damaged or belongs to another medium or index; OSError.
    """
    try:
        fd = open_own(root, PATH, os.O_RDWR)
    except PermissionError:
        raise StorageError(Code.NOT_SHARED(path=f"{root}/{PATH}", root=root)) from None
    try:
        found, slot = newest(root, _read(root, fd))
        if (found.index_id, found.medium) != (identity.index_id, identity.medium):
            raise StorageError(Code.OTHER_MEDIUM_MEANWHILE(root=root))
        os.pwrite(fd, slot_of(identity), SLOT_B * (1 - slot))
        os.fdatasync(fd)
    finally:
        os.close(fd)


def create(stage: Stage, identity: Identity) -> None:
    """Write a new file in `stage`, flush it, and move it in place of any existing one.  Raises OSError."""
    # The leftover of a killed run may be a hard link to a file that must not be overwritten.
    with suppress(FileNotFoundError):
        os.unlink(NAME, dir_fd=stage.fd)
    fd = os.open(NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE, dir_fd=stage.fd)
    try:
        # Runs of other users write the next generation in place.
        share(fd, stage.fd, regroup=True)
        os.write(fd, slot_of(identity) + EMPTY)
        os.fsync(fd)
    finally:
        os.close(fd)
    stage.publish(NAME)


def _read(root: str, fd: int) -> bytes:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise _damaged(root, "not a regular file")
    return os.pread(fd, 2 * SLOT_B + 1, 0)


def newest(root: str, content: bytes) -> tuple[Identity, int]:
    """Return the valid identity in the contents of both slots, and the number of its slot.

    Raises StorageError if it is damaged or of a newer version; `root` is the place for the message.
    """
    slots = [content[:SLOT_B], content[SLOT_B:]]
    for raw in slots:
        head = _HEAD.match(raw)
        if head and int(head[1]) > 1:
            raise StorageError(Code.IDENTITY_TOO_NEW(file=f"{root}/{PATH}", version=int(head[1])))
    if len(content) != 2 * SLOT_B:
        raise _damaged(root, f"length is {len(content)} bytes or more, not {2 * SLOT_B}")
    found = [(one, number) for number, raw in enumerate(slots) if (one := _parse(raw)) is not None]
    if not found:
        raise _damaged(root, "checksums do not match")
    if len({(one.index_id, one.medium) for one, _ in found}) > 1:
        raise _damaged(root, "the slots name different media")
    return max(found, key=lambda pair: pair[0].generation)


def _parse(raw: bytes) -> Identity | None:
    found = _SLOT.fullmatch(raw)
    if found is None or hashlib.md5(found[1], usedforsecurity=False).hexdigest().encode() != found[6]:
        return None
    return Identity(found[2].decode(), found[3].decode(), int(found[4]), found[5].decode())


def slot_of(identity: Identity) -> bytes:
    """Return the contents of a slot."""
    line = (
        f"alpenhorn identity 1 index={identity.index_id} medium={identity.medium}"
        f" generation={identity.generation} word={identity.word}"
    ).encode()
    line += b" md5=" + hashlib.md5(line, usedforsecurity=False).hexdigest().encode()
    return line.ljust(SLOT_B - 1) + b"\n"


def _damaged(root: str, why: str) -> StorageError:
    return StorageError(Code.IDENTITY_DAMAGED(file=f"{root}/{PATH}", why=why))
