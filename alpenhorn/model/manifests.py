"""The plain data that the steps of a run hand to one another about manifests of nodes, and about disks that came back;
as `alpenhorn.model`, apart from it since an idle run needs none of it.
"""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Reason, Why


class ManifestFile(NamedTuple):
    """A good copy; `path` is relative to the root, its first `acq` characters name the acquisition."""

    path: str
    size_b: int
    md5sum: str
    acq: int


class ManifestJob(NamedTuple):
    """One part of the writing of a node's manifest, each appended to what the parts before have written aside.

    `token`: what tells this manifest from all others; `heading`: the comment lines at its beginning.  The `first`
    part begins with what stands in the manifest that is there already, less the paths `forget`, unless `anew`.  The
    `last` one puts it into its place.  `before`: files and bytes in the parts before.  `flush`: have its name on the
    disk before it is reported as written, for a disk that may be unplugged next.
    """

    node: NodeFact
    token: str
    heading: tuple[str, ...]
    forget: frozenset[str]
    files: tuple[ManifestFile, ...]
    anew: bool
    first: bool
    last: bool
    before: tuple[int, int] = (0, 0)
    flush: bool = False


class ManifestOutcome(NamedTuple):
    """`files` and `bytes`: in the manifest up to here; `forgotten`: entries of the old one that were left out.

    `error`: why nothing was written, with its `errno`; `unusable`: the old manifest cannot be gone on with.
    """

    files: int = 0
    bytes: int = 0
    forgotten: int = 0
    error: Why = ""
    errno: int = 0
    unusable: bool = False


class CompareFile(NamedTuple):
    """A copy that was good when its node was last seen here.  `later`: it came after the manifest was written."""

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    later: bool = False


class CompareJob(NamedTuple):
    """Look whether files are still what they were, as far as can be seen without reading them."""

    node: NodeFact
    files: tuple[CompareFile, ...]


class Changed(NamedTuple):
    """A file that is not what it was; `why` says by what that is seen."""

    file: CompareFile
    why: Reason
