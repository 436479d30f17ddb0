"""`alpenhorn repair`: request good copies in place of corrupt and missing ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, column, format_option, number, refuse_to_ask, size, wide_option
from alpenhorn.cli.complete import NODE, names_option
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.options import check_option, confirm, force_option
from alpenhorn.edits.requests import allow_replacement, create_for
from alpenhorn.errors import DONE, FAILED
from alpenhorn.extensions.registry import remote_io
from alpenhorn.index.bulk import chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import Progress
from alpenhorn.plan.repair import RepairAmount, RepairPlanner, Repairs
from alpenhorn.reasons import Why, code_in_json, named
from alpenhorn.scan import names
from alpenhorn.scan import topology as topologies
from alpenhorn.scan.repair import count, pages
from alpenhorn.scan.topology import Topology

PAGE = 2000


class RepairLine(NamedTuple):
    """Bad copies on a node with the same source, or with the same reason for not being requested.

    `source`: "" if they are not requested; `why` and `under_way` as in `RepairDecision`.
    """

    node: str
    source: str
    why: Why
    under_way: bool
    amount: RepairAmount


def _example(line: RepairLine) -> str:
    request = line.amount.request
    return f"{line.amount.example} (request {request})" if request else line.amount.example


def _reason(line: RepairLine) -> Why:
    """Return the reason, with the names in its commands if it is about one file."""
    amount = line.amount
    return named(line.why, amount.path, line.node, amount.request or None) if amount.files == 1 else line.why


NODE_NAME = column("node", "Node")
SOURCE = column("source", "From", lambda line: line.source or None)
AMOUNT = (number("files", "Files", "amount.files"), size("size_b", "Size", "amount.bytes"))
REASON = (
    column("why", "Why not", lambda line: None if line.source else line.why, cell=_reason),
    column("code", value=lambda line: code_in_json(line.why)),
    column("under_way", value=lambda line: None if line.source else line.under_way),
)
EXAMPLE = column("example", "Example", "amount.example", cell=_example)
REQUEST = column("request", value=lambda line: None if line.source else line.amount.request or None)
# For copies that are requested, for those that are not, and for both.
REQUEST_COLUMNS = (NODE_NAME, SOURCE, *AMOUNT, EXAMPLE.hidden())
LEFT_COLUMNS = (NODE_NAME, *AMOUNT, *REASON, EXAMPLE, REQUEST)
COLUMNS = (NODE_NAME, SOURCE, *AMOUNT, *REASON, EXAMPLE, REQUEST)


@click.command()
@names_option(NODE, "Only repair copies on NODE")
@click.option(
    "--file", "paths", metavar="FILE", multiple=True, help="Only repair copies of FILE; may be repeated."
)
@click.option(
    "--replace",
    is_flag=True,
    help="Also replace copies that were changed after they were registered, or have another SHA-256 sum; the file is"
    " kept.",
)
@check_option
@force_option
@wide_option
@format_option
@pass_app
@click.pass_context
def repair(
    ctx: click.Context,
    app: App,
    nodes: tuple[str, ...],
    paths: tuple[str, ...],
    replace: bool,
    check: bool,
    force: bool,
    wide: bool,
    form: Format,
) -> None:
    """Each file is requested from the best readable good copy into the group of its node; the next run there pulls
    it.  A corrupt copy stays in place until its replacement has been verified.  Copies that cannot be
    repaired are listed with the reason; if a request for them is not already pending, the exit status is 1.

    A copy that was changed after it was registered, probably by the owner of the file, is left alone.  To accept its
    contents, use "alpenhorn file modify FILE --from-copy NODE".  With --replace, the run renames the changed file
    to .NAME.changed-TIME in the same directory, where TIME is its modification time, and pulls the old contents.
    The same applies to a copy that has the MD5 sum in the index, but another SHA-256 sum.

    \b
    Examples:
      alpenhorn repair --check
      alpenhorn repair --node archive1
      alpenhorn repair --replace --node archive1 --file 20260722T000000Z_pilot/0001.h5
    """
    refuse_to_ask(form, check or force, "--check or --force")
    index = app.index
    topology = topologies.load(index)
    files = frozenset(names.file(index, path).id for path in paths)
    with LongWork(app, "Looking for good copies of the files") as work:
        repairs = choose_sources(index, topology, nodes, files, replace, work.at)
    requests, left = list(_requests(topology, repairs)), list(_left(topology, repairs))
    if form is Format.TABLE:
        _show(requests, left, wide)
    requested = None
    if not check and (repairs.files or repairs.changed):
        confirm(_question(repairs), force)
        requested = _request(app, topology, repairs)
        if form is Format.TABLE:
            output.line(f"Requested {output.count(requested, 'file')}.")
            if repairs.changed:
                output.line(f"{_changed(repairs)} be kept as .NAME.changed-TIME in the same directory.")
    if form is Format.JSON:
        _document(requests, left, requested)
    elif form.in_rows:
        columns.show(form, COLUMNS, [*requests, *left])
    ctx.exit(FAILED if repairs.unrepairable else DONE)


def request_repairs(app: App, node: str) -> tuple[int, int]:
    """Request the corrupt and missing copies of a node, as the command does; return the numbers of requests, and of
    copies that cannot be repaired."""
    topology = topologies.load(app.index)
    with LongWork(app, "Looking for good copies of the files") as work:
        repairs = choose_sources(app.index, topology, (node,), frozenset(), False, work.at)
    return _request(app, topology, repairs), repairs.unrepairable


def _question(repairs: Repairs) -> str:
    question = f"Request {output.count(repairs.files, 'file')}?"
    return f"{_changed(repairs)} be kept under another name.  {question}" if repairs.changed else question


def _changed(repairs: Repairs) -> str:
    return f"{output.count(repairs.changed, 'changed file')} will"


def choose_sources(
    index: Index,
    topology: Topology,
    nodes: tuple[str, ...],
    files: frozenset[int],
    replace: bool,
    progress: Progress,
) -> Repairs:
    """Choose a source for each corrupt or missing copy of these files; none: of all files.

    Raises NotFound for an unknown node.
    """
    used = sorted(node.name for node in topology.nodes.values() if not node.retired)
    selected = topology.named(nodes or used)
    planner = RepairPlanner(topology.nodes, topology.groups, remote_io, replace)
    repairs = Repairs()
    at, of = 0, sum(count(index, node.id) for node in selected)
    for node in selected:
        for page in pages(index, node.id, PAGE):
            progress(min(at, of), of)
            at += len(page)
            for copy in page:
                if files and copy.file_id not in files:
                    continue
                repairs.add(copy, planner.choose(copy))
    return repairs


def _request(app: App, topology: Topology, repairs: Repairs) -> int:
    now = app.stamp()
    requested = at = 0
    of = repairs.changed + repairs.files
    with LongWork(app, f"Requesting {output.count(repairs.files, 'file')}", changing=True) as work:
        for node_id, file_ids in repairs.aside.items():
            for some in chunks(file_ids, PAGE):
                work.at(at, of)
                allow_replacement(app.index, node_id, some)
                at += len(some)
        for (source_id, node_id), file_ids in repairs.requests.items():
            group_id = topology.nodes[node_id].group_id
            for some in chunks(file_ids, PAGE):
                work.at(at, of)
                requested += create_for(app.index, some, source_id, group_id, now)
                at += len(some)
    return requested


def _requests(topology: Topology, repairs: Repairs) -> Iterator[RepairLine]:
    nodes = topology.nodes
    for (source_id, node_id), amount in repairs.wanted.items():
        yield RepairLine(nodes[node_id].name, nodes[source_id].name, "", False, amount)


def _left(topology: Topology, repairs: Repairs) -> Iterator[RepairLine]:
    for (node_id, why, under_way), amount in repairs.left.items():
        yield RepairLine(topology.nodes[node_id].name, "", why, under_way, amount)


def _show(requests: list[RepairLine], left: list[RepairLine], wide: bool) -> None:
    if requests:
        columns.table(REQUEST_COLUMNS, requests, wide=wide)
    elif not left:
        output.line("No corrupt or missing copies.")
    if left:
        output.heading("Not requested:")
        columns.table(LEFT_COLUMNS, left, wide=wide)


def _document(requests: list[RepairLine], left: list[RepairLine], requested: int | None) -> None:
    output.document(
        {
            "requests": columns.documents(REQUEST_COLUMNS, requests),
            "left": columns.documents(LEFT_COLUMNS, left),
            "requested": requested,
        }
    )
