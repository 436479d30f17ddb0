"""What a worker does with claimed copies: remove the files, and the directories that become empty."""

from __future__ import annotations

import logging

from alpenhorn.errors import AlpenhornError, StorageError, UnsafePath
from alpenhorn.fs.removal import Differs, Removal
from alpenhorn.io.base import Node
from alpenhorn.model import DeleteFile, DeleteJob, DeleteOutcome, DeleteResult, HasFile, Reporter, Verdict

_log = logging.getLogger(__name__)


def delete(job: DeleteJob, node: Node, report: Reporter) -> DeleteOutcome:
    """Remove the files one by one, until the run is asked to stop or the storage turns out to be gone.

    Raises nothing for what storage can do, so that what was removed is always told.
    """
    results: list[DeleteResult] = []
    try:
        with node.removal() as removal:
            error = _remove(job, node, removal, report, results)
            if not error:
                _prune(node, removal)
    except (StorageError, OSError) as gone:
        error = str(gone)
    return DeleteOutcome(tuple(results), error)


def _remove(
    job: DeleteJob, node: Node, removal: Removal, report: Reporter, results: list[DeleteResult]
) -> str:
    """Fill `results`; returns why the node cannot be used any more, "" when it can."""
    for file in job.files:
        if report.stopping():
            break
        result = _attempt(file, node, removal)
        if result.verdict is not Verdict.DELETED:
            # An absent disk is not an empty one, and what it says of a file is worth nothing.
            try:
                removal.check()
            except (StorageError, OSError) as gone:
                if result.verdict is Verdict.FAILED:
                    results.append(result)
                return str(gone)
        results.append(result)
        report.progress(1, 0)
    return ""


def _attempt(file: DeleteFile, node: Node, removal: Removal) -> DeleteResult:
    try:
        status = removal.remove(file.path, file.size_b)
    except (FileNotFoundError, NotADirectoryError):
        return DeleteResult(file, Verdict.MISSING)
    except Differs as error:
        return DeleteResult(file, Verdict.CORRUPT, error=str(error))
    except UnsafePath as error:
        return DeleteResult(file, Verdict.FAILED, error=str(error))
    except OSError as error:
        return _failed(file, removal, f"cannot remove {file.path!r}: {error.strerror or error}")
    # As long as the file has another name, its space is not free.
    freed_b = node.space_used(status) if status.st_nlink == 1 else 0
    return DeleteResult(file, Verdict.DELETED, freed_b)


def _failed(file: DeleteFile, removal: Removal, error: str) -> DeleteResult:
    """A file that cannot be seen to be there still may be gone all the same."""
    try:
        there = removal.exists(file.path)
    except (OSError, UnsafePath):
        there = False
    return DeleteResult(file if there else file._replace(had=HasFile.MAYBE), Verdict.FAILED, error=error)


def _prune(node: Node, removal: Removal) -> None:
    try:
        removal.prune()
    except (AlpenhornError, OSError) as error:
        _log.warning("on %s, empty directories are left: %s", node.node.name, error)
