"""The plain data that the steps of a run hand to one another about manifests of nodes, and about disks that came back;
as `alpenhorn.model`, apart from it since most nodes have no manifest.
"""

from typing import NamedTuple

from alpenhorn.model import NodeFact


class ManifestFile(NamedTuple):
    """A good copy; `path` is relative to the root."""

    path: str
    size_b: int
    md5sum: str


class ManifestJob(NamedTuple):
    """One part of the writing of a node's manifest, each appended to what the parts before have written aside.

    `heading`: the comment lines at its beginning.  The `first` part begins with what stands in the manifest that is
    there already, less the paths `forget`, unless `anew`.  The `last` one puts it into its place.
    """

    node: NodeFact
    heading: tuple[str, ...]
    forget: frozenset[str]
    files: tuple[ManifestFile, ...]
    anew: bool
    first: bool
    last: bool


class CompareFile(NamedTuple):
    """A copy that was good when its node was last seen here."""

    copy_id: int
    file_id: int
    path: str
    size_b: int | None


class CompareJob(NamedTuple):
    """Look whether files are still what they were, as far as can be seen without reading them."""

    node: NodeFact
    files: tuple[CompareFile, ...]


class Changed(NamedTuple):
    """A file that is not what it was; `why` says by what that is seen."""

    file: CompareFile
    why: str
