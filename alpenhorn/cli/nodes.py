"""Options and checks for the commands that change nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

import click

from alpenhorn.cli import io_settings, output
from alpenhorn.cli.app import App, CommandFunction
from alpenhorn.cli.arguments import MOST_COUNT, RootPath, SiteName, Size
from alpenhorn.cli.complete import HOST
from alpenhorn.cli.options import chosen, class_option, io_options, notes_option
from alpenhorn.cli.paths import PathName
from alpenhorn.coordinator.roots import look_at_roots
from alpenhorn.edits import imports as import_requests
from alpenhorn.edits.imports import ImportRequest
from alpenhorn.errors import NotFound, Refused, StorageError
from alpenhorn.extensions.registry import group_io, remote_io
from alpenhorn.listings import storage
from alpenhorn.model.lengths import ACQ_LENGTH
from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.reasons import Code
from alpenhorn.scan import names
from alpenhorn.scan import topology as topologies

MOST_DAYS = 36_500


class TopAcq(PathName):
    """The name of an acquisition, or an empty text."""

    def __init__(self) -> None:
        super().__init__("acquisition", ACQ_LENGTH)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value, param, ctx) if value else ""


host_option = click.option("--host", type=HOST, metavar="HOST", help="Host of the node; '' removes it.")
root_option = click.option(
    "--root", metavar="ROOT", type=RootPath(), help="Root directory of the node on its host."
)


def node_options(command: CommandFunction) -> CommandFunction:
    """Add the options for the properties of a node that `create` and `modify` share."""
    for decorate in (
        root_option,
        notes_option,
        click.option(
            "--min-avail",
            metavar="SIZE",
            type=Size(GIB),
            help="Minimum free space to keep, such as 500GB or 2TiB (a plain number: GiB); nothing is pulled below it.",
        ),
        click.option(
            "--max-total",
            metavar="SIZE",
            type=Size(GIB, positive=True),
            help="Maximum total size of its files, such as 500GB or 2TiB (a plain number: GiB).",
        ),
        io_options,
        click.option(
            "--init",
            "initialise",
            is_flag=True,
            help="Request the initialisation of the node by the next run.",
        ),
        host_option,
        click.option(
            "--create-group",
            is_flag=True,
            help="Create a group with the name of the node, and put the node in it.",
        ),
        class_option,
        click.option(
            "--auto-verify",
            metavar="COUNT",
            type=click.IntRange(0, MOST_COUNT),
            help="Maximum number of copies that each run verifies; 0 disables this.",
        ),
        click.option(
            "--archive/--no-archive", default=None, help="Whether copies on the node count as archive copies."
        ),
        click.option(
            "--absent-ok",
            metavar="DAYS",
            type=click.IntRange(0, MOST_DAYS),
            help="Number of days for which its disk may be away before that needs attention; 0 for none.",
        ),
        click.option(
            "--top-acq",
            metavar="ACQ",
            type=TopAcq(),
            help="Acquisition into which files directly in the root are moved when they are imported; '' for none.",
        ),
        click.option(
            "--site",
            metavar="SITE",
            type=SiteName(),
            help="Site of its storage, if that is not the site of its host; '' for that of its host.",
        ),
        click.option("--activate", is_flag=True, help="Make the node active."),
    ):
        command = decorate(command)
    return command


def real_roots(
    app: App, name: str, values: Mapping[str, Any], before: storage.NodeRow | None
) -> dict[str, str]:
    """Return the real paths of the roots of this host's active nodes, including the edited node.

    For a node on another host return nothing.  Print a note if a new root is already marked as a node's storage.
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
    seen = look_at_roots([root, *here.values()], app.disconnect)
    at_root = seen.get(root)
    if at_root and "root" in values and at_root.owner and at_root.owner != name:
        output.note(
            f"{root}: marked as the storage of node {at_root.owner}; runs do not use it for node {name}"
        )
    elif at_root and "root" in values and at_root.identified and not at_root.owner:
        output.note(f"{root}: was the storage of a node before: it has a file .alpenhorn/identity")
    return {path: one.real for path, one in seen.items()}


def _this_host(app: App) -> int | None:
    try:
        return names.host(app.index, app.host).id
    except NotFound:
        return None


def this_host(app: App) -> str | None:
    """Return the name of this host if the index has it."""
    return None if _this_host(app) is None else app.host


def columns(
    app: App,
    host: str | None,
    *,
    root: str | None = None,
    io_class: str | None = None,
    notes: str | None = None,
    min_avail: float | None = None,
    max_total: float | None = None,
    auto_import: bool | None = None,
    auto_verify: int | None = None,
) -> dict[str, Any]:
    """Return the columns to set for the given options.  Sizes are in bytes.  Raises NotFound for an unknown host."""
    values = chosen(
        root=root,
        io_class=io_class,
        notes=notes,
        min_avail_gb=None if min_avail is None else min_avail / GIB,
        max_total_gb=None if max_total is None else max_total / GIB,
        auto_import=auto_import,
        auto_verify=auto_verify,
    )
    if host is not None:
        values["host_id"] = names.host(app.index, host).id if host else None
    return values


def note_idle(app: App, node_id: int) -> None:
    """Print a note if an active node lacks a host or a root."""
    (node,) = storage.nodes(app.index, node_id=node_id)
    missing = [what for what, value in (("--host HOST", node.host), ("--root DIR", node.root)) if not value]
    if missing:
        output.note(
            f"node {node.name}: runs skip it until it has a host and a root;"
            f" to set them: alpenhorn node modify {quote(node.name)} {' '.join(missing)}"
        )


def note_obstacles(app: App, node_id: int, initialise: bool) -> bool:
    """Print a note about each thing that prevents runs from working on a new node; return whether there is any.

    `initialise`: its initialisation is requested.
    """
    node = topologies.load(app.index).nodes[node_id]
    missing = list(_missing(app, node, initialise))
    if not (node.host and node.root):
        note_idle(app, node_id)
    for text in missing:
        output.note(f"node {node.name}: {text}")
    return bool(missing) or not (node.host and node.root)


def _missing(app: App, node: NodeFact, initialise: bool) -> Iterator[str]:
    """Yield what is missing except a host and a root, each with the command for it."""
    name = quote(node.name)
    if node.host == app.host and node.root:
        root = look_at_roots([node.root], app.disconnect).get(node.root)
        if root is not None and not root.there:
            yield f"its root {node.root} does not exist; to create it: mkdir -p {quote(node.root)}"
        marked = root is not None and bool(root.owner)
    else:
        marked = False
    if not (initialise or marked) and remote_io(node).witness:
        unless = "" if node.host == app.host else ", unless its root has its marker already"
        yield f"it must be initialised{unless}; to request that: alpenhorn node init {name}"
    if not node.active:
        yield f"it is not active; to activate it: alpenhorn node activate {name}"
    elif node.host:
        topology = topologies.load(app.index)
        members = [
            one for one in topology.here(node.host) if one.group_id == node.group_id and not one.retired
        ]
        try:
            group_io(topology.groups[node.group_id], members)
        except StorageError as error:
            yield str(error)


def note_settings(app: App, node_id: int) -> None:
    """Print a note about each problem with the settings of a node's storage class."""
    (node,) = storage.nodes(app.index, node_id=node_id)
    io_settings.note_problems("node", node.name, node.io_class, node.io_config)


def require_files(app: App, node: names.NamedRow, what: str) -> None:
    """Raise Refused for a node whose copies are objects, for which something is not available."""
    if names.keeps_objects(app.index, node):
        raise Refused(Code.NODE_WITHOUT_DIRECTORY(node=node.name, what=what))


def request_import(app: App, request: ImportRequest, what: str) -> None:
    report_request(import_requests.file(app.index, request, app.stamp()), what)


def report_request(filed: bool, what: str) -> None:
    output.line(f"Requested: {what}." if filed else f"Already requested: {what}.")
