"""`alpenhorn status`: the state of every node, preceded by problems that need attention."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import click

from alpenhorn import formats
from alpenhorn.cli import attention_lines, columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, ListOptions, listing_options
from alpenhorn.cli.complete import GROUP, HOST, NODE, names_option
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.run_columns import condition_document
from alpenhorn.cli.status_columns import (
    OPTIONAL,
    RETIREMENTS,
    NodeStatusLine,
    node_columns,
    retirement_line,
    sum_columns,
    sums,
    to_tape_line,
)
from alpenhorn.errors import ATTENTION, DONE
from alpenhorn.listings.retirements import RetirementStatus
from alpenhorn.listings.status import CountedFew
from alpenhorn.monitoring.attention import Attention, Look, look
from alpenhorn.scan import patterns

SHOWN = 3  # items in the line of --check
NODE_COLUMNS = node_columns(wide=False)
SUM_COLUMNS = sum_columns("Name")


@click.command()
@names_option(NODE, "Only NODE, a name or a pattern")
@names_option(GROUP, "Only nodes in GROUP, a name or a pattern")
@names_option(HOST, "Only nodes on HOST, a name or a pattern")
@click.option("-a", "--all", "all_", is_flag=True, help="Include retired nodes in the table.")
@click.option("--attention", is_flag=True, help="Only nodes that need attention.")
@click.option("--by", type=click.Choice(("host", "group")), help="One line for each host or group.")
@click.option(
    "--check", is_flag=True, help="Print one line; exit with status 4 if something needs attention."
)
@listing_options(NODE_COLUMNS, SUM_COLUMNS)
@pass_app
def status(
    app: App,
    nodes: tuple[str, ...],
    groups: tuple[str, ...],
    hosts: tuple[str, ...],
    all_: bool,
    attention: bool,
    by: str | None,
    check: bool,
    listing: ListOptions,
) -> int:
    """Problems that need attention come first, each with the first command to run; on a terminal, of many problems of
    one kind only the first three, unless --wide is given.  The table below shows for each node
    how full it is, its free space, the files requested into its group (In) and from it (Out), copies that are corrupt,
    changed by their owners, missing or suspect (Bad), and how long ago the last run ended, or for how long a disk is
    away that may be (see `alpenhorn node modify --absent-ok`).  Nodes that need attention come first; Items is
    the number of problems of each.  With --wide and in JSON there is more.

    Files that are collected on a disk and not on tape yet are counted above the table.

    Retired nodes have a line of their own until they are deleted (see `alpenhorn node retire`); they are in the table
    only with --all, or if they need attention.

    With --node, --group or --host, only problems of these nodes, groups or hosts are listed.  Files with fewer good
    archive copies than they should have were counted by a run, which is done once a day, because it takes long on a
    large archive; the time is shown.

    --check is for monitoring systems: it prints one line in the form of a Nagios plug-in, and exits with status 0 if
    nothing needs attention, 4 if something does, and 3 if the index cannot be used.  With another --format, only the
    exit status differs.

    \b
    Examples:
      alpenhorn status
      alpenhorn status --by host
      alpenhorn status --host alp1 --attention --wide
      alpenhorn status --check
    """
    form = listing.form
    wanted = {
        kind: {row.name for row in patterns.matching(app.index, kind, given)}
        for kind, given in (("node", nodes), ("group", groups), ("host", hosts))
    }
    with LongWork(app, "Reading the state of the nodes"):
        seen = look(app.index, app.config)
    items = [
        item for item in seen.items if all(not of or getattr(item, kind) in of for kind, of in wanted.items())
    ]
    lines = [
        line
        for line in _lines(seen)
        if all(not of or _place(line, kind) in of for kind, of in wanted.items())
        and (line.items or not attention)
        and (all_ or line.items or not line.status.node.retired)
    ]
    retirements = [one for one in seen.found.retirements if not nodes or one.node.name in wanted["node"]]
    if form is Format.TABLE:
        if check:
            output.line(_check(lines, items, empty=not seen.found.nodes))
        else:
            _print(seen, lines, items, retirements, by, listing)
    elif by is not None:
        listing.show(SUM_COLUMNS, sums(seen, lines, items, by))
    elif form.in_rows:
        listing.show(NODE_COLUMNS, lines)
    else:
        output.document(
            {
                "attention": [_item_document(one) for one in items],
                "conditions": [condition_document(host, one) for host, one in seen.found.conditions],
                "backup": seen.found.backups.newest and seen.found.backups.newest._asdict(),
                "few_copies": _few_document(seen.found.few),
                "retirements": columns.documents(RETIREMENTS, retirements),
                "nodes": columns.documents(NODE_COLUMNS, listing.pick(NODE_COLUMNS, lines)),
            }
        )
    return ATTENTION if check and (items or not seen.found.nodes) else DONE


def _lines(seen: Look) -> list[NodeStatusLine]:
    about: dict[str, list[Attention]] = {}
    for item in seen.items:
        if item.node:
            about.setdefault(item.node, []).append(item)
    return [NodeStatusLine(one, tuple(about.get(one.node.name, ())), seen) for one in seen.found.nodes]


def _place(line: NodeStatusLine, kind: str) -> str | None:
    node = line.status.node
    return {"node": node.name, "group": node.group, "host": node.host}[kind]


def _print(
    seen: Look,
    lines: Sequence[NodeStatusLine],
    items: Sequence[Attention],
    retirements: Sequence[RetirementStatus],
    by: str | None,
    listing: ListOptions,
) -> None:
    if not seen.found.nodes:
        output.line(
            "No nodes; to create one: alpenhorn node create NAME --create-group --root DIR --init --activate"
        )
        return
    if items:
        output.line("Needs attention:")
        if listing.wide or not sys.stdout.isatty():
            output.lines(f"  {one.line}" for one in items)
        else:
            output.lines(attention_lines.lines(items, shutil.get_terminal_size().columns))
        output.line("")
    if retirements:
        output.line("Retired:")
        output.lines(f"  {retirement_line(one)}" for one in retirements)
        output.line("")
    to_tape = [text for line in lines if (text := to_tape_line(line.status))]
    if to_tape:
        output.line("Not on tape yet:")
        output.lines(f"  {text}" for text in to_tape)
        output.line("")
    if by is not None:
        shown = sum_columns(by.capitalize())
        listing.show(shown, sums(seen, lines, items, by), optional=("Active",))
        return
    order = {item: number for number, item in reversed(list(enumerate(seen.items)))}
    first = sorted(lines, key=lambda line: min((order[item] for item in line.items), default=len(seen.items)))
    listing.show(
        node_columns(listing.wide), first, "No such nodes.", optional=() if listing.wide else OPTIONAL
    )


def _check(lines: Sequence[NodeStatusLine], items: Sequence[Attention], empty: bool) -> str:
    """Return the line of a Nagios plug-in: a word, a text, and numbers behind a bar."""
    if empty:
        word, text = "WARNING", "the index has no nodes"
    elif not items:
        word, text = "OK", f"{formats.count(len(lines), 'node')}, nothing needs attention"
    else:
        texts = [str(item.what) for item in items[:SHOWN]]
        if len(items) > SHOWN:
            texts.append(f"and {len(items) - SHOWN} more")
        number = formats.count(len(items), "item needs", "items need")
        word, text = "WARNING", f"{number} attention: {'; '.join(texts)}"
    # A bar in a text would begin the numbers.
    return f"ALPENHORN {word}: {text.replace('|', '/')} | items={len(items)} nodes={len(lines)}"


def _few_document(few: CountedFew | None) -> dict[str, object] | None:
    if few is None:
        return None
    return {"files": few.files, "size_b": few.bytes, "counted": few.at}


def _item_document(one: Attention) -> dict[str, object]:
    return {
        "what": one.what,
        "code": one.code,
        "command": one.command,
        "node": one.node or None,
        "group": one.group or None,
        "host": one.host or None,
        "on_host": one.on_host or None,
    }
