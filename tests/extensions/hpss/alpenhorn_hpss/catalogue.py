"""What is on tape, in small files below the node's root, so that neither the index nor a run has to survive.

    files/HASH.json        an Entry: a file that was verified on tape, and whether its bytes are on the disk as well
    batches/BATCH.json     the members that a batch is to put on tape, as {path: MD5 sum}
    batches/BATCH.done     what its job found on tape in the end: a Report
    restores/NAME.json     the files that a restore job fetches

A file whose bytes are on tape only has a stub in its place: a file of the same length and time without bytes.  Each
change is one durable rename.  The entry becomes that of a stub before the bytes are removed from the disk, and that of
a file on disk only after they are back.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PRIVATE = ".alpenhorn-hpss"  # hidden, so that nothing in it is imported; a run tidies .alpenhorn itself


class Entry(NamedTuple):
    """A file on tape.  `batch`: the batch whose archive holds it; `mtime_ns`: of the file when it was put there."""

    path: str
    batch: str
    size_b: int
    md5sum: str
    mtime_ns: int
    stub: bool = False

    def is_of(self, status: os.stat_result) -> bool:
        """Whether a file of the disk with that status was not written since."""
        return (status.st_size, status.st_mtime_ns) == (self.size_b, self.mtime_ns)


class Report(NamedTuple):
    """The end of a batch's job.  `files`: [length, MD5 sum as read back from tape, mtime_ns] by path."""

    error: str
    files: Mapping[str, Sequence[Any]]


class Catalogue:
    def __init__(self, root: str) -> None:
        self.directory = Path(root, PRIVATE)

    def entry(self, path: str) -> Entry | None:
        found = self._read(self._entry(path))
        return None if found is None else Entry(**found)

    def put(self, entry: Entry) -> None:
        self._write(self._entry(entry.path), entry._asdict())

    def remove(self, path: str) -> None:
        self._unlink(self._entry(path))

    def batch(self, batch: str) -> dict[str, str] | None:
        """Return the members of a batch, with their MD5 sums; None if it is unknown."""
        return self._read(self._batch(batch, "json"))

    def put_batch(self, batch: str, members: Mapping[str, str]) -> None:
        self._write(self._batch(batch, "json"), dict(members))

    def report(self, batch: str) -> Report | None:
        found = self._read(self._batch(batch, "done"))
        return None if found is None else Report(**found)

    def put_report(self, batch: str, report: Report) -> None:
        self._write(self._batch(batch, "done"), report._asdict())

    def remove_batch(self, batch: str) -> None:
        self._unlink(self._batch(batch, "done"))
        self._unlink(self._batch(batch, "json"))

    def in_use(self, batch: str, but: Sequence[str] = ()) -> bool:
        """Return whether any file, but for those given, has its only copy on tape in the archive of a batch."""
        others = (self.entry(path) for path in self.batch(batch) or {} if path not in but)
        return any(entry is not None and entry.batch == batch for entry in others)

    def restore(self, name: str) -> list[str]:
        return self._read(self.directory / "restores" / f"{name}.json") or []

    def put_restore(self, name: str, paths: Sequence[str]) -> None:
        self._write(self.directory / "restores" / f"{name}.json", list(paths))

    def remove_restore(self, name: str) -> None:
        self._unlink(self.directory / "restores" / f"{name}.json")

    def _entry(self, path: str) -> Path:
        return self.directory / "files" / f"{hashlib.sha256(path.encode()).hexdigest()}.json"

    def _batch(self, batch: str, kind: str) -> Path:
        return self.directory / "batches" / f"{batch}.{kind}"

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            return None

    def _write(self, path: Path, document: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}.new")
        with open(new, "w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        flush(path.parent)

    def _unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if path.parent.exists():
            flush(path.parent)


def flush(directory: str | Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
