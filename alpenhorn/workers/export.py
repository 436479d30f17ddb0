"""Copy files of a node out of the archive, each verified as it is written."""

from __future__ import annotations

import os
from contextlib import suppress

from alpenhorn.errors import AlpenhornError, Stopped, UnsafePath
from alpenhorn.io.base import DirectoryNode, TapeNode
from alpenhorn.model.export import ExportFile, ExportJob, ExportResult
from alpenhorn.model.tasks import Blame, Reporter
from alpenhorn.reasons import Code, Why
from alpenhorn.transfer.blame import TransferFailed, destination_failed, source_failed
from alpenhorn.transfer.copy import copy
from alpenhorn.workers.tape import out_of_reach


def export_files(job: ExportJob, node: DirectoryNode, report: Reporter) -> tuple[ExportResult, ...]:
    """Return a result for each file, until the worker is asked to stop or the target takes no more.

    Raises StorageError if the node itself is gone.
    """
    node.check()
    away: dict[str, Why] = {}
    if isinstance(node, TapeNode):
        states = out_of_reach(node, [file.path for file in job.files])
        away = {
            path: Code.FILE_NOT_ON_DISK(where=one.where) if one.where else one.error
            for path, one in states.items()
        }
    results: list[ExportResult] = []
    target = os.open(job.target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for file in job.files:
            if report.stopping():
                break
            report.begin(file.path)
            try:
                results.append(
                    ExportResult(file, error=away[file.path])
                    if file.path in away
                    else ExportResult(file, _copy(file, node, target, job.target, report))
                )
            except Stopped:
                break
            except TransferFailed as error:
                with suppress(OSError):  # a copy on another node is tried next
                    os.unlink(file.path, dir_fd=target)
                results.append(_failed(file, node, error))
                if results[-1].ends:
                    break
            report.progress(1, 0)
    finally:
        os.close(target)
    return tuple(results)


def _copy(file: ExportFile, node: DirectoryNode, target: int, path: str, report: Reporter) -> str:
    """Copy a file and return its SHA-256 sum.  Raises TransferFailed and Stopped."""
    try:
        fd = node.open(file.path)
    except (OSError, UnsafePath) as error:
        raise source_failed(error) from None
    except AlpenhornError as error:
        raise TransferFailed(Blame.UNKNOWN, error.reason) from None
    try:
        try:
            os.makedirs(os.path.join(path, os.path.dirname(file.path)), exist_ok=True)
        except OSError as error:
            raise destination_failed(error) from None
        found = copy(
            fd,
            target,
            file.path,
            file.size_b,
            file.md5sum,
            flush=False,
            stopping=report.stopping,
            on_bytes=lambda count: report.progress(0, count),
            sha256=file.sha256,
        )
    finally:
        os.close(fd)
    return found.sha256


def _failed(file: ExportFile, node: DirectoryNode, error: TransferFailed) -> ExportResult:
    if error.blame is Blame.SOURCE:
        node.check()  # an unmounted disk is not an empty one
    return ExportResult(
        file,
        error=error.reason,
        blames=error.blame is Blame.SOURCE,
        ends=error.blame is Blame.DESTINATION,
    )
