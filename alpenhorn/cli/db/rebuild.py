"""`alpenhorn db rebuild`: fill an empty index from the manifests on disks."""

from __future__ import annotations

from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import NAME
from alpenhorn.cli.long_work import LongWork
from alpenhorn.coordinator import rebuild as rebuilding
from alpenhorn.errors import DONE, FAILED, Refused
from alpenhorn.listings.storage import groups


@click.command()
@click.argument("roots", metavar="ROOT...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--group",
    type=NAME,
    metavar="NAME",
    help="Group of the nodes (default: a separate group with the name of each node).",
)
@pass_app
def rebuild(app: App, roots: tuple[str, ...], group: str | None) -> int:
    """Use this if the index and all its backups are lost.  Each ROOT is the root of a node on this host.  Its marker
    holds the name of the node; its manifest, which runs keep in .alpenhorn/manifest.md5, lists its files.
    The nodes are created as active nodes of this host; all their copies are suspect until a run has read
    them.  Disks whose manifest is missing or damaged are left out, and so are files for which two manifests
    differ in length or MD5 sum; both are listed, and the exit status is 1.  The manual says how a node
    with objects is rebuilt (alpenhorn help operating).

    \b
    Example:
      alpenhorn db init
      alpenhorn db rebuild /mnt/vault /mnt/vault2
      alpenhorn sync
    """
    index = app.index
    index.answer_within(None)  # no timeout: whole tables are filled
    with LongWork(app, "Reading the manifests") as work:
        disks, faults = rebuilding.read_disks(roots, work.at)
    for fault in faults:
        output.warning(fault)
    if not disks:
        raise Refused("none of these disks can be used; nothing was changed")
    _require_group(app, group, len(disks))
    with LongWork(app, "Filling the index", changing=True, whole=True) as work:
        patterns = app.config.import_.patterns
        rebuilt = rebuilding.fill(index, disks, app.host, group, patterns, app.stamp(), work.at)
    for disk in disks:
        output.line(
            f"{disk.name}: {output.count(disk.files, 'file')}, {output.size(disk.size_b)}, from {disk.root}"
        )
    for path, claims in sorted(rebuilt.filled.contradictions.items()):
        listed = "; ".join(f"{one.node}: {one.size_b} bytes, MD5 sum {one.md5sum}" for one in claims)
        output.warning(f"left out: {path}: manifests differ: {listed}")
    for path, why in rebuilt.unnamed:
        output.warning(f"left out: {path}: {why}")
    filled = rebuilt.filled
    output.line(
        f"Filled the index: {output.count(filled.files, 'file')} in {output.count(filled.acqs, 'acquisition')},"
        f" {output.count(filled.copies, 'suspect copy', 'suspect copies')}."
    )
    output.line(
        "Next: run alpenhorn sync, which reads every copy; then set archive nodes, groups and rules, which manifests do"
        " not hold."
    )
    return FAILED if faults or filled.contradictions or rebuilt.unnamed else DONE


def _require_group(app: App, group: str | None, nodes: int) -> None:
    """Raise Refused if a new group would have more active nodes on this host than its class allows."""
    if group is not None and nodes > 1 and group not in {one.name for one in groups(app.index)}:
        raise Refused(
            f"group {group}: a group of class Default can have one active node on a host; first create it with another"
            f" class: alpenhorn group create {quote(group)} --class Transport"
        )
