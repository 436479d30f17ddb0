"""The memory of earlier searches of a node: whether it is valid, and which directories are searched again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alpenhorn.model.searches import Stamp

FULL_SECONDS = 7 * 86_400.0  # after that all directories are listed again


Written = tuple[int, str, str]
"""The run that wrote a memory, from its row in the index: id, host, and start as text."""


class Heading(NamedTuple):
    """The conditions under which a memory was written.

    `full`: when all directories were listed, POSIX seconds; `detectors`: those installed then.
    """

    patterns: tuple[str, ...]
    written: Written
    full: float
    detectors: tuple[str, ...] = ()

    def text(self) -> str:
        return json.dumps([self.patterns, self.written, self.full, self.detectors])


def parse(text: str | None) -> Heading | None:
    """Return the heading of a memory, None if it is invalid."""
    try:
        patterns, (run_id, host, started), full, detectors = json.loads(text or "")
        return Heading(tuple(patterns), (int(run_id), host, started), float(full), tuple(detectors))
    except (ValueError, TypeError, RecursionError):
        return None


def is_valid(heading: Heading, written: Written | None, patterns: Sequence[str], now: float) -> bool:
    """Return whether a memory may be used.  `written`: the run named in the heading, as the index has it now.

    An index restored from a backup, or another index, does not know that run, and may lack the files registered by it.
    With other patterns, other files are imported.
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
    """Return the subdirectories that were never listed; the others are in the memory and checked on their own.

    `gone`: remembered directories that were missing when checked, and may be back.
    """
    known = set(subdirectories(before)) - gone if before is not None else set()
    return [path for path in subdirectories(stamp) if path not in known]


def to_list_again(path: str, before: Stamp | None, listed: Stamp | None = None) -> Stamp:
    """Return the record of a directory that must be listed again: it has unfinished files, or was unreadable."""
    known = listed or before
    return Stamp(path, 0, 0, known.below if known else "")


def to_forget(gone: Iterable[str], listed: set[str]) -> list[str]:
    """Return the missing directories that can be dropped: their parent was listed since, or is dropped too.

    A directory that its parent's record still names must stay: if it came back before the parent is listed again, it
    would never be searched.
    """
    out: set[str] = set()
    for path in sorted(gone):  # parents first
        parent = path.rpartition("/")[0]
        if parent in listed or parent in out:
            out.add(path)
    return sorted(out)
