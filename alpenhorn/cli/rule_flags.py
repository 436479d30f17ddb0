"""Set and remove rules, for `alpenhorn group autosync` and `alpenhorn node autoclean`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.cli import output
from alpenhorn.cli.app import App
from alpenhorn.edits.rules import set_flag
from alpenhorn.index.selections import SelectionPart, total
from alpenhorn.listings import storage
from alpenhorn.scan import names
from alpenhorn.scan.rules import Action

CHECK = "alpenhorn rules check --apply"


class RuleEnds(NamedTuple):
    """The node and the group of a rule."""

    node: storage.NodeRow
    group: names.NamedRow


def rule_ends(app: App, node_name: str, group_name: str) -> RuleEnds:
    """Look up the node and the group of a rule.  Raises NotFound."""
    node = names.node(app.index, node_name)
    group = names.group(app.index, group_name)
    (row,) = storage.nodes(app.index, node_id=node.id)
    return RuleEnds(row, group)


def set_rule(app: App, ends: RuleEnds, action: Action, ends_text: str, remove: bool) -> bool:
    """Set or remove a rule and report it; return whether it is set.  `ends_text` names its node and group."""
    changed = set_flag(app.index, ends.node.id, ends.group.id, action, not remove)
    state = "off" if remove else "on"
    if changed:
        output.line(f"{action.capitalize()} {ends_text} is {state}.")
    else:
        output.line(f"No change: {action} {ends_text} is already {state}.")
    return not remove


def report_existing_copies(app: App, parts: Sequence[SelectionPart], where: str) -> None:
    """Report the existing copies, to which a new rule is not applied automatically."""
    found = total(app.index, parts)
    if found.files:
        copies = output.count(found.files, "copy", "copies")
        output.line(
            f"{copies} ({output.size(found.bytes)}) {where}; to apply the rule to existing copies: {CHECK}"
        )
