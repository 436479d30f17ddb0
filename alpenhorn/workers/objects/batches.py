"""Batches of files for the verbs of an ObjectNode, and the time that is left for each call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from alpenhorn.io.objects import Effort, ObjectNode, SeenObject

GRACE_SECONDS = 10.0  # of a job's deadline, to return its results before the worker is killed
LEAST_SECONDS = 5.0

T = TypeVar("T")


def batches(node: ObjectNode, files: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the files, in order, in as many batches as the node needs."""
    for start in range(0, len(files), node.batch_files):
        yield files[start : start + node.batch_files]


def md5sums(
    node: ObjectNode, seen: Mapping[str, SeenObject], paths: Iterable[str], efforts: Efforts
) -> dict[str, str]:
    """Return the MD5 sums of objects: those of the service, or of the bytes, which are read where it has none.

    `seen`: the objects that exist; others, and those that cannot be read, have no sum.
    """
    known = {path: seen[path].md5sum for path in paths if path in seen}
    unread = [path for path, md5sum in known.items() if not md5sum]
    found = node.md5sums(unread, efforts.next()) if unread else {}
    return {path: md5sum for path, md5sum in (known | found).items() if md5sum}


class Efforts:
    """Makes the efforts of one job.  `deadline`: seconds until the worker is killed, None for no limit."""

    def __init__(self, deadline: float | None, stopping: Callable[[], bool], rate: int = 0) -> None:
        self._end = None if deadline is None else time.monotonic() + deadline - GRACE_SECONDS
        self._stopping = stopping
        self._rate = rate

    def next(self, most: float | None = None) -> Effort:
        """Return the effort for the next call.  `most`: maximum seconds if more are left, None for no limit."""
        left = [] if self._end is None else [self._end - time.monotonic()]
        if most is not None:
            left.append(most)
        return Effort(self._stopping, max(LEAST_SECONDS, min(left)) if left else None, self._rate)
