"""`alpenhorn host delete`."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import HOST
from alpenhorn.cli.options import check_option, confirm, force_option
from alpenhorn.edits import hosts as edit_host
from alpenhorn.errors import Refused
from alpenhorn.listings import storage
from alpenhorn.listings.storage import NodeRow
from alpenhorn.scan import names

NAMED = 5  # nodes


@click.command()
@click.argument("name", type=HOST, metavar="HOST")
@check_option
@force_option
@click.option(
    "--remove-nodes", is_flag=True, help="Remove the nodes of the host from it; they stay in the index."
)
@pass_app
def delete(app: App, name: str, check: bool, force: bool, remove_nodes: bool) -> None:
    """A host with nodes cannot be deleted without --remove-nodes.  Its nodes then stay in the index with the records
    of their copies, but are not on any host, so that no run works on them.

    \b
    Examples:
      alpenhorn host delete alp2 --check
      alpenhorn host delete alp2 --remove-nodes
    """
    found = names.host(app.index, name)
    nodes = storage.nodes(app.index, host_id=found.id)
    if nodes and not remove_nodes:
        raise Refused(
            f"host {found.name}: still has {_named(nodes)}; nothing was changed; move"
            f" {'it' if len(nodes) == 1 else 'each'} (alpenhorn node modify {quote(nodes[0].name)} --host HOST), or use"
            " --remove-nodes"
        )
    if not force:
        output.line(
            f"Would delete host {found.name}" + (f", and remove {_named(nodes)} from it." if nodes else ".")
        )
    if check:
        return
    confirm(f"Delete host {found.name}?", force)
    edit_host.delete(app.index, found, [node.id for node in nodes])
    output.line(f"Deleted host {found.name}.")
    if nodes:
        output.line(
            f"No run works on {_named(nodes)}; to use {'it' if len(nodes) == 1 else 'them'} on another host:"
            f" alpenhorn node activate {quote(nodes[0].name) if len(nodes) == 1 else 'NODE'} --host HOST"
        )


def _named(nodes: Sequence[NodeRow]) -> str:
    """`node a`, `nodes a, b`, `nodes a, b, c, d, e and 7 more`."""
    first = ", ".join(node.name for node in nodes[:NAMED])
    more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
    return f"{'node' if len(nodes) == 1 else 'nodes'} {first}{more}"
