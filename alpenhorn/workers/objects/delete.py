"""Delete copies that are objects: look, check the keepers and the age of the claims, remove, and look again.

There is no trash.  Whether an object is gone is decided by the second look, and not by what the removal returned.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from alpenhorn.config import Transfer
from alpenhorn.errors import AlpenhornError, Stopped, StorageError
from alpenhorn.fs.newer import time_text
from alpenhorn.io.objects import ObjectNode, SeenObject
from alpenhorn.model.copies import HasFile
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome, DeleteResult
from alpenhorn.model.tasks import Reporter, Verdict
from alpenhorn.reasons import Code, Why
from alpenhorn.workers.delete import GONE, ClaimsExpired, check_age, keepers_of, to_be_read
from alpenhorn.workers.keepers import JobKeepers, KeeperDecision
from alpenhorn.workers.objects.batches import Efforts, batches

_NONE = KeeperDecision("", ())


def delete(
    job: DeleteJob,
    node: ObjectNode,
    report: Reporter,
    transfer: Transfer,
    silent: dict[str, AlpenhornError],
    deadline: float | None,
) -> DeleteOutcome:
    """Remove the objects, until the run is asked to stop, the service fails, or the claims expire.

    The parameters are those of `alpenhorn.workers.delete.delete`.  Errors of the service are returned, so that what was
    removed is always reported.
    """
    results: list[DeleteResult] = []
    error: Why = ""
    expired = False
    try:
        with keepers_of(job, report, transfer.ssh, silent) as keepers:
            removing = _Removing(job, node, keepers, Efforts(deadline, report.stopping), results)
            for some in batches(node, job.files):
                if report.stopping():
                    break
                report.begin(some[0].path)
                removing.remove(some)
                report.progress(len(some), 0)
    except ClaimsExpired:
        expired = True
    except Stopped:
        pass
    except StorageError as gone:
        error = gone.reason
    for result in results:
        if result.verdict not in GONE:
            report.fail()
    return DeleteOutcome(tuple(results), error, expired)


class _Removing:
    """The removals of one job, which fill `results`."""

    def __init__(
        self,
        job: DeleteJob,
        node: ObjectNode,
        keepers: JobKeepers,
        efforts: Efforts,
        results: list[DeleteResult],
    ) -> None:
        self._job = job
        self._node = node
        self._keepers = keepers
        self._efforts = efforts
        self._results = results

    def remove(self, files: Sequence[DeleteFile]) -> None:
        """Remove a batch.  Raises ClaimsExpired, Stopped and StorageError; what was begun is in the results."""
        check_age(self._job)
        possible = [file for file in files if self._possible(file)]
        seen = self._node.look([file.path for file in possible], self._efforts.next())
        allowed = [
            (file, decision)
            for file in possible
            if (decision := self._decide(file, seen.get(file.path))) is not None
        ]
        if not allowed:
            return
        check_age(self._job)  # again: looking at keepers takes time
        paths = [file.path for file, _ in allowed]
        try:
            failed = self._node.remove(paths, self._efforts.next(self._claims_left()))
            left = self._node.look(paths, self._efforts.next())
        except (StorageError, Stopped) as error:
            for file, _ in allowed:
                self._add(file._replace(has_file=HasFile.MAYBE), Verdict.FAILED, error.reason)
            raise
        for file, decision in allowed:
            if file.path in left:
                why = failed.get(file.path) or Code.OBJECT_STILL_THERE()
                self._add(file, Verdict.FAILED, why, decision)
            else:
                self._results.append(
                    DeleteResult(file, Verdict.DELETED, seen[file.path].size_b, wrong=decision.wrong)
                )

    def _claims_left(self) -> float | None:
        """Return the seconds for which the claims allow removals, None for no limit."""
        expires = self._job.expires
        return None if expires is None else expires - time.clock_gettime(time.CLOCK_BOOTTIME)

    def _possible(self, file: DeleteFile) -> bool:
        if why := self._node.refuses(file.path):
            self._add(file, Verdict.FAILED, why)
        return not why

    def _decide(self, file: DeleteFile, seen: SeenObject | None) -> KeeperDecision | None:
        """Return the decision to remove an object, None if it stays, with the result."""
        if seen is None:
            self._add(file, Verdict.MISSING)
            return None
        if seen.modified >= file.since:
            self._results.append(to_be_read(file, time_text(seen.modified)))
            return None
        if file.size_b is not None and seen.size_b != file.size_b:
            why = Code.COPY_LENGTH_WRONG(found=seen.size_b, expected=file.size_b)
            self._add(file, Verdict.CORRUPT, why)
            return None
        decision = self._keepers.judge(file, None)
        if decision.kept:
            self._add(file, Verdict.KEPT, decision.kept, decision)
            return None
        return decision

    def _add(
        self, file: DeleteFile, verdict: Verdict, error: Why = "", decision: KeeperDecision = _NONE
    ) -> None:
        self._results.append(DeleteResult(file, verdict, error=error, wrong=decision.wrong))
