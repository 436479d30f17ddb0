"""Why a file lacks what a policy asks for, and what would have to happen."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn import formats
from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.policies import Destinations, Lack, Policy, PolicyFile
from alpenhorn.plan.filing import PRESENT, good_on, is_wanted, on_their_way, present_on, requests, source
from alpenhorn.plan.policies import counts, lack
from alpenhorn.reasons import Code, Reason

MOST_NAMED = 3  # nodes in one reason


def is_kept(file: PolicyFile) -> bool:
    """Return whether there is, or should be, a copy of a file; otherwise it has been given up, or never existed."""
    return any(copy.has_file != HasFile.NO or copy.wants_file == WantsFile.YES for copy in file.copies)


def gap(file: PolicyFile, policy: Policy, to: Destinations) -> tuple[Lack, Reason] | None:
    """Return what a file lacks by a policy, and why it has not got that yet; None if it lacks nothing.

    `to`: with all hosts' groups open, and room by the index.
    """
    short = lack(policy, good_on(file, to.nodes), to.places)
    if not short:
        return None
    return short, _why(file, policy, to)


def _why(file: PolicyFile, policy: Policy, to: Destinations) -> Reason:
    if not file.verifiable:
        return Code.FILE_LENGTH_OR_MD5_MISSING()
    there = present_on(file, to.nodes)
    if not lack(policy, there, to.places):
        return Code.POLICY_COPY_SUSPECT()
    if not lack(policy, [*there, *on_their_way(file, to, there)], to.places):
        return Code.POLICY_REQUESTED()
    if source(file, to) is None:
        return Code.POLICY_NO_SOURCE()
    if not is_wanted(file):
        return Code.POLICY_FILE_RELEASED()
    if file.age < policy.min_age:
        return Code.POLICY_FILE_YOUNG(age=formats.age(policy.min_age))
    if made := requests(file, [policy], to):
        hosts = {to.nodes[to.receivers[one.group_to][0]].host or "?" for one in made}
        return Code.POLICY_NEXT_RUN(host=" or ".join(sorted(hosts)))
    return _obstacle(file, policy, to)


def _obstacle(file: PolicyFile, policy: Policy, to: Destinations) -> Reason:
    """Return why no further request can be created for a file that has a good copy."""
    have = present_on(file, to.nodes)
    have += on_their_way(file, to, have)
    short = lack(policy, have, to.places)
    taken = {to.places[node].group_id for node in have}
    sites = {to.places[node].site for node in have if counts(policy, to.places[node])}
    usable = [
        group
        for group, ids in to.receivers.items()
        if group not in taken and counts(policy, to.places[ids[0]])
    ]
    if short.groups:
        usable = [group for group in usable if group in short.groups]
        where = f" in group {' or '.join(policy.group_names.get(id, f'({id})') for id in short.groups)}"
    elif short.sites:
        usable = [group for group in usable if to.places[to.receivers[group][0]].site not in {*sites, None}]
        where = " at another site"
    else:
        where = ""
    if not usable:
        return Code.POLICY_NO_NODE(where=where)
    # A request into a group that has a released copy would be cancelled.
    released = {
        to.places[copy.node_id].group_id
        for copy in file.copies
        if copy.node_id in to.places and copy.has_file in PRESENT
    }
    held = [group for group in usable if group in released]
    if held:
        return Code.POLICY_COPY_RELEASED(node=_names(held, to))
    only = f"the only node{where}" if len(usable) == 1 else f"every node{where}"
    return Code.POLICY_NODES_FULL(only=only, node=_names(usable, to))


def _names(groups: Sequence[int], to: Destinations) -> str:
    names = sorted(to.nodes[to.receivers[group][0]].name for group in groups)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
