"""What a worker does with the memory of a node's searches: look what has changed since, and write it anew."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from alpenhorn.fs import remembered
from alpenhorn.fs.remembered import Entry, Memory
from alpenhorn.io.base import Node
from alpenhorn.model.searches import RememberJob, Stamp, SurveyJob, SurveyOutcome
from alpenhorn.reasons import Code, Why

DIRECTORIES = 20_000  # looked at in one job
FILE_MODE = 0o600


def survey(job: SurveyJob, node: Node) -> SurveyOutcome:
    """Look at some of the remembered directories, without listing them.

    Whatever is wrong with the memory means that nothing is remembered.  Raises StorageError when the node
    itself is gone: an unmounted disk must not look like one whose directories were removed.
    """
    node.check()
    try:
        with Memory(node.root) as memory:
            if job.offset == 0 and not memory.whole():
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
        entries, offset = memory.some(offset)
        for entry in entries:
            # As it stands in the file, since of most directories nothing more is needed.
            mtime, ctime, path = remembered.fields(entry)
            try:
                status = os.lstat(prefix + path)
            except (FileNotFoundError, NotADirectoryError):
                gone.append(os.fsdecode(path))
                continue
            except OSError:
                changed.append(remembered.stamp(entry))  # whoever lists it is told what is the matter
                continue
            if not stat.S_ISDIR(status.st_mode):
                gone.append(os.fsdecode(path))
            elif status.st_mtime_ns != int(mtime) or status.st_ctime_ns != int(ctime):
                changed.append(remembered.stamp(entry))
        seen += len(entries)
        if not entries or seen >= DIRECTORIES:
            break
    return SurveyOutcome(memory.heading, tuple(changed), tuple(gone), seen, next=offset if entries else None)


def remember(job: RememberJob, node: Node, stage: str) -> Why:
    """Write the memory anew, aside, and rename it; return why that failed, "" when it did not.

    Only for the holder of the node's run lock.  Raises StorageError when the node itself is gone.
    """
    node.check()
    try:
        _write(job, node, stage)
    except OSError as error:
        return Code.SYSTEM_ERROR(why=error.strerror)
    return ""


def _write(job: RememberJob, node: Node, stage: str) -> None:
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


def _merged(job: RememberJob, root: str) -> Iterator[Entry]:
    listed = [remembered.entry_of(one) for one in job.listed]
    if not job.everything:
        out = {os.fsencode(path) for path in job.forget}
        out.update(remembered.fields(entry)[2] for entry in listed)
        # Lost meanwhile, which does no harm: the coordinator only believes what it knows to be complete.
        with suppress(LookupError), Memory(root) as memory:
            for entry in memory.entries():
                if remembered.fields(entry)[2] not in out:
                    yield entry
    yield from listed
