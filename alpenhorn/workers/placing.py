"""Put verified files of a stage to their places in the directory of a node."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import suppress

from alpenhorn.errors import AlpenhornError, Stopped, UnsafePath
from alpenhorn.fs.flushing import FEW
from alpenhorn.fs.paths import check_relative
from alpenhorn.fs.placing import StatusAround
from alpenhorn.fs.verified_status import LEAST_B, StatusTaker
from alpenhorn.model.pulls import PullFile
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.transfer.blame import TransferFailed
from alpenhorn.transfer.copy import SMALL
from alpenhorn.workers.work import ArrivedFile, PullState, destination_trouble


class Placing:
    """The places of a job's files; a `Destination` (`alpenhorn.workers.pull`)."""

    def __init__(self, work: PullState) -> None:
        self._work = work

    def free(self) -> list[PullFile]:
        """Return the files whose paths are valid for the file system, and not occupied by an unknown file as far as
        known.

        Placing never replaces such a file.  Looking at the path saves a needless transfer, and is left out for small
        files of this host unless one of the first FEW paths is occupied.
        """
        work = self._work
        free: list[PullFile] = []
        occupied = False
        for number, file in enumerate(work.job.files):
            look = number < FEW or occupied or work.source is None or file.size_b > SMALL
            if self._is_free(file, look):
                free.append(file)
            elif work.results[file].verdict is Verdict.OCCUPIED:
                occupied = True
        return free

    def _is_free(self, file: PullFile, look: bool) -> bool:
        """Return whether the path is valid for the file system and not occupied by an unknown file.

        Without `look`, the path is not looked at where that is not necessary.
        """
        work = self._work
        try:
            check_relative(file.path)
            if refusal := work.names.refuses(file):
                work.record_failure(file, TransferFailed(Blame.UNKNOWN, refusal))
                return False
            if file.replace or (not look and not work.names.may_be_reserved):
                return True
            occupied = work.node.exists(file.path) and not work.names.is_free(file.path)
        except (UnsafePath, OSError) as error:
            work.record_failure(file, destination_trouble(error))
            return False
        if occupied:
            work.record_occupied(file, work.began)
        return not occupied

    def rounds(self, files: Sequence[PullFile]) -> Generator[Sequence[PullFile]]:
        """Yield all files at once: the space on the node is reserved for them."""
        if files:
            yield files

    def put(self) -> None:
        """Flush and place the files that have arrived."""
        work = self._work
        arrived, work.arrived = work.arrived, []
        if not arrived:
            return
        try:
            if not work.flush_each:
                work.stage.flush()
            spaces = self._spaces(arrived)
            statuses = None
            if not (work.transfer.verify_links or work.job.node.archive):
                statuses = StatusTaker(work.began)
            around = {
                number: StatusAround()
                for number, one in enumerate(arrived)
                if statuses is not None and one.file.size_b >= LEAST_B
            }
            outcomes = work.stage.place(
                [(one.name, one.file.path, work.names.replaces(one.file)) for one in arrived],
                work.lock,
                around,
            )
        except Stopped:  # while waiting for the tree lock; the files will be pulled again
            return
        except (OSError, AlpenhornError) as error:
            for one in arrived:
                work.record_placed(one, error, None)
            return
        for number, (one, outcome, space_b) in enumerate(zip(arrived, outcomes, spaces, strict=True)):
            if statuses is not None and number in around:
                one.verified_status = statuses.after_placing(work.stage.fd, around[number])
            work.record_placed(one, outcome, space_b)

    def _spaces(self, arrived: Sequence[ArrivedFile]) -> list[int | None]:
        """Return the space of each file, known only after its flush."""
        work = self._work
        spaces: list[int | None] = []
        for one in arrived:
            spaces.append(None)
            with suppress(OSError):
                status = os.stat(one.name, dir_fd=work.stage.fd, follow_symlinks=False)
                spaces[-1] = work.node.space_used(status)
        return spaces
