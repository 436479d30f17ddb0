"""`alpenhorn node retire`: take a node out of use, once its files are elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import NamedTuple

import click

from alpenhorn import formats
from alpenhorn.cli import lost_copies, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, ListOptions, column, listing_options, size
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.node.deactivate import note_waiting
from alpenhorn.cli.options import at_most_one, check_option, confirm, force_option
from alpenhorn.cli.trash import total_words
from alpenhorn.coordinator.deletable import evidence
from alpenhorn.coordinator.lost_media import refuse_if_there
from alpenhorn.edits import lost as edit_lost
from alpenhorn.edits import nodes as edit_node
from alpenhorn.edits import retirement as edit
from alpenhorn.edits import retirement_comparison as comparing
from alpenhorn.edits.retirement_comparison import Comparison, RetirementAmounts
from alpenhorn.errors import Refused
from alpenhorn.listings import trash
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.retirement import Retirement
from alpenhorn.reasons import code_in_json
from alpenhorn.scan import names
from alpenhorn.scan import retirements as scan
from alpenhorn.scan import topology as topologies
from alpenhorn.scan.rules import rules
from alpenhorn.scan.topology import Topology

FILES = (
    column("path", "File"),
    size("size_b", "Size"),
    column("why", "Why not"),
    column("code", value=lambda row: code_in_json(row.why)),
)


class RetireOptions(NamedTuple):
    """The values of the options of `retire`."""

    into: Sequence[str]
    releases: bool
    cancel: bool
    lost: bool
    check: bool
    force: bool
    list_: bool


class _Place(NamedTuple):
    """The node and what is known of it.  `before`: its retirement, None if it is not retired."""

    topology: Topology
    node: NodeFact
    before: Retirement | None
    groups: tuple[int, ...]


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.option(
    "--into",
    type=GROUP,
    metavar="GROUP",
    multiple=True,
    help="Copy files that too few other nodes have into GROUP; may be repeated.",
)
@click.option(
    "--release", "releases", is_flag=True, help="Delete its copies, each once enough others are elsewhere."
)
@click.option("--lost", is_flag=True, help="Its disk is dead: record all of its copies as missing.")
@click.option("-x", "--cancel", is_flag=True, help="Use the node again; undo what is pending.")
@click.option("--list", "list_", is_flag=True, help="List the files that cannot be copied elsewhere.")
@check_option
@force_option
@listing_options(FILES)
@pass_app
def retire(
    app: App,
    name: str,
    into: Sequence[str],
    releases: bool,
    cancel: bool,
    lost: bool,
    list_: bool,
    check: bool,
    force: bool,
    listing: ListOptions,
) -> None:
    """A retired node is still a source, and files are still imported from it, but nothing is copied to it, and its
    copies no longer count for the deletion of others.  Each of its files is requested until archive_copy_count good
    copies are on other archive nodes: at once, and by later runs on its host.  Without --into, the files go into
    the groups that its autosync rules name, or to other nodes of its own group.

    With --release, copies are released as soon as enough others are elsewhere, also on an archive node.  Runs delete
    them by the usual rules, except that delete_limit does not apply.

    With --lost, all copies are recorded as missing, the node is made inactive, and the files are copied from other good
    copies, by runs on the hosts of the groups.  That is refused while the node's host could see its disk.  If the
    disk turns up again, its copies do not count until they were checked.

    Without options, the command shows what is left on a retired node, and requests what is not requested yet.  Files
    without a good copy do not stop the others; --list shows them, with the reasons.  When nothing is left,
    "alpenhorn node delete" removes the node from the index.

    \b
    Examples:
      alpenhorn node retire disk7 --into offsite --dry-run
      alpenhorn node retire disk7 --into offsite --release
      alpenhorn node retire disk7 --lost --into offsite
      alpenhorn node retire disk7 --cancel
    """
    given = RetireOptions(into, releases, cancel, lost, check, force, list_)
    at_most_one(cancel=cancel, into=into)
    at_most_one(cancel=cancel, release=releases)
    at_most_one(list=list_, cancel=cancel, dry_run=check)
    at_most_one(list=list_, cancel=cancel, lost=lost, release=releases)
    found = names.node(app.index, name)
    topology = topologies.load(app.index)
    before = scan.of_node(app.index, found.id)
    if cancel:
        _cancel(app, topology.nodes[found.id], before, given)
        return
    if before is not None and before.cancelled:
        before = None
    groups = scan.groups(app.index, found.id) if before is not None else ()
    groups = tuple(dict.fromkeys((*groups, *_given_groups(app, topology, found.id, into))))
    place = _Place(
        topology, topology.nodes[found.id], before, groups or _usual_groups(app, topology, found.id)
    )
    for option in ("sort", "limit", "wide"):
        if getattr(listing, option) and not list_:
            raise click.UsageError(f"--{option} needs --list")
    if listing.form is not Format.TABLE and not list_:
        raise click.UsageError("--format needs --list")
    if lost:
        _declare_lost(app, place, given)
    elif list_:
        _list(app, place, listing)
    else:
        _retire(app, place, given)


def _given_groups(app: App, topology: Topology, node_id: int, into: Sequence[str]) -> list[int]:
    groups = [names.group(app.index, one) for one in into]
    for group in groups:
        if group.id not in _receiving(topology, node_id):
            raise Refused(
                f"group {group.name}: has no active archive node that is not retired, so copies there would not"
                f" count; nothing was changed; see: alpenhorn group show {quote(group.name)}"
            )
    return [group.id for group in groups]


def _receiving(topology: Topology, node_id: int) -> set[int]:
    return {node.group_id for node in topology.nodes.values() if node.id != node_id and node.keeps}


def _usual_groups(app: App, topology: Topology, node_id: int) -> tuple[int, ...]:
    """Return the groups of the node's autosync rules, or else its own, as far as copies there count."""
    receiving = _receiving(topology, node_id)
    by_rule = [rule.group_id for rule in rules(app.index) if rule.autosync and rule.node_id == node_id]
    own = topology.nodes[node_id].group_id
    return tuple(id for id in by_rule if id in receiving) or ((own,) if own in receiving else ())


def _comparison(app: App, place: _Place, releases: bool) -> Comparison:
    retirement = place.before or Retirement(place.node.id, None)
    return Comparison(
        app.index,
        place.node,
        place.topology.nodes,
        retirement._replace(releases=releases or retirement.releases),
        place.groups,
        evidence(app.config.sync, {}),
        app.stamp(),
    )


def _list(app: App, place: _Place, listing: ListOptions) -> None:
    comparison = _comparison(app, place, False)
    of = scan.count(app.index, place.node.id)

    def rows() -> Iterator[comparing.Named]:
        with LongWork(app, f"Comparing the copies on {place.node.name}") as work:
            for number, stuck in enumerate(comparison.pages(changes=False)):
                work.at(min(number * comparing.PAGE, of), of)
                yield from comparing.named(app.index, stuck)

    listing.show(FILES, rows(), "All files are elsewhere, or can be copied.")


def _retire(app: App, place: _Place, given: RetireOptions) -> None:
    node, of = place.node, scan.count(app.index, place.node.id)
    comparison = _comparison(app, place, given.releases)
    with LongWork(app, f"Comparing the copies on {node.name}") as work:
        comparing.compare(comparison, False, of, work.at)
    found = comparison.amounts
    if not place.groups and (found.requested.files or found.stuck):
        _refuse_without_group(node, found)
    new = place.before is None or given.into or (given.releases and not place.before.releases)
    if given.check or (new and not given.force):
        _announce(place, given, found, comparison.planner.minimum)
    if given.check:
        return
    if new:
        question = (
            f"Retire node {node.name}" if place.before is None else f"Change the retirement of {node.name}"
        )
        confirm(f"{question}{' and delete its copies' if given.releases else ''}?", given.force)
        edit.retire(app.index, node.id, place.groups, given.releases, app.stamp())
    comparison = _comparison(app, place, given.releases)
    with LongWork(app, f"Requesting the files on {node.name}", changing=True) as work:
        comparing.compare(comparison, True, of, work.at)
    _report(app, place, given, comparison)


def _refuse_without_group(node: NodeFact, found: RetirementAmounts) -> None:
    files = sum(found.stuck.values())
    if files > found.nowhere:
        raise Refused(
            f"node {node.name}: {formats.count(files, 'file has', 'files have')} too few good copies on other archive"
            " nodes, and neither an autosync rule nor its group has a place for them; nothing was changed; name a"
            " group with --into GROUP"
        )


def _declare_lost(app: App, place: _Place, given: RetireOptions) -> None:
    """Record the copies on a dead disk as missing, and request what is needed from other copies."""
    node = place.node
    before = edit_lost.medium_state(app.index, node.id)
    refuse_if_there(app.index, node, app.host, app.disconnect)
    found = lost_copies.count(app, node)
    copies = formats.count(found.copies.files, "copy", "copies")
    output.line(
        f"{'Would declare' if given.check or not given.force else 'To declare'} lost: node {node.name} with"
        f" {copies} ({output.size(found.copies.bytes)})."
    )
    lost_copies.show_only_here(found)
    if given.check:
        return
    confirm(f"Declare node {node.name} lost, with {copies}?", given.force)
    edit.retire(app.index, node.id, place.groups, False, app.stamp(), declared_lost=True)
    edit_node.modify(app.index, node.id, {"active": False}, {}, app.stamp())
    output.line(f"Recorded {lost_copies.record(app, node, before, found)} as missing; the node is inactive.")
    topology = topologies.load(app.index)
    retirement = scan.of_node(app.index, node.id)
    place = _Place(topology, topology.nodes[node.id], retirement, place.groups)
    comparison = _comparison(app, place, False)
    with LongWork(app, f"Requesting the files that were on {node.name}", changing=True) as work:
        comparing.compare(comparison, True, scan.count(app.index, node.id), work.at)
    _report(app, place, given, comparison)


def _announce(place: _Place, given: RetireOptions, found: RetirementAmounts, minimum: int) -> None:
    node = place.node
    verb = "Would retire" if place.before is None else "Would change the retirement of"
    output.line(
        f"{verb} node {node.name}: {_left(found)}, {found.enough} of them with"
        f" {formats.count(minimum, 'good copy', 'good copies')} on other archive nodes."
    )
    if found.requested.files:
        known = place.topology.groups
        groups = ", ".join(known[id].name for id in place.groups if id in known)
        text = f"{formats.count(found.requested.files, 'file')} ({output.size(found.requested.bytes)})"
        output.line(f"Would request {text} into {groups}.")
    _tell_stuck(node, found)
    if given.releases:
        output.line(
            f"All copies on {node.name} are deleted, each once that is safe; delete_limit does not apply."
        )


def _left(found: RetirementAmounts) -> str:
    copies = formats.count(found.left.files, "copy", "copies")
    return f"{copies} ({output.size(found.left.bytes)})" if found.left.files else "no copies"


def _tell_stuck(node: NodeFact, found: RetirementAmounts) -> None:
    for why, files in found.stuck.most_common():
        output.line(f"{formats.count(files, 'file')} cannot be copied elsewhere: {why}.")
    if found.stuck:
        output.line(f"To list them: alpenhorn node retire {quote(node.name)} --list")


def _report(app: App, place: _Place, given: RetireOptions, comparison: Comparison) -> None:
    node, found = place.node, comparison.amounts
    name = quote(node.name)
    lost = place.before is not None and place.before.declared_lost
    state = "is retired" if place.before is None or given.lost else "is retired already"
    output.line(f"Node {node.name} {state}; left on it: {_left(found)}.")
    if found.requested.files:
        output.line(f"Requested {formats.count(found.requested.files, 'file')}.")
    if found.waiting:
        text = formats.count(found.waiting, "file waits", "files wait")
        output.line(
            f"{text} for a pending request; see: alpenhorn request list --node {name} --state pending"
        )
    if found.released and not lost:
        copies = formats.count(found.released, "copy", "copies")
        output.line(f"Released {copies}; the next run on {node.host} deletes them if that is safe.")
    _tell_stuck(node, found)
    releases = given.releases or (place.before is not None and place.before.releases)
    coming = found.requested.files + found.waiting
    if not (found.left.files or found.stuck or coming):
        output.line(
            f"Nothing is left on it. To remove it: alpenhorn node deactivate {name} && alpenhorn node delete {name}"
        )
        if (trashed := trash.of_node(app.index, node.id)) is not None:
            output.line(f"In its trash: {total_words(trashed)}.")
    elif found.enough and not releases:
        copies = formats.count(found.enough, "copy", "copies")
        output.line(f"{copies} can go; to delete them: alpenhorn node retire {name} --release")
    elif releases and found.left.files:
        output.line(f"Why copies are not deleted yet: alpenhorn plan --node {name} --only delete")
    if not lost and (not node.active or node.host is None):
        output.note(f"node {node.name}: no run works on it; to activate it: alpenhorn node activate {name}")
    if place.before is None:
        note_waiting(app, node.id)


def _cancel(app: App, node: NodeFact, before: Retirement | None, given: RetireOptions) -> None:
    if before is None:
        output.line(f"No change: node {node.name} is not retired.")
        return
    if given.check:
        output.line(f"Would use node {node.name} again, and undo its pending requests and releases.")
        return
    with LongWork(app, f"Undoing the retirement of {node.name}", changing=True) as work:
        undone = edit.cancel(app.index, node.id, app.stamp(), work.at)
    output.line(
        f"Node {node.name} is no longer retired. Cancelled {formats.count(undone.requests, 'request')} and"
        f" {formats.count(undone.releases, 'release')}."
    )
    if not node.active:
        output.note(
            f"node {node.name}: it is inactive; to activate it: alpenhorn node activate {quote(node.name)}"
        )
