"""`alpenhorn node modify`."""

from __future__ import annotations

from shlex import quote
from typing import Any

import click

from alpenhorn.cli import io_settings, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, NODE
from alpenhorn.cli.nodes import columns, node_options, note_idle, note_settings, real_roots, report_request
from alpenhorn.cli.options import at_most_one, chosen, io_edits
from alpenhorn.edits import nodes as edit_node
from alpenhorn.listings import storage
from alpenhorn.scan import names, rules
from alpenhorn.scan.manifest import count


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@node_options
@click.option(
    "--auto-import/--no-auto-import", default=None, help="Search the node for new files in each run."
)
@click.option(
    "--group",
    "group_name",
    type=GROUP,
    metavar="GROUP",
    help="Group to which the node, with its copies, is moved.",
)
@click.option("--no-max-total", is_flag=True, help="Remove the maximum total size of its files.")
@pass_app
def modify(
    app: App,
    /,
    name: str,
    group_name: str | None,
    create_group: bool,
    host: str | None,
    activate: bool,
    initialise: bool,
    archive: bool | None,
    no_max_total: bool,
    io_config: dict[str, Any] | None,
    io_vars: dict[str, Any],
    absent_ok: int | None,
    top_acq: str | None,
    site: str | None,
    **properties: Any,
) -> None:
    """Properties that are not given remain unchanged.

    \b
    Examples:
      alpenhorn node modify archive1 --min-avail 500GB --no-auto-import
      alpenhorn node modify disk7 --create-group --activate --init
      alpenhorn node modify disk7 --absent-ok 30
      alpenhorn node modify field1 --top-acq loose-files
    """
    at_most_one(group=group_name, create_group=create_group)
    at_most_one(max_total=properties["max_total"] is not None, no_max_total=no_max_total)
    index = app.index
    found = names.node(index, name)
    (before,) = storage.nodes(index, node_id=found.id)
    values = {
        **columns(app, host, **properties),
        **chosen(archive=archive),
    }
    if no_max_total:
        values["max_total_gb"] = None
    if group_name:
        values["group_id"] = names.group(index, group_name).id
    if activate:
        values["active"] = True
    given = {"io_class": values.pop("io_class")} if "io_class" in values else {}
    edits = io_settings.edits("node", name, given, io_edits(f"node {name}", io_config, io_vars))
    edited = edit_node.modify(
        index,
        found.id,
        values,
        edits,
        app.stamp(),
        new_group=found.name if create_group else "",
        initialise=initialise,
        absent_ok=absent_ok,
        top_acq=top_acq,
        site=site,
        real=real_roots(app, name, values, before),
    )
    if create_group:
        output.line(f"Changed node {name}, now in the new group {name}.")
    elif edited.changed:
        output.line(f"Changed node {name}.")
    elif not initialise:
        output.line("No change.")
    if initialise:
        report_request(edited.requested, f"initialisation of node {name}")
    if activate:
        note_idle(app, found.id)
    if not edits:
        note_settings(app, found.id)
    if archive and not before.archive:
        _note_separate(app, found.id)
        _note_rules(app, found)


def _note_rules(app: App, node: names.NamedRow) -> None:
    """Report rules that release the node's copies, which were set when they were no archive copies."""
    for rule in rules.rules(app.index):
        if rule.autoclean and rule.node_id == node.id:
            output.note(
                f"a rule releases copies on {node.name}, now archive copies, once {rule.group} has them; to remove it:"
                f" alpenhorn node autoclean {quote(node.name)} {quote(rule.group)} --remove"
            )


def _note_separate(app: App, node_id: int) -> None:
    """Report that copies, which may be hard links, count as archive copies only after the next run."""
    copies = count(app.index, node_id)
    if copies:
        does, archived = ("does", "an archive copy") if copies == 1 else ("do", "archive copies")
        output.note(
            f"{output.count(copies, 'existing copy', 'existing copies')} {does} not count as {archived} until the next"
            " run has checked for hard links"
        )
