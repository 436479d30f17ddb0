"""Files that are taken into the index, and the jobs that do it."""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.searches import Found
from alpenhorn.model.tasks import AttemptFact, Verdict
from alpenhorn.reasons import Why


class ImportRequestFact(NamedTuple):
    """`fault`: why its row cannot be relied on, "" when it can."""

    request_id: int
    node_id: int
    path: str
    recurse: bool
    register: bool
    attempt: AttemptFact | None = None
    fault: Why = ""


class KnownFile(NamedTuple):
    """What the index says about a path that was found on a node; `has_file` None: no copy row there."""

    file_id: int
    acq: str
    name: str
    size_b: int | None
    md5sum: str | None
    has_file: str | None


class DetectJob(NamedTuple):
    """Ask the import detectors of packages for the acquisitions of these files.  `listing`: the number, within the
    search, of the listing that found them; `settle`: as in ImportJob."""

    node: NodeFact
    search: int
    listing: int
    settle: float
    files: tuple["Found", ...]


class ImportFile(NamedTuple):
    """A found file to be hashed.  `known` is what the index says of it, None for a new one."""

    path: str
    acq: str
    name: str
    known: KnownFile | None = None


class ImportJob(NamedTuple):
    """`settle`: seconds for which a file must not have changed; `search`: the one that found the files."""

    node: NodeFact
    search: int
    settle: float
    files: tuple[ImportFile, ...]


class Detected(NamedTuple):
    """What import detectors made of a file.  `acq` is "" when none claims it; `by`: the name of the one that does;
    `callback`: what it wants called afterwards, pickled, b"" for nothing.  `error`: why it is not known who claims
    it; with `later` because it is not finished."""

    found: Found
    acq: str = ""
    by: str = ""
    callback: bytes = b""
    error: Why = ""
    later: bool = False


class ImportedFile(NamedTuple):
    """A file that was taken into the index, as a detector's callback is told.

    `path` is that below the node's root, `acq`/`name`.  `new_file`, `new_acq`: whether the index did not know them
    before.
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
    """`linked`: the file has more than one name."""

    file: ImportFile
    verdict: Verdict
    size_b: int | None = None
    md5sum: str | None = None
    space_b: int | None = None
    error: Why = ""
    linked: bool = False
