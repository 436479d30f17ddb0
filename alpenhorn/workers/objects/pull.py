"""Pull files to a node with objects, from any source.

The files of a directory of this host are read and hashed where they are, so that a corrupt file is never stored.  Those
of other sources are fetched into a stage below the node's root first, and verified there.  A file counts as pulled once
its object has the right length and MD5 sum: that of the service, or else that of its bytes, read back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress

from alpenhorn.config import Transfer
from alpenhorn.errors import StorageError
from alpenhorn.fs.newer import time_text
from alpenhorn.fs.stage_room import StageRoom
from alpenhorn.io.base import DirectoryNode
from alpenhorn.io.objects import ObjectNode, SeenObject
from alpenhorn.model.pulls import PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Reporter, Verdict
from alpenhorn.reasons import Code, Reason, Why, code_of
from alpenhorn.transfer.blame import TransferFailed
from alpenhorn.transfer.methods import METHODS
from alpenhorn.workers.objects.batches import Efforts, batches, md5sums
from alpenhorn.workers.pull import pull, source_of
from alpenhorn.workers.work import ArrivedFile, PullState, destination_trouble

OUT = ".alpenhorn-out"  # in the stage; no path of a file begins with it


def pull_from(
    job: PullJob,
    node: ObjectNode,
    stage: str,
    transfer: Transfer,
    report: Reporter,
    deadline: float | None,
    without_tar: set[str],
) -> tuple[PullResult, ...]:
    """Pull the files of a job, in order; see `alpenhorn.workers.pull.pull`.

    Files without a result may also be stored without being recorded; a check finds them.
    """
    source, witness = source_of(job)
    # A session with another host leaves time to store what it has brought.
    fetching = deadline / 2 if deadline is not None and job.staged else deadline
    return pull(
        job,
        node.directory(),
        stage,
        transfer,
        report,
        source,
        witness,
        fetching,
        without_tar,
        lambda work: Delivery(work, node, Efforts(deadline, work.stopping, job.rate)),
    )


class Delivery:
    """The objects of a job's files; a `Destination` (`alpenhorn.workers.pull`)."""

    def __init__(self, work: PullState, node: ObjectNode, efforts: Efforts) -> None:
        self._work = work
        self._node = node
        self._efforts = efforts
        self._read_in = work.source if isinstance(work.source, DirectoryNode) else None
        self._out = os.path.join(work.stage.path, OUT)
        shutil.rmtree(self._out, ignore_errors=True)  # of a killed worker

    def free(self) -> list[PullFile]:
        files = [file for file in self._work.job.files if self._has_name(file)]
        if self._read_in is not None:
            return files  # a look just before they are stored is enough, since nothing is fetched
        found: list[PullFile] = []
        for some in batches(self._node, files):
            seen = self._look(some)
            found += [file for file in some if self._is_free(file, seen.get(file.path))]
        return found

    def rounds(self, files: Sequence[PullFile]) -> Generator[Sequence[PullFile]]:
        if self._read_in is not None:
            yield from batches(self._node, files)
            return
        room = StageRoom(self._work.stage, self._work.stopping)
        left = files
        try:
            while left:
                number = room.take([file.size_b for file in left])
                if number:
                    yield left[:number]
                else:
                    number = 1
                    self._too_big(left[0], room.free_b)
                left = left[number:]
        except (StorageError, OSError) as error:
            raise destination_trouble(error) from None
        finally:
            room.give_back()

    def put(self) -> None:
        work = self._work
        arrived, work.arrived = work.arrived, []
        try:
            for some in batches(self._node, arrived):
                self._put(some)
        except (StorageError, OSError) as error:
            raise destination_trouble(error) from None

    # --- what is there

    def _has_name(self, file: PullFile) -> bool:
        """Return whether an object and, on its way, a file of the stage can have the name."""
        why = self._node.refuses(file.path)
        if not why and self._read_in is None:
            why = self._work.names.refuses(file) or ""
        if why:
            self._work.record_failure(file, TransferFailed(Blame.UNKNOWN, why))
        return not why

    def _too_big(self, file: PullFile, free_b: int) -> None:
        why = Code.STAGE_TOO_SMALL(root=self._node.root, size_b=file.size_b, free_b=free_b)
        self._work.record_failure(file, TransferFailed(Blame.UNKNOWN, why))

    def _look(self, files: Sequence[PullFile]) -> Mapping[str, SeenObject]:
        return self._node.look([file.path for file in files], self._efforts.next())

    def _is_free(self, file: PullFile, there: SeenObject | None) -> bool:
        """Return whether nothing is at the path, or the corrupt copy that the file replaces."""
        if there is None:
            return True
        if not file.replace:
            self._work.record_occupied(file, self._work.began)
        elif there.modified >= file.since and file.aside:
            why = Code.OBJECT_CHANGED_BY_OWNER(modified=time_text(there.modified))
            self._work.record_failure(file, TransferFailed(Blame.UNKNOWN, why))
        elif there.modified >= file.since:
            why = Code.OBJECT_CHANGED_BY_OWNER(modified=time_text(there.modified))
            self._work.record_occupied(file, self._work.began, why)
        return file not in self._work.results

    # --- what is stored

    def _put(self, some: Sequence[ArrivedFile]) -> None:
        """Store a batch, and discard it.  Raises TransferFailed, Stopped, and StorageError for an unusable service."""
        try:
            # For a file that replaces another one, the first look may have been too long ago.
            doubtful = [one.file for one in some if one.file.replace or self._read_in is not None]
            seen = self._look(doubtful) if doubtful else {}
            free = [one for one in some if self._is_free(one.file, seen.get(one.file.path))]
            if self._read_in is None:
                free = [one for one in free if self._moved_out(one)]
            for replace in (False, True):
                alike = [one for one in free if (one.file.replace and one.file.path in seen) is replace]
                if alike:
                    self._deliver(alike, replace)
        finally:
            if self._read_in is None:
                self._discard(some)

    def _moved_out(self, one: ArrivedFile) -> bool:
        """Return whether a file of the stage was moved to its path below `_out`."""
        target = os.path.join(self._out, one.file.path)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(one.name, target, src_dir_fd=self._work.stage.fd)
        except OSError as error:
            self._work.record_failure(one.file, destination_trouble(error))
            return False
        return True

    def _discard(self, some: Sequence[ArrivedFile]) -> None:
        """Remove files from the stage; a big one that another host has sent is kept if it was not stored."""
        work = self._work
        for one in some:
            kept = work.stage.keeps_parts and one.name == one.file.path and METHODS[work.job.method].network
            stored = one.file in work.results and work.results[one.file].verdict is not Verdict.FAILED
            if kept and not stored:
                with suppress(OSError):
                    os.rename(os.path.join(self._out, one.name), one.name, dst_dir_fd=work.stage.fd)
            else:
                work.discard(one.name)
        shutil.rmtree(self._out, ignore_errors=True)

    def _deliver(self, some: Sequence[ArrivedFile], replace: bool) -> None:
        """Store files, and verify the objects."""
        work, node = self._work, self._node
        paths = [one.file.path for one in some]
        directory = self._out if self._read_in is None else self._read_in.root
        stored = node.deliver(directory, paths, replace, self._efforts.next())
        seen = node.look(paths, self._efforts.next())
        sums = md5sums(node, seen, [path for path in paths if stored.get(path) == ""], self._efforts)
        wrong: list[str] = []
        for one in some:
            file = one.file
            there, why = seen.get(file.path), stored.get(file.path)
            if why:
                work.record_failure(file, TransferFailed(_blame(why), why))
            elif why is None and there is not None:
                work.record_occupied(file, one.started)
            elif there is None:
                work.record_failure(file, TransferFailed(Blame.UNKNOWN, Code.OBJECT_VANISHED()))
            elif not (found := sums.get(file.path, "")):
                work.record_failure(file, TransferFailed(Blame.UNKNOWN, Code.OBJECT_UNREADABLE()))
            elif (there.size_b, found) != (file.size_b, file.md5sum.lower()):
                wrong.append(file.path)
                work.record_failure(file, TransferFailed(Blame.UNKNOWN, Code.ARRIVED_MD5_WRONG(found=found)))
            else:
                work.record_placed(one, None, file.size_b)
        if wrong:
            # This job has stored them; left behind, they would block the path.
            node.remove(wrong, self._efforts.next())
        failures = [why for why in stored.values() if isinstance(why, Reason)]
        if failures:
            node.check()  # the files after these would fail as well
        for why in failures:
            if _blame(why) is Blame.DESTINATION:
                raise TransferFailed(Blame.DESTINATION, why)


def _blame(why: Why) -> Blame:
    """Return whom to blame for a file that was not stored: a full service takes no other one, too."""
    return Blame.DESTINATION if code_of(why) is Code.REMOTE_FULL else Blame.UNKNOWN
