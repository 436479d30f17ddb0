"""Whether what a node remembers of earlier searches may be believed, and which directories are searched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.model.searches import Stamp

FULL_SECONDS = 7 * 86_400.0  # after which all directories are listed again, whatever is remembered


Written = tuple[int, str, str]
"""The run that wrote a memory, as its row in the index tells: id, host, and when it started, as text."""


class Heading(NamedTuple):
    """What a memory rests on.  `full`: when all directories were listed, POSIX seconds; `detectors`: those that were
    installed then."""

    patterns: tuple[str, ...]
    written: Written
    full: float
    detectors: tuple[str, ...] = ()

    def text(self) -> str:
        return json.dumps([self.patterns, self.written, self.full, self.detectors])


def parse(text: str | None) -> Heading | None:
    """The heading of a memory, None when it is none that could be believed."""
    try:
        patterns, (run_id, host, started), full, detectors = json.loads(text or "")
        return Heading(tuple(patterns), (int(run_id), host, started), float(full), tuple(detectors))
    except (ValueError, TypeError, RecursionError):
        return None


def believed(heading: Heading, written: Written | None, patterns: Sequence[str], now: float) -> bool:
    """`written`: what the index says of the run that the heading names.

    An index that was restored from a backup, or another index, does not know that run: files that were
    registered by then may not be in it.  With other patterns other files are wanted.
    """
    return (
        heading.written == written
        and heading.patterns == tuple(patterns)
        and 0 <= now - heading.full < FULL_SECONDS
    )


def subdirectories(stamp: Stamp) -> list[str]:
    prefix = f"{stamp.path}/" if stamp.path else ""
    return [prefix + name for name in stamp.below.split("/")] if stamp.below else []


def new_subdirectories(stamp: Stamp, before: Stamp | None, gone: set[str]) -> list[str]:
    """Those to be listed because nobody did; the others are remembered, and were looked at by themselves.

    `gone`: remembered directories that were not there when it was their turn, and may be again.
    """
    known = set(subdirectories(before)) - gone if before is not None else set()
    return [path for path in subdirectories(stamp) if path not in known]


def to_list_again(path: str, before: Stamp | None, listed: Stamp | None = None) -> Stamp:
    """What is remembered of a directory in which something is left to do, or that could not be listed."""
    known = listed or before
    return Stamp(path, 0, 0, known.below if known else "")


def forgotten(gone: Iterable[str], listed: set[str]) -> list[str]:
    """Of the directories that are gone, those that may be forgotten: whose parent was listed since, or is
    forgotten too.

    An entry of a directory that another one has among its subdirectories must stay: were it forgotten, and the
    directory came back before its parent is listed, nobody would look at it.
    """
    out: set[str] = set()
    for path in sorted(gone):  # parents first
        parent = path.rpartition("/")[0]
        if parent in listed or parent in out:
            out.add(path)
    return sorted(out)
