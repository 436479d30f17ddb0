"""Data of exports: the files to copy out of an archive, and the results."""

from typing import NamedTuple

from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Why


class ExportFile(NamedTuple):
    """A file to copy.  `path`: relative to the roots and to the target; `md5sum` (hex, lower case) must agree with the
    copy, and `sha256` as well unless it is "", for unknown."""

    file_id: int
    path: str
    size_b: int
    md5sum: str
    sha256: str = ""


class ExportJob(NamedTuple):
    """Copy files from a node of this host into the directory `target`, which nobody else uses."""

    node: NodeFact
    target: str
    files: tuple[ExportFile, ...]


class ExportResult(NamedTuple):
    """The result for one file: its SHA-256 sum, or why it was not copied.

    `blames`: the copy that was read differs from the index; `ends`: the target can take no file at all.
    """

    file: ExportFile
    sha256: str = ""
    error: Why = ""
    blames: bool = False
    ends: bool = False
