"""Which of the files found on a node are imported, and as what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from alpenhorn.model.imports import Detected, DetectJob, ImportFile, KnownFile
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.model.searches import FoundFile
from alpenhorn.model.tasks import Task, TaskKind
from alpenhorn.plan.paths import ACQ_LENGTH, NAME_LENGTH, unsafe
from alpenhorn.reasons import Code, Reason, Why


@cache  # which takes a millisecond, and most runs find no file
def _plain() -> re.Pattern[str]:
    """Paths of elements that nothing can be wrong with: none empty, none that begins with a dot, all ASCII."""
    element = rf"(?!{MARKER}(?:/|\Z))[\x01-\x2d0-\x7e][\x01-.0-\x7e]*"
    return re.compile(rf"{element}(?:/{element})+")


UNREGISTERED = Code.FILE_NOT_REGISTERED()
DETECT_FILES = 100  # of a job
DETECT_BASE = 20.0  # seconds for a job; a detector that reads a file's beginning needs a fraction of one
DETECT_PER_FILE = 0.5


class Named(NamedTuple):
    """A found file with the names that the detector gave it; `refused` says why it cannot be imported."""

    found: FoundFile
    acq: str
    name: str
    refused: Why = ""


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


def name_files(found: Iterable[FoundFile], patterns: Sequence[re.Pattern[str]]) -> list[Named]:
    """Give each file its names, or the reason why it can have none."""
    named = []
    for file in found:
        names = detect(file.path, patterns)
        if names is None:
            why = Code.NO_IMPORT_PATTERN_MATCHES() if patterns else Code.NO_ACQUISITION_DIRECTORY()
            named.append(Named(file, "", "", why))
        else:
            named.append(Named(file, *names, refused=unimportable(*names)))
    return named


def claimed(
    found: Iterable[FoundFile], patterns: Sequence[re.Pattern[str]]
) -> tuple[list[Named], list[FoundFile]]:
    """As `name_files` where packages bring detectors: what no pattern matches is left for them.

    The plain rule, that the first directory is the acquisition, does not hold there: it claims every file, so that
    no detector could decline one, and a file that got a wrong name has it for good.
    """
    named, left = [], []
    for file in found:
        names = detect(file.path, patterns) if patterns else None
        if names is None:
            left.append(file)
        else:
            named.append(Named(file, *names, refused=unimportable(*names)))
    return named, left


def splits(path: str) -> list[tuple[str, str]]:
    """Every (acquisition, name) that the index may have a path under, the longest acquisition first."""
    cuts = [i for i, char in enumerate(path[: ACQ_LENGTH + 1]) if char == "/"]
    return [(path[:i], path[i + 1 :]) for i in reversed(cuts) if i]


def name_known(
    found: Iterable[FoundFile], known: Mapping[tuple[str, str], KnownFile], register: bool
) -> tuple[list[Named], list[FoundFile]]:
    """Names of files that the index has, whoever named them, and what detectors are to be asked about.

    So that a directory of ten thousand files in which one is new costs one question, and a host without the
    package knows what another one has named.
    """
    named, left = [], []
    for file in found:
        names = next((pair for pair in splits(file.path) if pair in known), None)
        if names is not None:
            named.append(Named(file, *names))
        elif register:
            left.append(file)
        else:
            named.append(Named(file, "", "", UNREGISTERED))
    return named, left


def detect_tasks(
    node: NodeFact,
    search: int,
    listing: int,
    settle: float,
    files: Sequence[FoundFile],
    most: int = DETECT_FILES,
) -> list[Task]:
    """`most`: files in a job."""
    jobs = [
        DetectJob(node, search, listing, settle, tuple(files[start : start + most]))
        for start in range(0, len(files), most)
    ]
    return [
        Task(TaskKind.SEARCH, node.id, job, files=0, deadline=DETECT_BASE + DETECT_PER_FILE * len(job.files))
        for job in jobs
    ]


def name_detected(detected: Detected) -> Named:
    """The names that follow from what a detector said."""
    found, acq = detected.found, detected.acq
    if not acq:
        return Named(found, "", "", Code.NO_IMPORT_DETECTOR_CLAIMS_IT())
    name = found.path.removeprefix(f"{acq}/")
    if name == found.path:
        return Named(found, "", "", Code.DETECTOR_GAVE_WRONG_ACQUISITION(detector=detected.by))
    return Named(found, acq, name, refused=unimportable(acq, name))


def unimportable(acq: str, name: str) -> Why:
    """Why no file of these names can be imported, whatever it is; empty when one can."""
    path = f"{acq}/{name}"
    if len(acq) <= ACQ_LENGTH and len(name) <= NAME_LENGTH and _plain().fullmatch(path):
        return ""  # which spares a million files the questions below
    if any(element.startswith(".") or element == MARKER for element in path.split("/")):
        return Code.NAME_NEVER_IMPORTED(marker=MARKER)
    if len(acq) > ACQ_LENGTH:
        return Code.ACQUISITION_NAME_TOO_LONG(most=ACQ_LENGTH)
    if len(name) > NAME_LENGTH:
        return Code.FILE_NAME_TOO_LONG(most=NAME_LENGTH)
    try:
        path.encode()
    except UnicodeEncodeError:
        return Code.NAME_NOT_UTF8()
    return unsafe(acq, name)


class ImportPlan(NamedTuple):
    """`wanted`: files to be hashed, with their lengths; `present`: how many the index has here already, so that
    they are left alone; `refused`: (path, why)."""

    wanted: list[tuple[ImportFile, int]]
    present: int
    refused: list[tuple[str, Reason]]


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
    refused: list[tuple[str, Reason]] = []
    present = 0
    for file in named:
        if file.refused:
            refused.append((file.found.path, file.refused))
            continue
        row = known.get((file.acq, file.name))
        if row is None and not register:
            refused.append((file.found.path, UNREGISTERED))
        elif row is not None and _left_alone(row, file.found, leave_bad):
            present += 1
        else:
            wanted.append((ImportFile(file.found.path, file.acq, file.name, row), file.found.size_b))
    return ImportPlan(wanted, present, refused)


def is_new(file: ImportFile) -> bool:
    """Whether the index has no copy of the file on the node where it was found."""
    return file.known is None or file.known.has_file in (None, "N")


def same_path(acq: str) -> Reason:
    """Why a file is not imported at whose path the index has a file of the acquisition `acq` on the node."""
    return Code.IMPORT_OF_SHARED_PATH(acq=acq)


def without_taken(plan: ImportPlan, taken: Mapping[int, str]) -> ImportPlan:
    """The plan less the files at whose path lies another one.  `taken`: of each its place in `wanted`, and the
    acquisition of the other one."""
    if not taken:
        return plan
    return plan._replace(
        wanted=[one for number, one in enumerate(plan.wanted) if number not in taken],
        refused=plan.refused
        + [(plan.wanted[number][0].path, same_path(acq)) for number, acq in taken.items()],
    )


def _left_alone(row: KnownFile, found: FoundFile, leave_bad: bool) -> bool:
    if row.has_file == "Y":
        return row.size_b == found.size_b
    return leave_bad and row.has_file in ("M", "X")
