"""`alpenhorn file modify`."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.files import facts_options
from alpenhorn.cli.from_copy import read
from alpenhorn.cli.options import check_with_help, confirm, force_with_help
from alpenhorn.edits import files as edit_file
from alpenhorn.index.connection import Index
from alpenhorn.listings import files as listing
from alpenhorn.listings import storage
from alpenhorn.scan import names
from alpenhorn.scan.names import FileName


@click.command()
@click.argument("path", metavar="FILE")
@facts_options
@click.option(
    "--from-copy",
    type=NODE,
    metavar="NODE",
    help="Read the length and MD5 sum from the copy on NODE, a node of this host.",
)
@check_with_help("With --from-copy: only show the new length and MD5 sum.")
@force_with_help("With --from-copy: replace a known length or MD5 sum, without asking for confirmation.")
@click.option("--no-reverify", is_flag=True, help="Keep the recorded states of copies.")
@pass_app
def modify(
    app: App,
    path: str,
    check: bool,
    from_copy: str | None,
    force: bool,
    md5sum: str | None,
    no_reverify: bool,
    size_b: int | None,
) -> None:
    """Good and corrupt copies become suspect until they have been read and compared with the new values, unless
    --no-reverify is given.

    A file without a length or an MD5 sum is not copied, because its copies cannot be verified.  --from-copy
    computes both from a copy that is known to be good.

    A copy that was changed after it was registered is left alone until somebody decides.  --from-copy accepts its
    contents as those of the file; the next run reads the copy and records it as good.  Copies with the old contents
    become corrupt then, and "alpenhorn repair" requests the new ones in their place.  To bring back the old contents
    instead, use "alpenhorn repair --replace".  The same applies to a copy with the MD5 sum in the index and another
    SHA-256 sum.

    \b
    Examples:
      alpenhorn file modify 20260722T000000Z_pilot/0001.h5 --md5 b6d81b360a5672d80c27430f39153e2c
      alpenhorn file modify 20260722T000000Z_pilot/0001.h5 --from-copy archive1
    """
    if from_copy is None and md5sum is None and size_b is None:
        raise click.UsageError("give --md5 HASH, --size SIZE, or both, or --from-copy NODE")
    if from_copy is not None and not (md5sum is None and size_b is None):
        raise click.UsageError("--from-copy cannot be used with --md5 or --size")
    if (check or force) and from_copy is None:
        raise click.UsageError(f"--{'check' if check else 'force'} needs --from-copy")
    index = app.index
    file = names.file(index, path)
    known, accepted, sha256 = None, None, ""
    if from_copy is not None:
        content = read(app, file, from_copy, force or check)
        size_b, md5sum, known, accepted, sha256, only_sha256 = content
        if accepted is not None and no_reverify:
            raise click.UsageError(
                "--no-reverify cannot be used to accept a changed copy: the others differ from it"
            )
        if check:
            output.line(f"{file.path} on {from_copy}: {content.words}.")
            return
        if accepted is not None:
            question = f"Accept the contents on {from_copy} ({content.words}) as those of {file.path}?"
            confirm(question + _lost(index, file, from_copy, only_sha256), force)
    done = edit_file.modify(
        index,
        file.id,
        size_b,
        md5sum,
        app.stamp(),
        reverify=not no_reverify,
        known=known,
        accepted=accepted,
        sha256=sha256,
    )
    if not done.changed:
        output.line("No change.")
        return
    length = "unknown" if done.size_b is None else f"{done.size_b} bytes"
    also = f", SHA-256 sum {sha256}" if sha256 else ""
    output.line(f"Changed file {file.path}: length {length}, MD5 sum {done.md5sum or 'unknown'}{also}.")
    _report_checks(index, done.suspect)
    if done.suspect and (done.size_b is None or not done.md5sum):
        missing = "--size SIZE" if done.size_b is None else "--md5 HASH"
        output.note(
            f"{file.path}: copies cannot be checked without a length and an MD5 sum; to set the missing one:"
            f" alpenhorn file modify {quote(file.path)} {missing}"
        )
    if done.corrupt:
        nodes = storage.nodes(index)
        first = next((node.name for node in nodes if node.id in done.corrupt), "NODE")
        copies = output.count(len(done.corrupt), "copy is", "copies are")
        output.note(
            f"{copies} recorded as corrupt, based on the old values; to request a check against the new ones:"
            f" alpenhorn file verify {quote(file.path)} {quote(first)}"
        )


def _lost(index: Index, file: FileName, accepted: str, only_sha256: bool) -> str:
    """Return what happens to the copies with the old contents, "" if there are none."""
    old = [copy.node for copy in listing.copies_of(index, file.id) if copy.has_file in ("Y", "M")]
    nodes = ", ".join(name for name in old if name != accepted)
    if nodes and only_sha256:
        return f" The copies with other contents, among those on {nodes}, will be corrupt, but are kept."
    return f" The old contents, on {nodes}, will be replaced and lost." if nodes else ""


def _report_checks(index: Index, node_ids: Sequence[int]) -> None:
    """Report which hosts read the suspect copies, and which copies no host reads."""
    if not node_ids:
        return
    nodes = [node for node in storage.nodes(index) if node.id in node_ids]
    by_host: dict[str, list[str]] = {}
    for node in nodes:
        if node.active and node.host and node.root:
            by_host.setdefault(node.host, []).append(node.name)
    copies = output.count(len(node_ids), "copy is", "copies are")
    where = "; ".join(f"on {host}: {', '.join(those)}" for host, those in sorted(by_host.items()))
    output.line(f"{copies} suspect until read" + (f", by the next run {where}." if where else "."))
    idle = [node.name for node in nodes if not (node.active and node.host and node.root)]
    if idle:
        output.note(
            f"{', '.join(idle)}: no run reads copies there; to activate the node: alpenhorn node activate"
            f" {quote(idle[0])} (with --host and --root if the node has none)"
        )
