"""`alpenhorn group autosync`."""

from __future__ import annotations

import click

from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.rule_flags import report_existing_copies, rule_ends, set_rule
from alpenhorn.cli.usage_hints import HintingCommand
from alpenhorn.scan import rules
from alpenhorn.scan.rules import Action


@click.command(cls=HintingCommand)
@click.argument("group_name", type=GROUP, metavar="GROUP")
@click.argument("node_name", type=NODE, metavar="NODE")
@click.option("--remove", is_flag=True, help="Remove the rule.")
@pass_app
def autosync(app: App, group_name: str, node_name: str, remove: bool) -> None:
    """Whenever a good copy is imported or pulled onto NODE, the file is requested into GROUP, unless GROUP has it or
    it is already requested there.  To apply the rule to existing copies, use `alpenhorn rules check --apply`.

    \b
    Examples:
      alpenhorn group autosync offsite field1
      alpenhorn group autosync offsite field1 --remove
    """
    ends = rule_ends(app, node_name, group_name)
    ends_text = f"from {ends.node.name} into {ends.group.name}"
    if not set_rule(app, ends, Action.AUTOSYNC, ends_text, remove):
        return
    where = f"on {ends.node.name} neither in {ends.group.name} nor requested there"
    report_existing_copies(app, rules.unrequested(ends.node.id, ends.group.id), where)
