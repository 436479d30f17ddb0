"""`alpenhorn db rebuild`: an empty index, filled again from disks."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import NAME
from alpenhorn.coordinator import rebuild as rebuilding
from alpenhorn.errors import DONE, FAILED, Refused


@click.command()
@click.argument("roots", metavar="ROOT...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--group", type=NAME, metavar="NAME", help="Group of the nodes; by default one of each node's name."
)
@pass_app
def rebuild(app: App, roots: tuple[str, ...], group: str | None) -> int:
    """Use this when the index and all its backups are lost.  Each ROOT is the root of a node, on this host.  Its
    marker names the node; its manifest, which runs keep in .alpenhorn/manifest.md5, lists its files.  The
    nodes are created on this host, active; all their copies are suspect until a run has read them.  A disk
    whose manifest is missing or damaged is left out, and so is each file for which two manifests differ in
    length or MD5 sum; both are listed, and the exit status is 1.

    \b
    Example:
      alpenhorn db init
      alpenhorn db rebuild /mnt/vault /mnt/vault2
      alpenhorn sync
    """
    index = app.index
    index.answer_within(None)  # whole tables are filled
    disks, faults = rebuilding.read_disks(roots)
    for fault in faults:
        output.note(fault)
    if not disks:
        raise Refused("none of these disks can be used; the index was not changed")
    _require_group(app, group, len(disks))
    rebuilt = rebuilding.fill(index, disks, app.host, group, app.config.import_.patterns, app.stamp())
    for disk in disks:
        output.line(
            f"{disk.name}: {output.count(disk.files, 'file')}, {output.size(disk.size_b)}, from {disk.root}"
        )
    for path, claims in sorted(rebuilt.filled.contradictions.items()):
        said = "; ".join(f"{one.node} says {one.size_b} bytes, {one.md5sum}" for one in claims)
        output.note(f"left out, since manifests differ: {path}: {said}")
    for path, why in rebuilt.unnamed:
        output.note(f"left out: {path}: {why}")
    filled = rebuilt.filled
    output.line(
        f"Filled the index: {output.count(filled.files, 'file')} in {output.count(filled.acqs, 'acquisition')},"
        f" {output.count(filled.copies, 'suspect copy', 'suspect copies')}."
    )
    output.line(
        "Next: alpenhorn sync, which reads every copy; then set what no manifest holds: archive nodes, groups, rules."
    )
    return FAILED if faults or filled.contradictions or rebuilt.unnamed else DONE


def _require_group(app: App, group: str | None, nodes: int) -> None:
    """Raise Refused for a group that would have more active nodes on this host than its class allows."""
    from alpenhorn.listings.storage import groups

    if group is not None and nodes > 1 and group not in {one.name for one in groups(app.index)}:
        raise Refused(
            f"group {group}: of a group of the class Default one node may be active on a host; create it with its class"
            f" first: alpenhorn group create {group} --class Transport"
        )
