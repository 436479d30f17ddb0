"""Data of imports: found files, and the jobs and results."""

from math import inf
from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.searches import FoundFile
from alpenhorn.model.tasks import AttemptFact, Verdict
from alpenhorn.reasons import Why


class ImportRequestFact(NamedTuple):
    """An import request.  `fault`: why its row is inconsistent; "" if it is not."""

    request_id: int
    node_id: int
    path: str
    recurse: bool
    register: bool
    attempt: AttemptFact | None = None
    fault: Why = ""


class KnownFile(NamedTuple):
    """The index's entry for a path found on a node.  `has_file` is None if no copy is recorded there."""

    file_id: int
    acq: str
    name: str
    size_b: int | None
    md5sum: str | None
    has_file: str | None


class DetectorFacts(NamedTuple):
    """What a package has read from the index for its detector of the same name.

    `value`: pickled.  `error`: why it could not be read; "" if it was.
    """

    detector: str
    value: bytes = b""
    error: Why = ""


class DetectJob(NamedTuple):
    """Ask the packages' import detectors for the acquisitions of these files.

    `listing`: the number of the listing, within the search, that found them.  `settle`: see ImportJob.  `acqs`: the
    acquisitions of the index among the directory parts of the paths.
    """

    node: NodeFact
    search: int
    listing: int
    settle: float
    files: tuple[FoundFile, ...]
    acqs: frozenset[str] = frozenset()
    facts: tuple[DetectorFacts, ...] = ()


class ImportFile(NamedTuple):
    """A found file to hash.  `known`: its entry in the index; None for a new file.  `since`: as in `CheckFile`.

    A file at another path than `target` is at the top of the root, and is moved to there.
    """

    path: str
    acq: str
    name: str
    known: KnownFile | None = None
    since: float = inf

    @property
    def target(self) -> str:
        return f"{self.acq}/{self.name}"

    @property
    def moves(self) -> bool:
        return self.path != self.target


class ImportJob(NamedTuple):
    """`settle`: seconds for which a file must be unchanged; `search`: the number of the search that found the files;
    `sha256`: whether to compute that sum, too; `keep_status`: whether to return the statuses of the files.
    """

    node: NodeFact
    search: int
    settle: float
    files: tuple[ImportFile, ...]
    sha256: bool = False
    keep_status: bool = False


class Detected(NamedTuple):
    """The import detectors' answer for a file.

    `acq`: "" if no detector claims it.  `by`: the name of the detector that does.  `callback`: the detector's
    callback, pickled; b"" for none.  `error`: why no answer is known; `later`: because the file is not
    finished.
    """

    found: FoundFile
    acq: str = ""
    by: str = ""
    callback: bytes = b""
    error: Why = ""
    later: bool = False


class ImportedFile(NamedTuple):
    """An imported file, as passed to a detector's callback.

    `path`: the path below the node's root, `acq`/`name`.  `new_file`, `new_acq`: whether this import added
    them to the index.
    """

    file_id: int
    acq_id: int
    node_id: int
    acq: str
    name: str
    node: str
    size_b: int
    md5sum: str
    new_file: bool
    new_acq: bool

    @property
    def path(self) -> str:
        return f"{self.acq}/{self.name}"


class ImportResult(NamedTuple):
    """The result for one file.

    `linked`: the file has more than one hard link.  `moved`: it was moved from the top of the root; `file` has its new
    path.  `modified`: if the file was written after the copy in the index was last known to be good, when that was; ""
    otherwise.  `began`: when its job began, in POSIX
    seconds by the clock of the storage, as the times of its files; 0: unknown.  `sha256`: "" if it was not computed.
    `verified_status`: "" if there is none that proves something.
    """

    file: ImportFile
    verdict: Verdict
    size_b: int | None = None
    md5sum: str | None = None
    space_b: int | None = None
    error: Why = ""
    linked: bool = False
    moved: bool = False
    modified: str = ""
    began: float = 0.0
    sha256: str = ""
    verified_status: str = ""
