"""Policies as facts, and which of them apply to the files of an acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.model.policies import DEFAULT, Policy
from alpenhorn.reasons import Code
from alpenhorn.scan import patterns

POLICIES = "SELECT id, name, copies, sites, min_age, priority FROM sync_policy ORDER BY name"
ACQS = "SELECT policy_id, pattern FROM sync_policy_acq ORDER BY id"
# A group that was removed stays in the policy, which would otherwise count copies in all groups.
GROUPS = """
    SELECT p.policy_id, p.group_id, p.required, g.name AS group_name__name
    FROM sync_policy_group p LEFT JOIN storagegroup g ON g.id = p.group_id ORDER BY p.id
"""


class _AcqRow(NamedTuple):
    policy_id: int
    pattern: str


class _GroupRow(NamedTuple):
    policy_id: int
    group_id: int
    required: bool
    group_name: str | None


class Policies:
    """All policies of the index, as they were read."""

    def __init__(self, every: Sequence[Policy]) -> None:
        self.every = tuple(every)
        self._of_acq: dict[str, tuple[Policy, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self.every)

    def of(self, acq: str) -> tuple[Policy, ...]:
        """Return the policies that apply to the files of an acquisition: those that match its name, else the default.

        A policy with an invalid row applies to all files, since its patterns may be wrong as well.
        """
        found = self._of_acq.get(acq)
        if found is None:
            found = self._of_acq[acq] = self._matching(acq)
        return found

    def _matching(self, acq: str) -> tuple[Policy, ...]:
        matching = tuple(
            policy
            for policy in self.every
            if policy.fault or (policy.name != DEFAULT and _matches(policy, acq))
        )
        if any(not policy.fault for policy in matching):
            return matching
        return matching + tuple(
            policy for policy in self.every if policy.name == DEFAULT and not policy.fault
        )


def load(index: Index) -> Policies:
    """Read all policies: one statement if there are none."""
    policies = index.facts(Policy, POLICIES)
    if not policies:
        return Policies(())
    acqs: dict[int, list[str]] = {}
    for acq in index.facts(_AcqRow, ACQS):
        acqs.setdefault(acq.policy_id, []).append(acq.pattern)
    groups: dict[int, list[_GroupRow]] = {}
    for group in index.facts(_GroupRow, GROUPS, required=bool):
        groups.setdefault(group.policy_id, []).append(group)
    return Policies(
        [_whole(policy, acqs.get(policy.id, ()), groups.get(policy.id, ())) for policy in policies]
    )


def _whole(policy: Policy, acqs: Sequence[str], groups: Sequence[_GroupRow]) -> Policy:
    fault = policy.fault
    if not fault and (policy.copies < 1 or policy.sites < 1):
        fault = Code.POLICY_INVALID(name=policy.name)
    return policy._replace(
        acqs=tuple(acqs),
        groups=frozenset(group.group_id for group in groups if not group.required),
        required=tuple(group.group_id for group in groups if group.required),
        group_names={group.group_id: group.group_name or f"({group.group_id})" for group in groups},
        fault=fault,
    )


def _matches(policy: Policy, acq: str) -> bool:
    return not policy.acqs or any(patterns.matches(pattern, acq) for pattern in policy.acqs)
