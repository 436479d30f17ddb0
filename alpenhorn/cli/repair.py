"""`alpenhorn repair`: copies that are corrupt or missing, requested anew from a good one."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.options import at_most_one, confirm
from alpenhorn.edits.requests import create_for
from alpenhorn.errors import DONE, FAILED
from alpenhorn.extensions.registry import remote_io
from alpenhorn.index.connection import Index
from alpenhorn.plan.repair import RepairPlanner, Repairs
from alpenhorn.reasons import code_in_json
from alpenhorn.scan import topology as topologies
from alpenhorn.scan.repair import pages
from alpenhorn.scan.topology import Topology

PAGE = 2000


@click.command()
@click.option(
    "--node", "nodes", type=NODE, metavar="NODE", multiple=True, help="Only copies on NODE; may be repeated."
)
@click.option("--check", is_flag=True, help="Only tell what would be done.")
@click.option("--force", is_flag=True, help="Do not ask.")
@json_option
@pass_app
@click.pass_context
def repair(
    ctx: click.Context, app: App, nodes: tuple[str, ...], check: bool, force: bool, as_json: bool
) -> None:
    """Request a good copy for every one that is corrupt or missing.

    Each is requested from the best good copy that can be read, into the group of its node; the next run there
    brings it.  A corrupt copy stays in place until what replaces it has been verified.  What cannot be mended is
    told with the reason, and makes the exit status 1; what is requested already does not.  In JSON: {"requests":
    [{"node", "source", "files", "size_b", "example"}], "left": [{"node", "why", "under_way", "files", "size_b",
    "example", "request"}], "requested": null or how many}.

    \b
    Examples:
      alpenhorn repair --check
      alpenhorn repair --node archive1
    """
    at_most_one(check=check, force=force)
    if as_json and not (check or force):
        raise click.UsageError("--json asks nothing, and needs --check or --force")
    index = app.index
    topology = topologies.load(index)
    repairs = _look(index, topology, nodes)
    if not as_json:
        _show(topology, repairs)
    requested = None
    if not check and repairs.files:
        confirm(f"Request {output.count(repairs.files, 'file')}?", force)
        requested = _request(app, topology, repairs)
        if not as_json:
            output.line(f"Requested {output.count(requested, 'file')}.")
    if as_json:
        _document(topology, repairs, requested)
    ctx.exit(FAILED if repairs.unrepairable else DONE)


def _look(index: Index, topology: Topology, names: tuple[str, ...]) -> Repairs:
    """Raises NotFound for an unknown node."""
    meant = topology.named(names or sorted(node.name for node in topology.nodes.values()))
    planner = RepairPlanner(topology.nodes, topology.groups, remote_io)
    repairs = Repairs()
    for node in meant:
        for page in pages(index, node.id, PAGE):
            for copy in page:
                repairs.add(copy, planner.choose(copy))
    return repairs


def _request(app: App, topology: Topology, repairs: Repairs) -> int:
    now = app.stamp()
    return sum(
        create_for(app.index, file_ids, source_id, topology.nodes[node_id].group_id, now)
        for (source_id, node_id), file_ids in repairs.requests.items()
    )


def _show(topology: Topology, repairs: Repairs) -> None:
    nodes = topology.nodes
    if repairs.wanted:
        output.table(
            ("Node", "From", "Files", "Size"),
            [
                (nodes[node].name, nodes[source].name, amount.files, output.size(amount.bytes))
                for (source, node), amount in repairs.wanted.items()
            ],
            right=("Files", "Size"),
        )
    elif not repairs.left:
        output.line("Nothing to mend: no copy is corrupt or missing.")
    if repairs.left:
        output.heading("Not requested:")
        output.table(
            ("Node", "Files", "Size", "Why not", "The first"),
            [
                (
                    nodes[node].name,
                    amount.files,
                    output.size(amount.bytes),
                    why,
                    f"{amount.example} (request {amount.request})" if amount.request else amount.example,
                )
                for (node, why, _), amount in repairs.left.items()
            ],
            right=("Files", "Size"),
        )


def _document(topology: Topology, repairs: Repairs, requested: int | None) -> None:
    nodes = topology.nodes
    output.document(
        {
            "requests": [
                {
                    "node": nodes[node].name,
                    "source": nodes[source].name,
                    "files": amount.files,
                    "size_b": amount.bytes,
                    "example": amount.example,
                }
                for (source, node), amount in repairs.wanted.items()
            ],
            "left": [
                {
                    "node": nodes[node].name,
                    "why": why,
                    "code": code_in_json(why),
                    "under_way": under_way,
                    "files": amount.files,
                    "size_b": amount.bytes,
                    "example": amount.example,
                    "request": amount.request or None,
                }
                for (node, why, under_way), amount in repairs.left.items()
            ],
            "requested": requested,
        }
    )
