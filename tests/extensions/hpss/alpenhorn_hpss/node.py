"""The storage class HPSS."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from alpenhorn import sizes
from alpenhorn.errors import AlpenhornError, StorageError, UnsafePath
from alpenhorn.fs.paths import TreeOpener, check_relative
from alpenhorn.io.base import BatchTapeNode, StorageClass
from alpenhorn.io.default import DefaultNode, DefaultRemote
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import PullFact
from alpenhorn.model.tape import Location, TapeState
from alpenhorn.model.tape_batches import BatchLimits, BatchProgress, BatchState, TapeMember

from .catalogue import Catalogue, Entry, flush
from .programs import SECONDS, Programs, job_command

WRITTEN = "its stub was written while the file was on tape only; move it away"


class HpssNode(DefaultNode, BatchTapeNode):
    """A directory in front of HPSS.

    Settings in addition to those of Default: `directory` (in HPSS; required), `headroom` (a size), `batch_files`,
    `batch_size` (a size), `batch_wait` (seconds), `restore_wait` (seconds), `programs` (a directory; default PATH).
    """

    known = DefaultNode.known | {
        *("directory", "headroom", "batch_files", "batch_size", "batch_wait", "restore_wait", "programs"),
    }
    keeps_trash = False

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        super().__init__(node, settings)
        directory = settings.get("directory")
        if not isinstance(directory, str) or not directory.startswith("/"):
            raise self._wrong("directory", "an absolute path in HPSS")
        self.directory = directory
        self._programs = Programs(str(settings.get("programs", "")))
        self._headroom_b = sizes.parse_value(settings.get("headroom", 0), 1)
        if self._headroom_b is None:
            raise self._wrong("headroom", "a size")
        self._batch_b = sizes.parse_value(settings.get("batch_size", "100 GB"), 1)
        if not self._batch_b:
            raise self._wrong("batch_size", "a size")
        self._numbers = {}
        for key, default in (("batch_files", 1000), ("batch_wait", 86_400), ("restore_wait", 600)):
            value = self._numbers[key] = settings.get(key, default)
            if type(value) is not int or value < (key == "batch_files"):
                raise self._wrong(key, "a whole number")

    @property
    def batch_limits(self) -> BatchLimits:
        assert self._batch_b
        return BatchLimits(
            self._numbers["batch_files"], self._batch_b, self._numbers["batch_wait"], at_once=2
        )

    @property
    def headroom_b(self) -> int:
        return self._headroom_b or 0

    @property
    def restore_limit(self) -> int:
        return 1000

    @property
    def restore_wait(self) -> float:
        return float(self._numbers["restore_wait"])

    @property
    def release_check_count(self) -> int:
        return 100

    def job_seconds(self, files: int) -> float:
        return 10 * SECONDS + files

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.root)

    # --- where files are -------------------------------------------------------------------------------

    def where(self, paths: Sequence[str]) -> dict[str, TapeState]:
        entries = {path: self.catalogue.entry(path) for path in paths}
        coming = self._coming() if any(entries.values()) else set()
        with TreeOpener(self.root) as below:
            return {path: _where(_status(below, path), entries[path], path in coming) for path in paths}

    def _coming(self) -> set[str]:
        return {path for name in self._programs.jobs() for path in self.catalogue.restore(name)}

    def restore(self, paths: Sequence[str]) -> dict[str, str]:
        """Fetch all files of one archive in one job, since each job mounts a tape."""
        failed: dict[str, str] = {}
        by_batch: dict[str, list[str]] = {}
        for path in paths:
            entry = self.catalogue.entry(path)
            if entry is None:
                failed[path] = "it is not on tape"
            else:
                by_batch.setdefault(entry.batch, []).append(path)
        for batch, some in by_batch.items():
            name = f"get-{batch}-{hashlib.sha256(repr(some).encode()).hexdigest()[:16]}"
            self.catalogue.put_restore(name, some)
            self._programs.submit(name, job_command("get", self.root, self.directory, name))
        return failed

    def leave_to_tape(self, paths: Sequence[str]) -> dict[str, str]:
        failed: dict[str, str] = {}
        with TreeOpener(self.root) as below:
            for path in paths:
                entry, status = self.catalogue.entry(path), _status(below, path)
                if entry is None or not isinstance(status, os.stat_result) or not entry.is_of(status):
                    failed[path] = "it is not on disk and on tape"
                    continue
                # First, so that nobody takes the stub for the file.
                self.catalogue.put(entry._replace(stub=True))
                self._replace_by_stub(below, path, status)
        return failed

    def _replace_by_stub(self, below: TreeOpener, path: str, status: os.stat_result) -> None:
        new = self.catalogue.directory / "stub"
        new.unlink(missing_ok=True)
        with open(new, "xb") as file:
            os.truncate(file.fileno(), status.st_size)
            os.fchmod(file.fileno(), status.st_mode)
            os.utime(file.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
            os.fsync(file.fileno())
        directory, name = below.parent(path)
        os.replace(new, name, dst_dir_fd=directory)
        flush(os.path.dirname(os.path.join(self.root, path)))

    # --- to tape ---------------------------------------------------------------------------------------

    def archive(self, batch: str, members: Sequence[TapeMember]) -> None:
        if batch in self._programs.jobs() or self.catalogue.report(batch) is not None:
            return
        self.catalogue.put_batch(batch, {member.path: member.md5sum for member in members})
        self._programs.submit(batch, job_command("put", self.root, self.directory, batch))

    def progress(self, batch: str) -> BatchProgress:
        # In this order: a job that ends in between has its report by then.
        running = batch in self._programs.jobs()
        report = self.catalogue.report(batch)
        if running:
            return BatchProgress(BatchState.RUNNING)
        if report is None:
            return BatchProgress(BatchState.FAILED, "the job ended without a report")
        return BatchProgress(BatchState.FAILED if report.error else BatchState.ENDED, report.error)

    def verify(self, batch: str, members: Sequence[TapeMember]) -> dict[str, str]:
        failed: dict[str, str] = {}
        found: dict[str, str] = {}  # why each archive is wrong, "" if it is not
        for member in members:
            entry = self.catalogue.entry(member.path)
            new = self._as_reported(batch, member.path) if batch else entry
            if new is None:
                failed[member.path] = "it is not in the archive"
                continue
            if new.batch not in found:
                found[new.batch] = self._programs.verify(self._archive(new.batch))
            if found[new.batch]:
                failed[member.path] = found[new.batch]
            elif (new.size_b, new.md5sum) != (member.size_b, member.md5sum):
                failed[member.path] = f"its MD5 sum on tape is {new.md5sum}"
            elif batch and (entry is None or entry.batch != batch):
                self.catalogue.put(new)
                if entry is not None:
                    self._remove_unused(entry.batch, ())
            if member.path in failed and entry is not None and entry.batch == new.batch and not entry.stub:
                self.catalogue.remove(member.path)  # it is on disk only
        return failed

    def _as_reported(self, batch: str, path: str) -> Entry | None:
        report = self.catalogue.report(batch)
        if report is None or path not in report.files:
            return None
        size_b, md5sum, mtime_ns = report.files[path]
        return Entry(path, batch, size_b, md5sum, mtime_ns)

    def discard(self, batch: str) -> None:
        self._programs.cancel(batch)
        self._remove_unused(batch, ())

    def remove(self, paths: Sequence[str]) -> dict[str, str]:
        """Remove archives none of whose files is needed any more; of others, their files are forgotten."""
        failed: dict[str, str] = {}
        by_batch: dict[str, list[str]] = {}
        for path in paths:
            if entry := self.catalogue.entry(path):
                by_batch.setdefault(entry.batch, []).append(path)
        for batch, some in by_batch.items():
            try:
                self._remove_unused(batch, some)
            except StorageError as error:
                failed |= dict.fromkeys(some, error.reason)
                continue
            # Last: a file that is forgotten would be taken for one that was never on tape.
            for path in some:
                self.catalogue.remove(path)
        return failed

    def _remove_unused(self, batch: str, but: Sequence[str]) -> None:
        if not self.catalogue.in_use(batch, but):
            self._programs.remove(self._archive(batch))
            self.catalogue.remove_batch(batch)

    def _archive(self, batch: str) -> str:
        return f"{self.directory}/{batch}.tar"


def _status(below: TreeOpener, path: str) -> os.stat_result | str | None:
    """Return the status of a file on the disk, None if it is missing, or why it is unknown."""
    try:
        directory, name = below.parent(check_relative(path))
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (UnsafePath, OSError) as error:
        return error.reason if isinstance(error, AlpenhornError) else str(error)


def _where(status: os.stat_result | str | None, entry: Entry | None, coming: bool) -> TapeState:
    if isinstance(status, str):
        return TapeState(None, status)
    if entry is None:
        return TapeState(Location.GONE if status is None else Location.DISK)
    if status is None:
        return TapeState(Location.COMING if coming else Location.TAPE)
    if entry.stub:
        if not entry.is_of(status):
            return TapeState(None, WRITTEN)
        return TapeState(Location.COMING if coming else Location.TAPE)
    # A file that was written since is not the one on tape.
    return TapeState(Location.BOTH) if entry.is_of(status) else TapeState(Location.DISK, held=True)


class HpssRemote(DefaultRemote):
    """As Default, but only copies on the disk can be read."""

    def ready(self, pull: PullFact) -> bool:
        return pull.source_ready


HPSS = StorageClass(node=HpssNode, group=None, remote=HpssRemote)
