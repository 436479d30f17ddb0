"""Write the manifest of a node, and look whether its files have changed since."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from alpenhorn.errors import Stopped, UnsafePath
from alpenhorn.fs import manifest
from alpenhorn.fs.paths import TreeOpener, open_below
from alpenhorn.fs.placing import Stage
from alpenhorn.fs.syscalls import flush as flush_fd
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.manifests import ChangedFile, CompareFile, CompareJob, ManifestJob, ManifestOutcome
from alpenhorn.model.nodes import MANIFEST
from alpenhorn.model.tasks import Reporter
from alpenhorn.reasons import Code, Why

FILE_MODE = 0o644  # whoever may read the files may check them
_BLOCK_B = 2**18
_LOOK_UP = 1000  # entries between two checks whether the run is to stop

Times = tuple[int, int]
"""Modification time and status change time, in nanoseconds."""


class _Unusable(Exception):
    """The existing manifest cannot be continued."""


def write(job: ManifestJob, node: DirectoryNode, stage: str, report: Reporter) -> ManifestOutcome:
    """Write a part of a manifest to `stage`, and rename the manifest after the last part.

    Its directory is flushed only with `job.flush`.  Raises StorageError if the node itself is gone.
    """
    node.check()
    return write_part(
        job,
        report,
        lambda: node.stage(stage),
        lambda aside: open_below(node.root, MANIFEST, os.O_RDONLY | os.O_NONBLOCK),
        lambda aside: _put(aside, job.flush),
    )


def write_part(
    job: ManifestJob,
    report: Reporter,
    open_stage: Callable[[], Stage],
    open_old: Callable[[Stage], int],
    put: Callable[[Stage], None],
) -> ManifestOutcome:
    """Append a part to the new manifest in a stage; flush it after the last part, and `put` it in place of the old one.

    The existing manifest stays until then, and if anything fails.  For the holder of the node's run lock only.
    `open_old` returns a descriptor of the existing manifest, which is read for the first part of one that continues it.
    Raises what the functions raise, except OSError and, from `open_old`, UnsafePath.
    """
    try:
        with open_stage() as aside:
            try:
                outcome = _append(job, aside, open_old, report)
                if job.last:
                    put(aside)
            except BaseException:
                with suppress(OSError):
                    aside.clear()  # frees space on a full disk
                raise
            if job.last:
                with suppress(OSError):
                    aside.clear()
            return outcome
    except _Unusable as error:
        return ManifestOutcome(error=Code.OLD_MANIFEST_UNUSABLE(why=error), unusable=True)
    except Stopped:
        return ManifestOutcome(error=Code.RUN_STOPPED())
    except OSError as error:
        why = Code.SYSTEM_ERROR(why=error.strerror or error)
        return ManifestOutcome(error=why, errno=error.errno or 0)


def _append(
    job: ManifestJob, aside: Stage, open_old: Callable[[Stage], int], report: Reporter
) -> ManifestOutcome:
    begun = os.O_CREAT | os.O_EXCL if job.first else os.O_APPEND
    fd = os.open(manifest.NAME, os.O_WRONLY | os.O_NOFOLLOW | begun, FILE_MODE, dir_fd=aside.fd)
    files, size_b = job.before
    forgotten = 0
    with open(fd, "wb", buffering=_BLOCK_B) as file:
        if job.first:
            with suppress(OSError):  # mount options may fix the modes
                os.fchmod(fd, FILE_MODE)
            file.write(manifest.heading(job.token, job.heading))
        if job.first and not job.anew:
            forget = {manifest.key(path) for path in job.forget}
            for one in _old(lambda: open_old(aside), report):
                if one.key in forget:
                    forgotten += 1
                    continue
                file.write(one.lines)
                files += 1
                size_b += one.size_b
        for one_file in job.files:
            file.write(manifest.entry(one_file))
            files += 1
            size_b += one_file.size_b
        _go_on(report)
        if job.last:
            file.write(manifest.end(files, size_b))
            file.flush()
            os.fsync(fd)
    return ManifestOutcome(files, size_b, forgotten)


def _go_on(report: Reporter) -> None:
    if report.stopping():
        raise Stopped("the run was asked to stop while it wrote a manifest")


def _old(open_old: Callable[[], int], report: Reporter) -> Iterator[manifest.ManifestEntry]:
    """Yield the entries of the existing manifest.  Raises _Unusable if it cannot be read completely."""
    try:
        with open(open_old(), "rb", buffering=_BLOCK_B) as file:
            for number, one in enumerate(manifest.entries(file)):
                if number % _LOOK_UP == 0:
                    _go_on(report)
                if one.acq_b is None:
                    raise _Unusable("older format")
                yield one
    except (ValueError, UnsafePath) as error:
        raise _Unusable(str(error)) from None
    except OSError as error:
        # Errors of writing the new manifest are not raised in here.
        raise _Unusable(f"cannot read it: {error.strerror}") from None


def _put(aside: Stage, flush: bool) -> None:
    os.rename(manifest.NAME, f"../{manifest.NAME}", src_dir_fd=aside.fd, dst_dir_fd=aside.fd)
    if not flush:
        # If the power fails before the rename is on the disk, the old manifest, or none, comes back.  Its
        # token then differs from that in the index, so the next run compares the node.
        return
    directory = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=aside.fd)
    try:
        flush_fd(directory)
    finally:
        os.close(directory)


def compare(job: CompareJob, node: DirectoryNode, report: Reporter) -> tuple[ChangedFile, ...]:
    """Return files that are missing, irregular, of another length, or written to after the manifest.

    Reads no file and follows no symbolic link.  Returns early if the run is asked to stop.  Raises
    StorageError if the node itself is gone.
    """
    node.check()
    changed = []
    with TreeOpener(node.root) as below:
        written = _manifest_times(below)
        for number, file in enumerate(job.files):
            if number % _LOOK_UP == 0 and report.stopping():
                break
            why = _difference(below, file, None if file.later else written)
            if why:
                changed.append(ChangedFile(file, why))
            report.progress(1, 0)
    node.check()  # an unmounted disk must not make files look missing
    return tuple(changed)


def _manifest_times(below: TreeOpener) -> Times | None:
    try:
        status = _status(below, MANIFEST)
    except (OSError, UnsafePath):
        return None
    return (status.st_mtime_ns, status.st_ctime_ns) if stat.S_ISREG(status.st_mode) else None


def _status(below: TreeOpener, path: str) -> os.stat_result:
    directory, name = below.parent(path)
    return os.stat(name, dir_fd=directory, follow_symlinks=False)


def _difference(below: TreeOpener, file: CompareFile, written: Times | None) -> Why:
    try:
        status = _status(below, file.path)
    except (FileNotFoundError, NotADirectoryError):
        return Code.FILE_MISSING()
    except UnsafePath as error:
        return error.reason
    except OSError as error:
        return Code.COPY_NOT_LOOKED_AT(why=error.strerror)
    if not stat.S_ISREG(status.st_mode):
        return Code.COPY_NOT_REGULAR()
    if file.size_b is not None and status.st_size != file.size_b:
        return Code.COPY_LENGTH_WRONG(found=status.st_size, expected=file.size_b)
    # Both times: a copy has the modification time of its source, which may lie in the future, and a new hard
    # link also changes the status change time.
    if written and status.st_mtime_ns > written[0] and status.st_ctime_ns > written[1]:
        return Code.COPY_NEWER_THAN_MANIFEST()
    return ""
