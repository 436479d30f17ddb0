"""The method "objects": fetch objects into the stage, where they are verified as files of any other source; or read
the files of a directory of this host, which are stored as objects from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs.hashing import Digests, digests_of
from alpenhorn.fs.paths import TreeOpener
from alpenhorn.io.base import DirectoryNode, OpenFile
from alpenhorn.io.objects import ObjectNode
from alpenhorn.model.pulls import Method, PullFile
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code, Why
from alpenhorn.transfer.blame import (
    TransferFailed,
    check_source,
    other_content,
    source_failed,
    wrong_length,
)
from alpenhorn.workers.fetching import verify_part
from alpenhorn.workers.objects.batches import Efforts, batches
from alpenhorn.workers.work import ArrivedFile, PullState


def by_objects(work: PullState, files: Sequence[PullFile]) -> None:
    """Fetch from a node with objects of any host, or read in a directory of this one.  A `TransferFunction`
    (`alpenhorn.workers.pull`).
    """
    source = work.source
    if isinstance(source, DirectoryNode):
        _read(work, source, files)
        return
    assert isinstance(source, ObjectNode)
    efforts = Efforts(work.deadline, work.stopping, work.job.rate)
    try:
        if source.node.host != work.job.node.host:
            source.check_for_reading()  # no probe of this run has seen it
        for some in batches(source, files):
            work.check_stopping()
            work.report.begin(some[0].path)
            _fetch(work, source, some, efforts)
    except StorageError as error:
        raise work.source_unusable(error) from None


def _read(work: PullState, source: DirectoryNode, files: Sequence[PullFile]) -> None:
    """Verify files where they are."""
    right: list[ArrivedFile] = []
    try:
        source.check()
        with source.reading() as open_file:
            for file in files:
                work.check_stopping()
                work.report.begin(file.path)
                started = time.time()
                try:
                    found = _hash(work, open_file, file)
                except TransferFailed as error:
                    work.fail(file, error, started)
                else:
                    work.report_bytes(file.size_b)
                    right.append(ArrivedFile(file, file.path, started, Method.OBJECTS, found.sha256))
    except (StorageError, OSError) as error:
        # Those that were read may have been in another directory.
        raise work.source_unusable(error) from None
    work.arrived += right


def _hash(work: PullState, open_file: OpenFile, file: PullFile) -> Digests:
    """Return the sums of a file, which are those of the index.  Raises TransferFailed and Stopped."""
    try:
        fd, _ = open_file(file.path)
    except StorageError as error:
        raise TransferFailed(Blame.SOURCE, error.reason) from None
    except (OSError, UnsafePath) as error:
        raise source_failed(error) from None
    try:
        check_source(fd, file.size_b)
        _, found = digests_of(fd, file.size_b, work.stopping, sha256=file.sha256 is not None)
    except OSError as error:
        raise source_failed(error) from None
    finally:
        os.close(fd)
    if not found.agree(file.md5sum, file.sha256):
        raise other_content(found, file.md5sum, file.sha256)
    return found


def _fetch(work: PullState, source: ObjectNode, files: Sequence[PullFile], efforts: Efforts) -> None:
    started = time.time()
    refused = {file.path: why for file in files if (why := source.refuses(file.path))}
    seen = source.look([file.path for file in files if file.path not in refused], efforts.next())
    wanted = []
    for file in files:
        if file.path in refused:
            work.fail(file, TransferFailed(Blame.UNKNOWN, refused[file.path]), started)
        elif file.path not in seen:
            why = Code.SOURCE_MISSING(why="no such object")
            work.fail(file, TransferFailed(Blame.SOURCE, why), started)
        elif seen[file.path].size_b != file.size_b:
            work.fail(file, wrong_length(seen[file.path].size_b, file.size_b), started)
        else:
            wanted.append(file)
    if not wanted:
        return
    for file in wanted:
        # A part that a killed run has left is not continued, and must not look like what arrives now.
        work.discard(file.path)
    missed = source.fetch([file.path for file in wanted], work.stage.path, efforts.next())
    wrong: list[tuple[PullFile, TransferFailed]] = []
    with TreeOpener(work.stage.fd) as below:
        for file in wanted:
            try:
                found = _verified(work, below, file, missed)
            except TransferFailed as error:
                work.discard(file.path)
                wrong.append((file, error))
            else:
                work.report_bytes(file.size_b)
                work.arrived.append(ArrivedFile(file, file.path, started, Method.OBJECTS, found.sha256))
    if any(failure.blame is Blame.SOURCE for _, failure in wrong):
        source.check_for_reading()  # they came in another session than the look at the witness
    for file, failure in wrong:
        work.fail(file, failure, started)


def _verified(work: PullState, below: TreeOpener, file: PullFile, missed: Mapping[str, Why]) -> Digests:
    """Return the sums of a file in the stage; `missed`: why some did not arrive.  Raises TransferFailed."""
    found = None if file.path in missed else verify_part(work, below, file, file.path)
    if found is None:
        raise TransferFailed(Blame.UNKNOWN, missed.get(file.path) or Code.SOURCE_NOT_THERE())
    return found
