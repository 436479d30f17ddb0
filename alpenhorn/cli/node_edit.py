"""`alpenhorn node create`, `modify`, `activate`, `deactivate`, `init` and `scan`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from alpenhorn.cli import io_settings, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP, HOST, NODE
from alpenhorn.cli.options import (
    MOST_COUNT,
    NAME,
    Command,
    Gib,
    Root,
    at_most_one,
    chosen,
    class_option,
    io_edits,
    io_options,
    notes_option,
)
from alpenhorn.cli.paths import path_below
from alpenhorn.edits import imports as import_requests
from alpenhorn.edits import nodes as edit_node
from alpenhorn.edits.imports import ImportRequest
from alpenhorn.errors import NotFound
from alpenhorn.listings import storage
from alpenhorn.scan import names

host_option = click.option(
    "--host", type=HOST, metavar="HOST", help="The host that the node is on; '' for none."
)
root_option = click.option("--root", metavar="ROOT", type=Root(), help="The node's directory on its host.")
register_option = click.option(
    "-n", "--register-new", is_flag=True, help="Also take files that the index does not know."
)


def node_options(command: Command) -> Command:
    """The properties of a node that both `create` and `modify` set."""
    for decorate in (
        root_option,
        notes_option,
        click.option(
            "--min-avail", metavar="SIZE", type=Gib(), help="GiB to keep free: below it nothing is pulled."
        ),
        click.option(
            "--max-total", metavar="SIZE", type=Gib(positive=True), help="GiB that its files may take up."
        ),
        io_options,
        click.option("--init", "initialise", is_flag=True, help="Let the next run initialise it."),
        host_option,
        click.option("--create-group", is_flag=True, help="Create a group of the same name for it."),
        class_option,
        click.option(
            "--auto-verify",
            metavar="COUNT",
            type=click.IntRange(0, MOST_COUNT),
            help="Re-read up to COUNT copies a run; 0 turns it off.",
        ),
        click.option("--archive/--no-archive", default=None, help="Whether its copies count as archived."),
        click.option("--activate", is_flag=True, help="Make the node active at once."),
    ):
        command = decorate(command)
    return command


@click.command()
@click.argument("name", type=NAME)
@node_options
@click.option("--auto-import", is_flag=True, help="Search the node for new files in each run.")
@click.option("--group", "group_name", type=GROUP, metavar="GROUP", help="The group that the node joins.")
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
    min_avail: float | None,
    **properties: Any,
) -> None:
    """Create a storage node.

    A node is a place that holds copies of files: a directory on a host.  It belongs to a group: name one
    with --group, or have one made with --create-group.  Before the node can be used it must be initialised
    (--init, or later `alpenhorn node init`), which marks its root as this node's.

    \b
    Example:
      alpenhorn node create archive1 --create-group --host alp1 --root /srv/archive1 \\
          --archive --activate --init
    """
    at_most_one(group=group_name, create_group=create_group)
    if not group_name and not create_group:
        raise click.UsageError("give --group GROUP, or --create-group")
    index = app.index
    edits = io_edits(f"node {name}", io_config, io_vars)
    values = {
        "name": name,
        **_columns(app, host, **properties),
        "active": activate,
        "archive": bool(archive),
        "auto_import": bool(properties["auto_import"]),
        "auto_verify": properties["auto_verify"] or 0,
        "min_avail_gb": min_avail or 0.0,
        **{column: edit(None) for column, edit in edits.items()},
    }
    io_settings.require("node", name, values.get("io_class"), values.get("io_config"))
    group_id = names.group(index, group_name).id if group_name else None
    real = _real_roots(app, name, values, None)
    edit_node.create(index, values, app.stamp(), group_id=group_id, initialise=initialise, real=real)
    output.line(f"Created node {name}" + (f" and group {name}." if create_group else "."))
    if initialise:
        output.line("The next run on its host initialises it.")
    if activate:
        _note_idle(app, names.node(index, name).id)


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@node_options
@click.option(
    "--auto-import/--no-auto-import", default=None, help="Search the node for new files in each run."
)
@click.option(
    "--group", "group_name", type=GROUP, metavar="GROUP", help="Move the node, with its files, to GROUP."
)
@click.option("--no-max-total", is_flag=True, help="Let its files take up any space.")
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
    min_avail: float | None,
    **properties: Any,
) -> None:
    """Change a node's properties; what is not given stays.

    \b
    Examples:
      alpenhorn node modify archive1 --min-avail 100 --no-auto-import
      alpenhorn node modify disk7 --create-group --activate --init
    """
    at_most_one(group=group_name, create_group=create_group)
    at_most_one(max_total=properties["max_total"] is not None, no_max_total=no_max_total)
    index = app.index
    found = names.node(index, name)
    (before,) = storage.nodes(index, node_id=found.id)
    values = {
        **_columns(app, host, **properties),
        **chosen(archive=archive, min_avail_gb=min_avail),
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
        real=_real_roots(app, name, values, before),
    )
    if create_group:
        output.line(f"Changed node {name}, which is in the new group {name} now.")
    elif edited.changed:
        output.line(f"Changed node {name}.")
    elif not initialise:
        output.line("No change.")
    if initialise:
        _tell_filed(edited.requested, f"initialisation of node {name}")
    if activate:
        _note_idle(app, found.id)
    if not edits:
        _note_settings(app, found.id)
    if archive and not before.archive:
        _note_separate(app, found.id)


def _real_roots(
    app: App, name: str, values: Mapping[str, Any], before: storage.NodeRow | None
) -> dict[str, str]:
    """Where the roots of this host's active nodes lead, the edited one's among them; of other hosts nothing is known.

    Says whose storage lies at a root that is given.
    """
    if not {"root", "host_id", "active"} & values.keys():
        return {}
    rows = storage.nodes(app.index, active=True)
    here = {row.name: row.root for row in rows if row.host == app.host and row.root and row.name != name}
    root = values.get("root", before.root if before else None)
    host_id = values.get("host_id")
    if "host_id" in values:
        is_here = bool(host_id) and host_id == _this_host(app)
    else:
        is_here = before is not None and before.host == app.host
    if not root or not is_here:
        return {}
    from alpenhorn.coordinator.roots import look_at_roots  # few commands need it

    seen = look_at_roots([root, *here.values()], app.disconnect)
    at_root = seen.get(root)
    if at_root and "root" in values and at_root.owner and at_root.owner != name:
        output.note(f"{root} is marked as the storage of node {at_root.owner}; no run works on it as {name}")
    elif at_root and "root" in values and at_root.identified and not at_root.owner:
        output.note(f"{root} has been the storage of a node before: it has a file .alpenhorn/identity")
    return {path: one.real for path, one in seen.items()}


def _this_host(app: App) -> int | None:
    try:
        return names.host(app.index, app.host).id
    except NotFound:
        return None


def _note_separate(app: App, node_id: int) -> None:
    """Say what a run does before copies that may have other names count as archive copies."""
    from alpenhorn.scan.manifest import count

    copies = count(app.index, node_id)
    if copies:
        many = copies > 1
        output.note(
            f"{output.count(copies, 'copy', 'copies')}: the next run makes sure that {'each' if many else 'it'} has"
            f" bytes of its own; until then {'they do' if many else 'it does'} not count as"
            f" {'archive copies' if many else 'an archive copy'}"
        )


def _columns(
    app: App,
    host: str | None,
    *,
    root: str | None = None,
    io_class: str | None = None,
    notes: str | None = None,
    max_total: float | None = None,
    auto_import: bool | None = None,
    auto_verify: int | None = None,
) -> dict[str, Any]:
    """The columns for the options that were given.  Raises NotFound for an unknown host."""
    values = chosen(
        root=root,
        io_class=io_class,
        notes=notes,
        max_total_gb=max_total,
        auto_import=auto_import,
        auto_verify=auto_verify,
    )
    if host is not None:
        values["host_id"] = names.host(app.index, host).id if host else None
    return values


def _note_idle(app: App, node_id: int) -> None:
    """Say why an active node would not be worked on."""
    (node,) = storage.nodes(app.index, node_id=node_id)
    missing = [what for what, value in (("--host HOST", node.host), ("--root DIR", node.root)) if not value]
    if missing:
        output.note(
            f"no run works on {node.name} before this is set:"
            f" alpenhorn node modify {node.name} {' '.join(missing)}"
        )


def _note_settings(app: App, node_id: int) -> None:
    (node,) = storage.nodes(app.index, node_id=node_id)
    io_settings.tell("node", node.name, node.io_class, node.io_config)


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@host_option
@root_option
@pass_app
def activate(app: App, name: str, host: str | None, root: str | None) -> None:
    """Make a node active, so that runs on its host work on it.

    For a disk that travels: where it is now is set in the same step.

    \b
    Example:
      alpenhorn node activate disk7 --host alp2 --root /mnt/disk7
    """
    found = names.node(app.index, name)
    values = {**_columns(app, host, root=root), "active": True}
    (before,) = storage.nodes(app.index, node_id=found.id)
    real = _real_roots(app, name, values, before)
    edited = edit_node.modify(app.index, found.id, values, {}, app.stamp(), real=real)
    output.line(f"Node {name} is active." if edited.changed else f"No change: node {name} is active already.")
    _note_idle(app, found.id)
    _note_settings(app, found.id)


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@pass_app
def deactivate(app: App, name: str) -> None:
    """Make a node inactive, so that no run works on it and nothing is pulled from it.

    \b
    Example:
      alpenhorn node deactivate disk7
    """
    found = names.node(app.index, name)
    edited = edit_node.modify(app.index, found.id, {"active": False}, {}, app.stamp())
    output.line(
        f"Node {name} is inactive." if edited.changed else f"No change: node {name} is inactive already."
    )


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@pass_app
def init(app: App, name: str) -> None:
    """Let the next run on the node's host initialise it.

    Its root must be there then; it is marked as this node's, unless it is another node's already.

    \b
    Example:
      alpenhorn node init archive1
    """
    found = names.node(app.index, name)
    _file(app, import_requests.initialisation(found.id), f"initialisation of node {name}")


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.argument("path", metavar="PATH", default=".", required=False)
@register_option
@pass_app
def scan(app: App, name: str, path: str, register_new: bool) -> None:
    """Let the next run search a node for files.

    PATH is a directory relative to the node's root, or below it; without it the whole node is searched.
    Only files that the index knows are taken, unless --register-new is given.

    \b
    Example:
      alpenhorn node scan field1 20260722T000000Z_pilot --register-new
    """
    found = names.node(app.index, name)
    inner = path_below(path, names.root(app.index, found), name) or "."
    request = ImportRequest(found.id, inner, recurse=True, register=register_new)
    _file(app, request, f"scan of {'node ' + name if inner == '.' else inner + ' on node ' + name}")


def _file(app: App, request: ImportRequest, what: str) -> None:
    _tell_filed(import_requests.file(app.index, request, app.stamp()), what)


def _tell_filed(filed: bool, what: str) -> None:
    output.line(f"Requested: {what}." if filed else f"Already requested: {what}; nothing was added.")
