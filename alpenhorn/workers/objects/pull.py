"""Pull files from a directory of this host to a node with objects.

The source is read and hashed first, so that a corrupt file is never stored.  A file counts as pulled once its object
has the right length and MD5 sum: that of the service, or else that of its bytes, read back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from alpenhorn.errors import AlpenhornError, Stopped, StorageError, UnsafePath
from alpenhorn.extensions.registry import directory_io
from alpenhorn.fs.hashing import digests_of
from alpenhorn.fs.newer import time_text
from alpenhorn.io.base import DirectoryNode, OpenFile, TapeNode
from alpenhorn.io.objects import ObjectNode, SeenObject
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Reporter, Verdict
from alpenhorn.reasons import Code, Reason, code_of, from_outside
from alpenhorn.transfer.blame import TransferFailed, check_source, other_content, source_failed
from alpenhorn.workers.objects.batches import Efforts, batches, md5sums
from alpenhorn.workers.tape import out_of_reach
from alpenhorn.workers.work import destination_trouble, failed


def pull_from(
    job: PullJob, node: ObjectNode, report: Reporter, deadline: float | None
) -> tuple[PullResult, ...]:
    """Pull the files of a job, in order; see `alpenhorn.workers.pull.pull`.

    Errors of storage are in the results.  Files without a result were not begun, or may be stored without being
    recorded, because the run is stopping or another bandwidth limit has begun; a check finds them.
    """
    work = _Pulling(job, node, report, deadline)
    try:
        source = directory_io(job.source, "a pull to objects")
        source.check()
    except (StorageError, OSError) as error:
        why = Code.SOURCE_NODE_UNUSABLE_HERE(node=job.source.name, why=error)
        work.give_up(TransferFailed(Blame.UNKNOWN, why))
        return work.ended()
    try:
        for some in batches(node, job.files):
            if work.stopping():
                break
            work.pull(source, some)
    except Stopped:
        pass
    except (AlpenhornError, OSError) as error:
        work.give_up(destination_trouble(error))
    return work.ended()


class _Pulling:
    """The results of one job."""

    def __init__(self, job: PullJob, node: ObjectNode, report: Reporter, deadline: float | None) -> None:
        self._job = job
        self._node = node
        self._report = report
        self._efforts = Efforts(deadline, self.stopping, job.rate)
        self._results: dict[PullFile, PullResult] = {}
        self._sha256: dict[PullFile, str] = {}
        self._began = time.time()

    def stopping(self) -> bool:
        """Return whether to stop: the run is stopping, or another bandwidth limit has begun."""
        return self._report.stopping() or (self._job.until is not None and time.time() >= self._job.until)

    def ended(self) -> tuple[PullResult, ...]:
        return tuple(self._results[file] for file in self._job.files if file in self._results)

    def give_up(self, error: TransferFailed) -> None:
        """Record the failure for each file without a result."""
        for file in self._job.files:
            if file not in self._results:
                self._fail(file, error)

    def pull(self, source: DirectoryNode, files: Sequence[PullFile]) -> None:
        """Pull a batch.  Raises Stopped, and StorageError if the service cannot be used."""
        self._began = time.time()
        self._report.begin(files[0].path)
        wanted = self._readable(source, [file for file in files if self._has_name(file)])
        seen = self._node.look([file.path for file in wanted], self._efforts.next())
        wanted = [file for file in wanted if self._is_free(file, seen.get(file.path))]
        with source.reading() as open_file:
            wanted = [file for file in wanted if self._is_right(source, open_file, file)]
        for replace in (False, True):
            some = [file for file in wanted if (file.replace and file.path in seen) is replace]
            if some:
                self._deliver(source, some, replace)
        self._report.progress(len(files), sum(file.size_b for file in wanted))

    def _has_name(self, file: PullFile) -> bool:
        if why := self._node.refuses(file.path):
            self._fail(file, TransferFailed(Blame.UNKNOWN, why))
        return file not in self._results

    def _readable(self, source: DirectoryNode, files: Sequence[PullFile]) -> Sequence[PullFile]:
        """Return the files that can be read without waiting for tape."""
        if not isinstance(source, TapeNode):
            return files
        away = out_of_reach(source, [file.path for file in files])
        for file in files:
            if state := away.get(file.path):
                if state.where is None:
                    self._fail(file, TransferFailed(Blame.UNKNOWN, from_outside(state.error)))
                else:
                    why = Code.FILE_NOT_ON_DISK(where=state.where)
                    self._results[file] = PullResult(file, Verdict.AWAY, self._began, time.time(), error=why)
        return [file for file in files if file.path not in away]

    def _is_free(self, file: PullFile, there: SeenObject | None) -> bool:
        """Return whether nothing is at the path, or the corrupt copy that the file replaces."""
        if there is None:
            return True
        if not file.replace:
            self._occupied(file, Code.PATH_OCCUPIED(path=repr(file.path)))
        elif there.modified >= file.since and file.aside:
            why = Code.OBJECT_CHANGED_BY_OWNER(modified=time_text(there.modified))
            self._fail(file, TransferFailed(Blame.UNKNOWN, why))
        elif there.modified >= file.since:
            self._occupied(file, Code.OBJECT_CHANGED_BY_OWNER(modified=time_text(there.modified)))
        return file not in self._results

    def _is_right(self, source: DirectoryNode, open_file: OpenFile, file: PullFile) -> bool:
        """Return whether the source has the length and the sums of the index."""
        if self.stopping():
            raise Stopped("the run was asked to stop")
        try:
            self._sha256[file] = self._hash(open_file, file)
        except TransferFailed as failure:
            error = failure
            try:
                source.check()
            except (StorageError, OSError) as gone:
                error = TransferFailed(Blame.UNKNOWN, Code.SOURCE_NODE_UNUSABLE(why=gone))
            self._fail(file, error)
        return file not in self._results

    def _hash(self, open_file: OpenFile, file: PullFile) -> str:
        """Return the SHA-256 sum of the source, "" if it is not to be computed.  Raises TransferFailed, Stopped."""
        try:
            fd, _ = open_file(file.path)
        except StorageError as error:
            raise TransferFailed(Blame.SOURCE, error.reason) from None
        except (OSError, UnsafePath) as error:
            raise source_failed(error) from None
        try:
            check_source(fd, file.size_b)
            _, found = digests_of(fd, file.size_b, self.stopping, sha256=file.sha256 is not None)
        except OSError as error:
            raise source_failed(error) from None
        finally:
            os.close(fd)
        if not found.agree(file.md5sum, file.sha256):
            raise other_content(found, file.md5sum, file.sha256)
        return found.sha256

    def _deliver(self, source: DirectoryNode, files: Sequence[PullFile], replace: bool) -> None:
        """Store files, and verify the objects."""
        paths = [file.path for file in files]
        stored = self._node.deliver(source.root, paths, replace, self._efforts.next())
        seen = self._node.look(paths, self._efforts.next())
        delivered = [path for path in paths if stored.get(path) == ""]
        sums = md5sums(self._node, seen, delivered, self._efforts)
        wrong: list[str] = []
        for file in files:
            path, there, why = file.path, seen.get(file.path), stored.get(file.path)
            if why:
                self._fail(file, TransferFailed(_blame(why), why))
            elif why is None and there is not None:
                self._occupied(file, Code.PATH_OCCUPIED(path=repr(path)))
            elif there is None:
                self._fail(file, TransferFailed(Blame.UNKNOWN, Code.OBJECT_VANISHED()))
            elif not (found := sums.get(path, "")):
                self._fail(file, TransferFailed(Blame.UNKNOWN, Code.OBJECT_UNREADABLE()))
            elif (there.size_b, found) != (file.size_b, file.md5sum.lower()):
                wrong.append(path)
                self._fail(file, TransferFailed(Blame.UNKNOWN, Code.ARRIVED_MD5_WRONG(found=found)))
            else:
                self._pulled(file)
        if wrong:
            # This job has stored them; left behind, they would block the path.
            self._node.remove(wrong, self._efforts.next())
        if any(stored.values()):
            self._node.check()  # the files after these would fail as well

    def _pulled(self, file: PullFile) -> None:
        self._results[file] = PullResult(
            file,
            Verdict.PULLED,
            self._began,
            time.time(),
            file.size_b,
            Method.OBJECTS,
            sha256=self._sha256[file],
        )

    def _occupied(self, file: PullFile, why: Reason) -> None:
        self._results[file] = PullResult(file, Verdict.OCCUPIED, self._began, time.time(), error=why)

    def _fail(self, file: PullFile, error: TransferFailed) -> None:
        self._results[file] = failed(self._job, file, error, self._began)
        self._report.fail()


def _blame(why: Reason | str) -> Blame:
    """Return whom to blame for a file that was not stored: a full service takes no other one, too."""
    return Blame.DESTINATION if code_of(why) is Code.REMOTE_FULL else Blame.UNKNOWN
