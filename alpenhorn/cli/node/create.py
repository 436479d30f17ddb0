"""`alpenhorn node create`."""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli import io_settings, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import NAME
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.nodes import columns, node_options, note_obstacles, real_roots, this_host
from alpenhorn.cli.options import at_most_one, io_edits
from alpenhorn.edits import nodes as edit_node
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=NAME)
@node_options
@click.option("--auto-import", is_flag=True, help="Search the node for new files in each run.")
@click.option("--group", "group_name", type=GROUP, metavar="GROUP", help="Group of the node.")
@pass_app
def create(
    app: App,
    /,
    name: str,
    group_name: str | None,
    create_group: bool,
    host: str | None,
    activate: bool,
    initialise: bool,
    archive: bool | None,
    io_config: dict[str, Any] | None,
    io_vars: dict[str, Any],
    absent_ok: int | None,
    top_acq: str | None,
    site: str | None,
    **properties: Any,
) -> None:
    """A node is a directory tree on a host that holds copies of files.  It belongs to a group: give one with --group,
    or create one with --create-group.  Without --host it is on this host.  Runs work on it once its root exists,
    it is active (--activate), and its root has a marker with its name, which the first run writes if --init or
    `alpenhorn node init` requests it.  What is still missing is printed.

    \b
    Example:
      alpenhorn node create archive1 --create-group --host alp1 --root /srv/archive1 \\
          --archive --activate --init
    """
    at_most_one(group=group_name, create_group=create_group)
    if not group_name and not create_group:
        raise click.UsageError("give --group GROUP or --create-group")
    index = app.index
    here = this_host(app) if host is None else None
    edits = io_edits(f"node {name}", io_config, io_vars)
    values = {
        "name": name,
        "min_avail_gb": 0.0,
        **columns(app, here or host, **properties),
        "active": activate,
        "archive": bool(archive),
        "auto_import": bool(properties["auto_import"]),
        "auto_verify": properties["auto_verify"] or 0,
        **{column: edit(None) for column, edit in edits.items()},
    }
    io_settings.require("node", name, values.get("io_class"), values.get("io_config"))
    group_id = names.group(index, group_name).id if group_name else None
    real = real_roots(app, name, values, None)
    edit_node.create(
        index,
        values,
        app.stamp(),
        group_id=group_id,
        initialise=initialise,
        absent_ok=absent_ok,
        top_acq=top_acq,
        site=site,
        real=real,
    )
    group = f" and group {name}" if create_group else ""
    output.line(f"Created node {name}{group}{f' on this host, {here}' if here else ''}.")
    missing = note_obstacles(app, names.node(index, name).id, initialise)
    if initialise and missing:
        output.line("Its initialisation is requested; the first run that works on it carries it out.")
    elif initialise:
        output.line("The next run on its host initialises it.")
