"""`alpenhorn host delete`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import HOST
from alpenhorn.cli.options import at_most_one, confirm, force_option
from alpenhorn.edits import hosts as edit_host
from alpenhorn.errors import Refused
from alpenhorn.listings import storage
from alpenhorn.listings.storage import NodeRow
from alpenhorn.scan import names

NAMED = 5  # nodes


@click.command()
@click.argument("name", type=HOST, metavar="HOST")
@click.option("-c", "--check", is_flag=True, help="Only show what would be done.")
@force_option
@click.option("--remove-nodes", is_flag=True, help="Remove its nodes from the host.")
@pass_app
def delete(app: App, name: str, check: bool, force: bool, remove_nodes: bool) -> None:
    """A host with nodes is refused.  With --remove-nodes its nodes stay in the index, with everything known of
    their files, but are on no host, so that no run works on them.

    \b
    Examples:
      alpenhorn host delete alp2 --check
      alpenhorn host delete alp2 --remove-nodes
    """
    at_most_one(check=check, force=force)
    found = names.host(app.index, name)
    nodes = storage.nodes(app.index, host_id=found.id)
    if nodes and not remove_nodes:
        raise Refused(
            f"{_listed(nodes)} on host {found.name}; nothing was changed; move"
            f" {'it' if len(nodes) == 1 else 'each'} (alpenhorn node modify {nodes[0].name} --host HOST), or take"
            f" {'it' if len(nodes) == 1 else 'them'} off it with --remove-nodes"
        )
    if not force:
        output.line(
            f"Would delete host {found.name}" + (f", and take {_named(nodes)} off it." if nodes else ".")
        )
    if check:
        return
    confirm(f"Delete host {found.name}?", force)
    edit_host.delete(app.index, found, [node.id for node in nodes])
    output.line(f"Deleted host {found.name}.")
    if nodes:
        output.line(
            f"No run works on {_named(nodes)} before:"
            f" alpenhorn node activate {nodes[0].name if len(nodes) == 1 else 'NODE'} --host HOST"
        )


def _named(nodes: Sequence[NodeRow]) -> str:
    """`node a`, `nodes a, b`, `nodes a, b, c, d, e and 7 more`."""
    first = ", ".join(node.name for node in nodes[:NAMED])
    more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
    return f"{'node' if len(nodes) == 1 else 'nodes'} {first}{more}"


def _listed(nodes: Sequence[NodeRow]) -> str:
    return f"{_named(nodes)} {'is' if len(nodes) == 1 else 'are'}"
