"""Look which directories of a node's memory have changed, and write the memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from alpenhorn.fs import remembered
from alpenhorn.fs.remembered import Memory, MemoryEntry
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.searches import RememberJob, Stamp, SurveyJob, SurveyOutcome
from alpenhorn.reasons import Code, Why

DIRECTORIES = 20_000  # per job
FILE_MODE = 0o600


def survey(job: SurveyJob, node: DirectoryNode) -> SurveyOutcome:
    """Look at some of the remembered directories, without listing them.

    If the memory is damaged, nothing counts as remembered.  Raises StorageError if the node itself is gone,
    so that an unmounted disk does not make directories look removed.
    """
    node.check()
    try:
        with Memory(node.root) as memory:
            if job.offset == 0 and not memory.is_intact():
                return SurveyOutcome()
            outcome = _look(memory, job.offset or memory.start, node.root)
    except (LookupError, ValueError, OSError):
        return SurveyOutcome()
    if outcome.gone:
        node.check()
    return outcome


def _look(memory: Memory, offset: int, root: str) -> SurveyOutcome:
    changed: list[Stamp] = []
    gone: list[str] = []
    seen = 0
    prefix = os.fsencode(root) + b"/"
    while True:
        entries, offset = memory.read_some(offset)
        for entry in entries:
            # Compared as bytes: most directories need no more.
            mtime, ctime, path = remembered.fields(entry)
            try:
                status = os.lstat(prefix + path)
            except (FileNotFoundError, NotADirectoryError):
                gone.append(os.fsdecode(path))
                continue
            except OSError:
                changed.append(remembered.stamp(entry))  # the listing will report the error
                continue
            if not stat.S_ISDIR(status.st_mode):
                gone.append(os.fsdecode(path))
            elif status.st_mtime_ns != int(mtime) or status.st_ctime_ns != int(ctime):
                changed.append(remembered.stamp(entry))
        seen += len(entries)
        if not entries or seen >= DIRECTORIES:
            break
    return SurveyOutcome(memory.heading, tuple(changed), tuple(gone), seen, next=offset if entries else None)


def remember(job: RememberJob, node: DirectoryNode, stage: str) -> Why:
    """Write the memory to the stage and rename it; return why that failed, or "".

    For the holder of the node's run lock only.  Raises StorageError if the node itself is gone.
    """
    node.check()
    try:
        _write(job, node, stage)
    except OSError as error:
        return Code.SYSTEM_ERROR(why=error.strerror)
    return ""


def _write(job: RememberJob, node: DirectoryNode, stage: str) -> None:
    with node.stage(stage) as aside:
        fd = os.open(
            remembered.NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE, dir_fd=aside.fd
        )
        try:
            remembered.write(fd, job.heading, _merged(job, node.root))
        finally:
            os.close(fd)
        os.rename(remembered.NAME, f"../{remembered.NAME}", src_dir_fd=aside.fd, dst_dir_fd=aside.fd)
        aside.clear()


def _merged(job: RememberJob, root: str) -> Iterator[MemoryEntry]:
    listed = [remembered.entry_of(one) for one in job.listed]
    if not job.everything:
        out = {os.fsencode(path) for path in job.forget}
        out.update(remembered.fields(entry)[2] for entry in listed)
        # Losing entries here is harmless: the coordinator relies only on a memory known to be complete.
        with suppress(LookupError), Memory(root) as memory:
            for entry in memory.entries():
                if remembered.fields(entry)[2] not in out:
                    yield entry
    yield from listed
