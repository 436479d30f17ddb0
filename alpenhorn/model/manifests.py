"""Data of jobs that write manifests, and that compare disks which came back.

A module of its own: an idle run does not need it.
"""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Reason, Why


class ManifestFile(NamedTuple):
    """A good copy.  `path` is relative to the root; its first `acq` characters are the acquisition's name."""

    path: str
    size_b: int
    md5sum: str
    acq: int


class ManifestJob(NamedTuple):
    """Write one part of a node's manifest, appended to the parts written before.

    `token`: a unique id of this manifest; `heading`: its first comment lines.  The `first` part starts with
    the entries of the existing manifest without the paths in `forget`, or with none if `anew`.  The `last`
    part moves the manifest into place.  `before`: files and bytes in the earlier parts.  `flush`: flush the
    directory too before reporting success, for a disk that may be unplugged next.
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
    """The outcome of a ManifestJob.

    `files`, `bytes`: totals in the manifest so far.  `forgotten`: number of old entries left out.  `error`:
    why nothing was written, with its `errno`.  `unusable`: the existing manifest cannot be continued.
    """

    files: int = 0
    bytes: int = 0
    forgotten: int = 0
    error: Why = ""
    errno: int = 0
    unusable: bool = False


class CompareFile(NamedTuple):
    """A copy that was good when its node was last seen here.  `later`: it was recorded after the manifest was
    written.
    """

    copy_id: int
    file_id: int
    path: str
    size_b: int | None
    later: bool = False


class CompareJob(NamedTuple):
    """Look whether files changed, as far as can be seen without reading them."""

    node: NodeFact
    files: tuple[CompareFile, ...]


class ChangedFile(NamedTuple):
    """A file that changed; `why` says how this was detected."""

    file: CompareFile
    why: Reason
