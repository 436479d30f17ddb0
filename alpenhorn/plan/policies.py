"""What files lack by policies, given the nodes whose copies count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from alpenhorn import formats
from alpenhorn.model.policies import CopyPlace, Lack, Policy


def lack(policy: Policy, nodes: Iterable[int], places: Mapping[int, CopyPlace]) -> Lack:
    """Return what a file with copies on these nodes lacks.

    Copies outside of the policy's groups do not count.  A copy at an unknown site counts as a copy, but not for the
    number of sites, unless one site is enough.
    """
    counted = [places[node] for node in nodes if node in places and counts(policy, places[node])]
    sites = {place.site for place in counted if place.site}
    there = {place.group_id for place in counted}
    return Lack(
        max(0, policy.copies - len(counted)),
        max(0, policy.sites - len(sites)) if policy.sites > 1 else 0,
        tuple(group for group in policy.required if group not in there),
    )


def spare(policy: Policy, nodes: Iterable[int], places: Mapping[int, CopyPlace]) -> int:
    """Return how many of the copies on these nodes may be lost, whichever they are, without a lack by the policy.

    Negative if the policy lacks something already.
    """
    counted = [places[node] for node in nodes if node in places and counts(policy, places[node])]
    found = [len(counted) - policy.copies]
    if policy.sites > 1:
        at_sites = sorted(Counter(place.site for place in counted if place.site).values())
        # The fewest losses that leave too few sites empty the sites with the fewest copies.
        emptied = len(at_sites) - policy.sites + 1
        found.append(sum(at_sites[:emptied]) - 1 if emptied > 0 else -1)
    in_groups = Counter(place.group_id for place in counted)
    found += [in_groups[group] - 1 for group in policy.required]
    return min(found)


def shown(policy: Policy, short: Lack) -> str:
    """Return a lack in words, such as "2 more copies, and another site"."""
    parts = []
    if short.copies:
        parts.append(f"{formats.count(short.copies, 'more copy', 'more copies')}")
    if short.sites:
        parts.append("another site" if short.sites == 1 else f"{short.sites} other sites")
    if short.groups:
        parts.append(
            f"a copy in group {' and '.join(policy.group_names.get(id, f'({id})') for id in short.groups)}"
        )
    return ", and ".join(parts)


def counts(policy: Policy, place: CopyPlace) -> bool:
    """Return whether the copies at a place count for a policy."""
    return not policy.groups or place.group_id in policy.groups
