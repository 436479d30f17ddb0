"""Creation, changes and deletion of policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.edits.rows import Values, change, refuse_taken
from alpenhorn.edits.rows import create as create_row
from alpenhorn.errors import Refused
from alpenhorn.index.connection import Index
from alpenhorn.model.policies import DEFAULT, Policy
from alpenhorn.scan import policies as scan


class PolicyLists(NamedTuple):
    """Lists of a policy to set; None: unchanged.

    `acqs`: patterns of names of acquisitions; `groups`, `required`: ids of groups.
    """

    acqs: Sequence[str] | None = None
    groups: Sequence[int] | None = None
    required: Sequence[int] | None = None


def create(index: Index, values: Values, lists: PolicyLists) -> None:
    """Create a policy.  `values`: columns of sync_policy.  Raises Refused if the name exists, or if no file could ever
    have what the policy asks for."""
    refuse_taken(index, "sync_policy", values["name"])

    def work() -> None:
        policy_id = create_row(index, "sync_policy", values)
        # SQLite uses the id of a deleted policy again, whose lists another program may have left.
        _set_lists(index, policy_id, PolicyLists(lists.acqs or (), lists.groups or (), lists.required or ()))
        _refuse_impossible(_read(index, policy_id))

    index.retry(work)


def modify(index: Index, policy_id: int, values: Values, lists: PolicyLists) -> bool:
    """Set columns and lists of a policy; return whether anything changed.

    Raises NotFound if it was removed, and Refused as `create` does.
    """

    def work() -> bool:
        lock = index.dialect.for_update
        index.execute(f"SELECT id FROM sync_policy WHERE id = ?{lock}", (policy_id,)).fetchone()
        before = next((policy for policy in scan.load(index).every if policy.id == policy_id), None)
        change(index, "sync_policy", policy_id, values, {})
        _set_lists(index, policy_id, lists)
        after = _read(index, policy_id)
        _refuse_impossible(after)
        return after != before

    return index.retry(work)


def delete(index: Index, policy_id: int) -> None:
    """Delete a policy; do nothing if it was deleted already."""

    def work() -> None:
        for table in ("sync_policy_acq", "sync_policy_group"):
            index.execute(f"DELETE FROM {table} WHERE policy_id = ?", (policy_id,))
        index.execute("DELETE FROM sync_policy WHERE id = ?", (policy_id,))

    index.retry(work)


def _read(index: Index, policy_id: int) -> Policy:
    return next(policy for policy in scan.load(index).every if policy.id == policy_id)


def _set_lists(index: Index, policy_id: int, lists: PolicyLists) -> None:
    if lists.acqs is not None:
        index.execute("DELETE FROM sync_policy_acq WHERE policy_id = ?", (policy_id,))
        index.executemany(
            "INSERT INTO sync_policy_acq (policy_id, pattern) VALUES (?, ?)",
            [(policy_id, pattern) for pattern in dict.fromkeys(lists.acqs)],
        )
    for required, ids in ((0, lists.groups), (1, lists.required)):
        if ids is not None:
            index.execute(
                "DELETE FROM sync_policy_group WHERE policy_id = ? AND required = ?", (policy_id, required)
            )
            index.executemany(
                "INSERT INTO sync_policy_group (policy_id, group_id, required) VALUES (?, ?, ?)",
                [(policy_id, group_id, required) for group_id in dict.fromkeys(ids)],
            )


def _refuse_impossible(policy: Policy) -> None:
    unchanged = f"policy {policy.name!r}: {{}}; nothing was changed"
    if policy.name == DEFAULT and policy.acqs:
        raise Refused(unchanged.format("applies to the files that no other policy matches; omit --acq"))
    if policy.sites > policy.copies:
        raise Refused(
            unchanged.format(
                f"{policy.sites} sites need at least as many copies; use --copies {policy.sites}"
            )
        )
    if len(policy.required) > policy.copies:
        raise Refused(
            unchanged.format(
                f"{len(policy.required)} required groups need at least as many copies; use --copies"
                f" {len(policy.required)}"
            )
        )
    outside = [group for group in policy.required if policy.groups and group not in policy.groups]
    if outside:
        name = policy.group_names[outside[0]]
        raise Refused(
            unchanged.format(f"group {name} is required, but its copies do not count; add --group {name}")
        )
