"""`alpenhorn node autoclean`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.options import at_most_one
from alpenhorn.cli.releases import archive_refusal
from alpenhorn.cli.rule_flags import report_existing_copies, rule_ends, set_rule
from alpenhorn.cli.usage_hints import HintingCommand
from alpenhorn.scan import rules
from alpenhorn.scan.rules import Action


@click.command(cls=HintingCommand)
@click.argument("node_name", type=NODE, metavar="NODE")
@click.argument("group_name", type=GROUP, metavar="GROUP")
@click.option("--archive-ok", is_flag=True, help="Allow the release of copies on an archive node.")
@click.option("--remove", is_flag=True, help="Remove the rule.")
@pass_app
def autoclean(app: App, node_name: str, group_name: str, archive_ok: bool, remove: bool) -> None:
    """Whenever a copy in GROUP is recorded as good, the copy on NODE is released, and the next run deletes it if that
    is safe.  To apply the rule to existing copies, use `alpenhorn rules check --apply`.  A rule for an archive node
    releases archive copies without asking again, also those that come back later, so it needs --archive-ok.

    \b
    Examples:
      alpenhorn node autoclean field1 offsite
      alpenhorn node autoclean field1 offsite --remove
    """
    at_most_one(archive_ok=archive_ok, remove=remove)
    ends = rule_ends(app, node_name, group_name)
    if ends.node.archive and not (archive_ok or remove):
        raise archive_refusal(ends.node.name)
    ends_text = f"of {ends.node.name} by {ends.group.name}"
    if not set_rule(app, ends, Action.AUTOCLEAN, ends_text, remove):
        return
    least = app.config.sync.archive_copy_count
    needed = f"{output.count(least, 'good copy is', 'good copies are')} on other active archive nodes"
    if ends.node.archive:
        output.note(f"node {ends.node.name} is an archive node: its copies are deleted only while {needed}")
    where = f"on {ends.node.name} also in {ends.group.name}"
    report_existing_copies(app, rules.unreleased(ends.node.id, ends.group.id), where)
