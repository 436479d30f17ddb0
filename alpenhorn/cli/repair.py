"""`alpenhorn repair`: request good copies in place of corrupt and missing ones."""

from __future__ import annotations

from operator import itemgetter

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.columns import ListingColumn, column, number, size
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.options import at_most_one, confirm
from alpenhorn.edits.requests import create_for
from alpenhorn.errors import DONE, FAILED
from alpenhorn.extensions.registry import remote_io
from alpenhorn.index.connection import Index
from alpenhorn.plan.repair import RepairAmount, RepairPlanner, Repairs
from alpenhorn.reasons import code_in_json
from alpenhorn.scan import topology as topologies
from alpenhorn.scan.repair import pages
from alpenhorn.scan.topology import Topology

PAGE = 2000
AMOUNT_COLUMNS = (number("files", "Files"), size("size_b", "Size", "bytes"))


@click.command()
@click.option(
    "--node",
    "nodes",
    type=NODE,
    metavar="NODE",
    multiple=True,
    help="Only repair copies on NODE; may be repeated.",
)
@click.option("--check", is_flag=True, help="Only show what would be done.")
@click.option("--force", is_flag=True, help="Do not ask for confirmation.")
@json_option
@pass_app
@click.pass_context
def repair(
    ctx: click.Context, app: App, nodes: tuple[str, ...], check: bool, force: bool, as_json: bool
) -> None:
    """Each file is requested from the best readable good copy into the group of its node; the next run there pulls
    it.  A corrupt copy stays in place until its replacement has been verified.  Copies that cannot be
    repaired are listed with the reason; if a request for them is not already pending, the exit status is 1.

    \b
    Examples:
      alpenhorn repair --check
      alpenhorn repair --node archive1
    """
    at_most_one(check=check, force=force)
    if as_json and not (check or force):
        raise click.UsageError("--json cannot ask for confirmation; use it with --check or --force")
    index = app.index
    topology = topologies.load(index)
    repairs = _choose_sources(index, topology, nodes)
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


def _choose_sources(index: Index, topology: Topology, names: tuple[str, ...]) -> Repairs:
    """Choose a source for each corrupt or missing copy.  Raises NotFound for an unknown node."""
    selected = topology.named(names or sorted(node.name for node in topology.nodes.values()))
    planner = RepairPlanner(topology.nodes, topology.groups, remote_io)
    repairs = Repairs()
    for node in selected:
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


def _request_columns(topology: Topology) -> tuple[ListingColumn, ...]:
    """Return the columns for a pair of (source id, node id) and the amount requested."""
    nodes = topology.nodes
    return (
        column("node", "Node", lambda pair: nodes[pair[0][1]].name),
        column("source", "From", lambda pair: nodes[pair[0][0]].name),
        *(one.of(itemgetter(1)) for one in AMOUNT_COLUMNS),
        column("example", value=lambda pair: pair[1].example),
    )


def _left_columns(topology: Topology) -> tuple[ListingColumn, ...]:
    """Return the columns for a pair of (node id, reason, whether a request is pending) and the amount."""

    def example(amount: RepairAmount) -> str:
        return f"{amount.example} (request {amount.request})" if amount.request else amount.example

    return (
        column("node", "Node", lambda pair: topology.nodes[pair[0][0]].name),
        *(one.of(itemgetter(1)) for one in AMOUNT_COLUMNS),
        column("why", "Why not", lambda pair: pair[0][1]),
        column("code", value=lambda pair: code_in_json(pair[0][1])),
        column("under_way", value=lambda pair: pair[0][2]),
        column("example", "Example", lambda pair: pair[1].example, cell=lambda pair: example(pair[1])),
        column("request", value=lambda pair: pair[1].request or None),
    )


def _show(topology: Topology, repairs: Repairs) -> None:
    if repairs.wanted:
        columns.table(_request_columns(topology), repairs.wanted.items())
    elif not repairs.left:
        output.line("No corrupt or missing copies.")
    if repairs.left:
        output.heading("Not requested:")
        columns.table(_left_columns(topology), repairs.left.items())


def _document(topology: Topology, repairs: Repairs, requested: int | None) -> None:
    output.document(
        {
            "requests": columns.documents(_request_columns(topology), repairs.wanted.items()),
            "left": columns.documents(_left_columns(topology), repairs.left.items()),
            "requested": requested,
        }
    )
