"""Which of the files found on a node are imported, and as what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from alpenhorn.model import MARKER, Found, ImportFile, KnownFile
from alpenhorn.plan.paths import ACQ_LENGTH, NAME_LENGTH, unsafe


@cache  # which takes a millisecond, and most runs find no file
def _plain() -> re.Pattern[str]:
    """Paths of elements that nothing can be wrong with: none empty, none that begins with a dot, all ASCII."""
    element = rf"(?!{MARKER}(?:/|\Z))[\x01-\x2d0-\x7e][\x01-.0-\x7e]*"
    return re.compile(rf"{element}(?:/{element})+")


class Named(NamedTuple):
    """A found file with the names that the detector gave it; `refused` says why it cannot be imported."""

    found: Found
    acq: str
    name: str
    refused: str = ""


def detect(path: str, patterns: Sequence[re.Pattern[str]]) -> tuple[str, str] | None:
    """The acquisition and file name of a path below a root, or None when nothing claims it.

    Each pattern must match the whole path and has the named group `acq` and, optionally, `file`; what they
    match must make up the path, since `acq/file` is where every other node will have the file.  Without
    patterns the first directory is the acquisition.
    """
    if not patterns:
        acq, slash, name = path.partition("/")
        return (acq, name) if slash else None
    for pattern in patterns:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        groups = match.groupdict()
        acq = groups["acq"]
        if not acq or not path.startswith(acq + "/"):
            continue
        rest = path[len(acq) + 1 :]
        if groups.get("file") in (None, rest):
            return acq, rest
    return None


def name_files(found: Iterable[Found], patterns: Sequence[re.Pattern[str]]) -> list[Named]:
    """Give each file its names, or the reason why it can have none."""
    named = []
    for file in found:
        names = detect(file.path, patterns)
        if names is None:
            why = "no import pattern matches" if patterns else "it is in no acquisition directory"
            named.append(Named(file, "", "", why))
        else:
            named.append(Named(file, *names, refused=unimportable(*names)))
    return named


def unimportable(acq: str, name: str) -> str:
    """Why no file of these names can be imported, whatever it is; empty when one can."""
    path = f"{acq}/{name}"
    if len(acq) <= ACQ_LENGTH and len(name) <= NAME_LENGTH and _plain().fullmatch(path):
        return ""  # which spares a million files the questions below
    if any(element.startswith(".") or element == MARKER for element in path.split("/")):
        return f"names that start with a dot, and {MARKER}, are never imported"
    if len(acq) > ACQ_LENGTH:
        return f"the acquisition's name is longer than {ACQ_LENGTH} characters"
    if len(name) > NAME_LENGTH:
        return f"the file's name is longer than {NAME_LENGTH} characters"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not valid UTF-8, so the index cannot hold it; rename the file"
    return unsafe(acq, name)


class ImportPlan(NamedTuple):
    """`wanted`: files to be hashed, with their lengths; `present`: how many the index has here already, so that
    they are left alone; `refused`: (path, why)."""

    wanted: list[tuple[ImportFile, int]]
    present: int
    refused: list[tuple[str, str]]


def choose(
    named: Iterable[Named],
    known: Mapping[tuple[str, str], KnownFile],
    register: bool,
    leave_bad: bool = False,
) -> ImportPlan:
    """Decide what is hashed.

    A copy that the index calls good and that has the right length is left alone: `node verify` is for
    that.  `register` false: only files that the index knows already.  `leave_bad`: suspect and corrupt copies are
    left to checks and repairs; a search that comes again and again would hash them each time.
    """
    wanted: list[tuple[ImportFile, int]] = []
    refused: list[tuple[str, str]] = []
    present = 0
    for file in named:
        if file.refused:
            refused.append((file.found.path, file.refused))
            continue
        row = known.get((file.acq, file.name))
        if row is None and not register:
            refused.append(
                (file.found.path, "it is not registered in the index, and new files were not asked for")
            )
        elif row is not None and _left_alone(row, file.found, leave_bad):
            present += 1
        else:
            wanted.append((ImportFile(file.found.path, file.acq, file.name, row), file.found.size_b))
    return ImportPlan(wanted, present, refused)


def _left_alone(row: KnownFile, found: Found, leave_bad: bool) -> bool:
    if row.has_file == "Y":
        return row.size_b == found.size_b
    return leave_bad and row.has_file in ("M", "X")
