"""Which requests policies want for a file, and from where.

Copies count by the index: good, not released, not being deleted, on active archive nodes that are not retired, and of
several nodes on one medium one.  When a node was last seen does not matter, as it does for deletions: a disk that is
away for a week is no reason to copy everything on it again.  Suspect copies and pending requests count as on their
way, until a check or a pull has settled them.

A host creates only requests into groups with a node of its own.  Another host may have to create the rest, so a copy
that only another site, or a required group, can take is left to its host.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.policies import CopyPlace, Destinations, Policy, PolicyFile, PolicyRequest
from alpenhorn.plan.policies import counts, lack

PRESENT = (HasFile.YES, HasFile.MAYBE)


def places(nodes: Iterable[NodeFact]) -> dict[int, CopyPlace]:
    return {node.id: CopyPlace(node.group_id, node.site) for node in nodes}


def receivers(nodes: Iterable[NodeFact]) -> dict[int, tuple[int, ...]]:
    """Return the nodes that receive files of each group; see `Destinations`."""
    found: dict[int, list[int]] = {}
    other: set[int] = set()
    for node in sorted(nodes, key=lambda node: node.id):
        if not node.active or node.retired:
            continue
        if node.archive and node.host and not node.fault:
            found.setdefault(node.group_id, []).append(node.id)
        else:
            other.add(node.group_id)
    return {group: tuple(ids) for group, ids in found.items() if group not in other}


def good_on(file: PolicyFile, nodes: Mapping[int, NodeFact]) -> list[int]:
    """Return the nodes whose copies count as good."""
    return _on_separate_media(file, nodes, (HasFile.YES,))


def present_on(file: PolicyFile, nodes: Mapping[int, NodeFact]) -> list[int]:
    """Return the nodes whose copies count as good, or may after a check."""
    return _on_separate_media(file, nodes, PRESENT)


def _on_separate_media(file: PolicyFile, nodes: Mapping[int, NodeFact], states: Collection[str]) -> list[int]:
    found: list[int] = []
    media: set[str] = set()
    for copy in file.copies:
        node = nodes.get(copy.node_id)
        if node is None or not node.keeps or node.id in found:
            continue
        if copy.has_file not in states or copy.wants_file == WantsFile.NO or copy.leaving:
            continue
        if node.medium:
            if node.medium in media:
                continue
            media.add(node.medium)
        found.append(node.id)
    return found


def on_their_way(file: PolicyFile, to: Destinations, there: Sequence[int]) -> list[int]:
    """Return the nodes that will have a copy once the pending requests are done, without those in `there`."""
    groups = {to.places[node].group_id for node in there}
    return [
        to.receivers[group][0]
        for group in dict.fromkeys(file.coming)
        if group in to.receivers and group not in groups
    ]


def is_wanted(file: PolicyFile) -> bool:
    """Return whether any copy is not released; a file whose copies are all released has been given up."""
    return any(copy.has_file in PRESENT and copy.wants_file != WantsFile.NO for copy in file.copies)


def source(file: PolicyFile, to: Destinations) -> int | None:
    """Return the node of the good copy that costs least to copy, None without a good copy.

    Copies that stay are preferred, since a released one is not deleted while it is needed; then those on the host, then
    those that can be read at once, then those at its site.
    """
    site = next((node.site for node in to.nodes.values() if to.host and node.host == to.host), None)
    found: list[tuple[bool, bool, bool, bool, int]] = []
    for copy in file.copies:
        node = to.nodes.get(copy.node_id)
        if node is None or not node.active or not node.host or node.fault:
            continue
        if copy.has_file == HasFile.YES and not copy.leaving:
            released = copy.wants_file == WantsFile.NO
            found.append((released, node.host != to.host, not copy.ready, node.site != site, node.id))
    return min(found)[4] if found else None


def requests(file: PolicyFile, policies: Sequence[Policy], to: Destinations) -> list[PolicyRequest]:
    """Return the requests to create for a file, by the policies that apply to it."""
    due = [policy for policy in policies if not policy.fault and file.age >= policy.min_age]
    if not due or not file.verifiable or not is_wanted(file):
        return []
    have = present_on(file, to.nodes)
    have += on_their_way(file, to, have)
    if not any(lack(policy, have, to.places) for policy in due):
        return []
    node_from = source(file, to)
    if node_from is None:
        return []
    free = _open_groups(file, to)
    chosen: dict[int, Policy] = {}
    for policy in due:
        for group in lack(policy, have, to.places).groups:
            if group in to.receivers:
                # If it is not open here, its host creates the request, so that no other copy is needed instead.
                have.append(to.receivers[group][0])
                if group in free:
                    chosen[group] = policy
    # Those with the least choice first: what they choose serves the others as well.
    for policy in sorted(due, key=lambda one: (not one.groups, -one.sites, -one.copies, one.name)):
        while (next_ := _next(policy, have, [one for one in free if one not in chosen], to)) is not None:
            have.append(to.receivers[next_][0])
            chosen[next_] = policy
    return [
        PolicyRequest(file.file_id, node_from, group, policy.name, file.size_b)
        for group, policy in chosen.items()
    ]


def requests_of_page(
    files: Iterable[PolicyFile], of: Callable[[str], Sequence[Policy]], to: Destinations
) -> list[PolicyRequest]:
    """Return the requests to create for files, each of which takes some of the room.

    `of`: returns the policies that apply to the files of an acquisition.
    """
    taken: dict[int, int] = {}
    left = to._replace(free_b=lambda group: to.free_b(group) - taken.get(group, 0))
    found: list[PolicyRequest] = []
    for file in files:
        for one in requests(file, of(file.acq), left):
            found.append(one)
            taken[one.group_to] = taken.get(one.group_to, 0) + one.size_b
    return found


def _open_groups(file: PolicyFile, to: Destinations) -> list[int]:
    """Return the groups into which the file may be requested, in the order of preference.

    A request into a group with a copy would be cancelled, also if the copy is released.  Groups with a corrupt copy
    come last: it may be one that its owner changed, which is not replaced.
    """
    there = {
        to.places[copy.node_id].group_id: copy.has_file in PRESENT
        for copy in sorted(file.copies, key=lambda copy: copy.has_file in PRESENT)
        if copy.node_id in to.places and copy.has_file != HasFile.NO
    }
    found = [
        group
        for group in to.open
        if group in to.receivers
        and not there.get(group, False)
        and group not in file.coming
        and to.fits(group, file.size_b)
        and to.free_b(group) >= file.size_b
    ]
    return sorted(found, key=lambda group: (group in there, -to.free_b(group), group))


def _next(policy: Policy, have: Sequence[int], free: Sequence[int], to: Destinations) -> int | None:
    """Return the next group to request the file into, None if the policy lacks nothing that this host can serve."""
    short = lack(policy, have, to.places)
    if not short.copies and not short.sites:
        return None
    taken = {to.places[node].group_id for node in have}
    sites = {to.places[node].site for node in have if counts(policy, to.places[node])}
    usable = {group: to.places[ids[0]] for group, ids in to.receivers.items() if group not in taken}
    usable = {group: place for group, place in usable.items() if counts(policy, place)}
    new_sites = {place.site for place in usable.values() if place.site and place.site not in sites}
    # The number of copies that are left to groups at other sites.
    left_over = min(short.sites, len(new_sites))
    at_new = [group for group in free if group in usable and usable[group].site in new_sites]
    if short.sites and at_new:
        return at_new[0]
    if short.copies > left_over:
        return next((group for group in free if group in usable), None)
    return None
