"""`alpenhorn file modify --from-copy`: read the length and MD5 sum of a file from one of its copies."""

from __future__ import annotations

from shlex import quote
from typing import NamedTuple

from alpenhorn.cli.app import App
from alpenhorn.cli.here import require_here
from alpenhorn.cli.long_work import LongWork
from alpenhorn.coordinator.one_copy import read_copy
from alpenhorn.edits.files import AcceptedCopy
from alpenhorn.errors import Refused
from alpenhorn.listings import files as listing
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, code_of
from alpenhorn.scan import names, topology
from alpenhorn.scan.digests import known_sha256
from alpenhorn.scan.names import FileName
from alpenhorn.scan.pulls import why_corrupt


class CopyContent(NamedTuple):
    """The length (bytes) and MD5 sum (hex, lower case) of a copy; `known`: the values in the index before reading.

    `accepted`: the copy, if it was changed after it was registered, or has another SHA-256 sum than the index.
    `sha256`: "" if the index has none and this host records none; `only_sha256`: nothing else differs from the index.
    """

    size_b: int
    md5sum: str
    known: tuple[int | None, str | None]
    accepted: AcceptedCopy | None = None
    sha256: str = ""
    only_sha256: bool = False

    @property
    def words(self) -> str:
        return f"length {self.size_b} bytes, MD5 sum {self.md5sum}" + (
            f", SHA-256 sum {self.sha256}" if self.sha256 else ""
        )


def read(app: App, file: FileName, node_name: str, force: bool) -> CopyContent:
    """Read the copy on a node of this host.

    Raises Refused if the node or its copy cannot be used or, without `force`, if the index has other values.
    """
    known = listing.details(app.index, file.id)
    node = _node(app, node_name)
    changed = _require_copy(app, file, node)
    sha256 = known_sha256(app.index, [file.id]).get(file.id, "")
    if known.size_b is not None and known.md5sum and not (force or changed):
        raise Refused(
            f"{file.path}: already has a length and an MD5 sum; nothing was changed; to check a copy against them:"
            f" alpenhorn file verify {quote(file.path)} {quote(node_name)}; to replace them: --force"
        )
    # In whole seconds, as the index has it.
    began = app.index.now().replace(microsecond=0)
    with LongWork(app, f"Reading {file.path} on {node.name}"):
        found = read_copy(node, file.path, app.config.transfer, app.disconnect)
    wrong = _difference(known, found.size_b, found.md5sum)
    # The sum is computed in any case, but recorded only where it is wanted.
    recorded = found.sha256 if sha256 or app.config.sync.sha256 else ""
    only_sha256 = not wrong and sha256 not in ("", found.sha256)
    if only_sha256:
        wrong = f"the copy has the MD5 sum in the index, but SHA-256 sum {found.sha256}, not {sha256}"
    if changed:
        if not wrong:
            raise Refused(
                f"{file.path} on {node.name}: the copy has the registered contents; nothing was changed; to record it"
                f" as good: alpenhorn file verify {quote(file.path)} {quote(node.name)}"
            )
        accepted = AcceptedCopy(node.id, began)
        return CopyContent(
            found.size_b, found.md5sum, (known.size_b, known.md5sum), accepted, recorded, only_sha256
        )
    if wrong and not force:
        raise Refused(
            f"{file.path} on {node.name}: {wrong}; nothing was changed; try the copy on another node, or use the"
            " values of this one with --force"
        )
    return CopyContent(
        found.size_b, found.md5sum, (known.size_b, known.md5sum), sha256=recorded, only_sha256=only_sha256
    )


def _node(app: App, name: str) -> NodeFact:
    node = topology.load(app.index).nodes[names.node(app.index, name).id]
    require_here(node, app.host, "nothing was changed")
    return node


def _require_copy(app: App, file: FileName, node: NodeFact) -> bool:
    """Return whether the copy was changed after it was registered, or found to have another SHA-256 sum."""
    copy = listing.copy_of(app.index, file.id, node.id)
    if copy is not None and (copy.changed or _collides(app, file, node, copy)):
        return True
    if copy is None or copy.has_file not in ("Y", "M"):
        state = "no copy" if copy is None or copy.has_file == "N" else "the copy is corrupt"
        raise Refused(
            f"{file.path} on {node.name}: {state}; nothing was changed; give a node with a good copy"
        )
    return False


def _collides(app: App, file: FileName, node: NodeFact, copy: listing.CopyRow) -> bool:
    if copy.has_file != "X":
        return False
    why = why_corrupt(app.index, [(file.id, node.id)])
    return code_of(why.get((file.id, node.id), "")) == Code.COPY_SHA256_WRONG


def _difference(known: listing.FileRow, size_b: int, md5sum: str) -> str:
    if known.size_b not in (None, size_b):
        return f"the copy has {size_b} bytes, the index says {known.size_b}"
    if known.md5sum and known.md5sum.lower() != md5sum:
        return f"the copy has MD5 sum {md5sum}, the index says {known.md5sum}"
    return ""
