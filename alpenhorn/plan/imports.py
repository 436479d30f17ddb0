"""Rules for imports: which of the files found on a node are imported, and under which names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from alpenhorn.model.imports import Detected, DetectJob, DetectorFacts, ImportFile, KnownFile
from alpenhorn.model.lengths import ACQ_LENGTH, NAME_LENGTH
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.model.searches import FoundFile
from alpenhorn.model.tasks import Task, TaskKind
from alpenhorn.plan.paths import unsafe
from alpenhorn.reasons import Code, Reason, Why


@cache  # compiling takes a millisecond, and most runs find no file
def _plain() -> re.Pattern[str]:
    """Match paths that need no further check: ASCII, and no element empty or with a leading dot."""
    element = rf"(?!{MARKER}(?:/|\Z))[\x01-\x2d0-\x7e][\x01-.0-\x7e]*"
    return re.compile(rf"{element}(?:/{element})+")


UNREGISTERED = Code.FILE_NOT_REGISTERED()
IGNORED = Code.IGNORED_BY_CONFIGURATION()
# Files that the configuration or the installed detectors leave out; perhaps a large part of a tree.
LEFT_OUT = (
    Code.IGNORED_BY_CONFIGURATION,
    Code.NO_IMPORT_PATTERN_MATCHES,
    Code.NO_IMPORT_DETECTOR_CLAIMS_IT,
    Code.NAME_NEVER_IMPORTED,
    Code.FILE_NOT_REGISTERED,
)
DETECT_FILES = 100  # in a job
DETECT_BASE = 20.0  # seconds for a job; a detector that reads the start of a file needs less than one
DETECT_PER_FILE = 0.5


class NamedFile(NamedTuple):
    """A found file with its acquisition and name.  `refused`: why it cannot be imported."""

    found: FoundFile
    acq: str
    name: str
    refused: Why = ""


def detect(path: str, patterns: Sequence[re.Pattern[str]]) -> tuple[str, str] | None:
    """Return the acquisition and file name of a path below a root, None if no pattern matches.

    Each pattern must match the whole path, and has the named groups `acq` and, optionally, `file`.  The path must be
    `acq/file`, which is where every other node will have the file.  Without patterns the first directory is the
    acquisition.
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


def matching(found: Iterable[FoundFile], ignore: Sequence[re.Pattern[str]]) -> list[FoundFile]:
    """Return the files whose path matches a pattern of files to ignore."""
    return [file for file in found if any(pattern.fullmatch(file.path) for pattern in ignore)]


def without_ignored(
    found: Iterable[FoundFile],
    matching: Iterable[FoundFile],
    known: Mapping[tuple[str, str], KnownFile],
) -> tuple[list[FoundFile], list[NamedFile]]:
    """Return the files to name, and refuse the others: those of `matching` that the index does not have.

    A copy of a file that the index has counts, whatever its name.
    """
    refused = {
        file.path: NamedFile(file, "", "", IGNORED)
        for file in matching
        if not any(pair in known for pair in possible_names(file.path))
    }
    return [file for file in found if file.path not in refused], list(refused.values())


def name_top(found: Iterable[FoundFile], acq: str) -> tuple[list[NamedFile], list[FoundFile]]:
    """Name the files at the top of the root, which are to be moved into `acq`, and those in its directory.

    Return the others, too.  Files in the directory have this name whatever the patterns say, because a run that was
    killed may have moved them and not recorded that.
    """
    named, left = [], []
    for file in found:
        directory, _, name = file.path.rpartition("/")
        if directory not in ("", acq):
            left.append(file)
        elif not directory and name == acq.partition("/")[0]:
            named.append(NamedFile(file, "", "", Code.TOP_NAME_IS_DIRECTORY(acq=acq)))
        else:
            named.append(NamedFile(file, acq, name, refused=unimportable(acq, name)))
    return named, left


def name_files(found: Iterable[FoundFile], patterns: Sequence[re.Pattern[str]]) -> list[NamedFile]:
    """Name each file, or give the reason why it has no name."""
    named = []
    for file in found:
        names = detect(file.path, patterns)
        if names is None:
            why = Code.NO_IMPORT_PATTERN_MATCHES() if patterns else Code.NO_ACQUISITION_DIRECTORY()
            named.append(NamedFile(file, "", "", why))
        else:
            named.append(NamedFile(file, *names, refused=unimportable(*names)))
    return named


def name_by_patterns(
    found: Iterable[FoundFile], patterns: Sequence[re.Pattern[str]]
) -> tuple[list[NamedFile], list[FoundFile]]:
    """Name files by the patterns, and return the others for the detectors of installed packages.

    The default, that the first directory is the acquisition, is not applied: it names every file, so no detector could
    decline one, and an imported file keeps its name for good.
    """
    named, left = [], []
    for file in found:
        names = detect(file.path, patterns) if patterns else None
        if names is None:
            left.append(file)
        else:
            named.append(NamedFile(file, *names, refused=unimportable(*names)))
    return named, left


def possible_names(path: str) -> list[tuple[str, str]]:
    """Return every (acquisition, name) of a path that the index may have, the longest acquisition first."""
    cuts = [i for i, char in enumerate(path[: ACQ_LENGTH + 1]) if char == "/"]
    return [(path[:i], path[i + 1 :]) for i in reversed(cuts) if i]


def name_known(
    found: Iterable[FoundFile], known: Mapping[tuple[str, str], KnownFile], register: bool
) -> tuple[list[NamedFile], list[FoundFile]]:
    """Name the files that the index has, and return the others for the detectors.

    So a directory with one new file among ten thousand needs one call of a detector, and a host without the package
    uses the names that another host gave.
    """
    named, left = [], []
    for file in found:
        names = next((pair for pair in possible_names(file.path) if pair in known), None)
        if names is not None:
            named.append(NamedFile(file, *names))
        elif register:
            left.append(file)
        else:
            named.append(NamedFile(file, "", "", UNREGISTERED))
    return named, left


def detect_tasks(
    node: NodeFact,
    search: int,
    listing: int,
    settle: float,
    files: Sequence[FoundFile],
    acqs: frozenset[str] = frozenset(),
    facts: tuple[DetectorFacts, ...] = (),
    most: int = DETECT_FILES,
) -> list[Task]:
    """Return the tasks that call the detectors.

    `acqs`: the acquisitions of the index among `possible_acqs`; each job gets those of its files.  `most`: files in a
    job.
    """
    jobs = []
    for start in range(0, len(files), most):
        some = tuple(files[start : start + most])
        jobs.append(DetectJob(node, search, listing, settle, some, acqs & possible_acqs(some), facts))
    return [
        Task(TaskKind.SEARCH, node.id, job, files=0, deadline=DETECT_BASE + DETECT_PER_FILE * len(job.files))
        for job in jobs
    ]


def name_detected(detected: Detected) -> NamedFile:
    """Return a file named by the answer of a detector."""
    found, acq = detected.found, detected.acq
    if not acq:
        return NamedFile(found, "", "", Code.NO_IMPORT_DETECTOR_CLAIMS_IT())
    name = found.path.removeprefix(f"{acq}/")
    if name == found.path:
        return NamedFile(found, "", "", Code.DETECTOR_GAVE_WRONG_ACQUISITION(detector=detected.by))
    return NamedFile(found, acq, name, refused=unimportable(acq, name))


def unimportable(acq: str, name: str) -> Why:
    """Return why no file of these names can be imported, "" if one can."""
    path = f"{acq}/{name}"
    if len(acq) <= ACQ_LENGTH and len(name) <= NAME_LENGTH and _plain().fullmatch(path):
        return ""  # spares a million files the checks below
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


def possible_acqs(files: Iterable[FoundFile]) -> frozenset[str]:
    """Return every acquisition to which one of the files may belong."""
    return frozenset(acq for file in files for acq, _ in possible_names(file.path))


class ImportPlan(NamedTuple):
    """`wanted`: files to hash, with their lengths; `present`: number of files that the index has here already;
    `refused`: (path, reason)."""

    wanted: list[tuple[ImportFile, int]]
    present: int
    refused: list[tuple[str, Reason]]


def choose(
    named: Iterable[NamedFile],
    known: Mapping[tuple[str, str], KnownFile],
    register: bool,
    leave_bad: bool = False,
) -> ImportPlan:
    """Decide which files are hashed.

    A copy recorded as good with the right length is not hashed; `node verify` does that.  `register`: include files
    that the index does not have.  `leave_bad`: leave suspect and corrupt copies to checks and repairs, since regular
    searches would hash them each time.
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
            continue
        one = ImportFile(file.found.path, file.acq, file.name, row)
        if one.moves:
            # The copy that the index has is at the target, or belongs there.
            if row is not None and (row.has_file in ("Y", "M", "X") or row.size_b != file.found.size_b):
                refused.append((one.path, Code.TOP_NAME_TAKEN(target=one.target)))
            else:
                wanted.append((one, file.found.size_b))
        elif row is not None and _left_alone(row, file.found, leave_bad):
            present += 1
        else:
            wanted.append((one, file.found.size_b))
    return ImportPlan(wanted, present, refused)


def is_new(file: ImportFile) -> bool:
    """Return whether the index has no copy of the file on the node where it was found."""
    return file.known is None or file.known.has_file in (None, "N")


def same_path(acq: str) -> Reason:
    """Return the reason for not importing a file at the path of a file of the acquisition `acq`."""
    return Code.IMPORT_OF_SHARED_PATH(acq=acq)


def without_taken(plan: ImportPlan, taken: Mapping[int, str]) -> ImportPlan:
    """Refuse the files whose path another file of the index has.

    `taken`: index in `wanted`, and the acquisition of the other file.
    """
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
