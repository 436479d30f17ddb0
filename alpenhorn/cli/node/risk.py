"""`alpenhorn node risk`."""

from __future__ import annotations

from functools import partial
from shlex import quote
from typing import NamedTuple

import click

from alpenhorn import formats
from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, ListOptions, column, flag, listing_options, number, size
from alpenhorn.cli.complete import NODE
from alpenhorn.cli.long_work import LongWork, in_pages, until_first_row
from alpenhorn.coordinator.deletable import evidence
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import total as in_database
from alpenhorn.listings import risk as risks
from alpenhorn.listings import storage
from alpenhorn.listings.risk import NodeRisk, Obstacle, Risk
from alpenhorn.listings.stats import FileTally
from alpenhorn.scan import names, rules

FILES = (
    column("path", "File"),
    size("size_b", "Size", "size_b"),
    column("risk", "Risk", lambda row: str(row.risk)),
    flag("suspect", "Suspect"),
    column(
        "elsewhere",
        "Other copies",
        lambda row: list(row.elsewhere),
        shown=lambda names: ", ".join(names) or "-",
    ),
    column(
        "uncounted",
        "Does not count",
        lambda row: list(map(str, row.uncounted)),
        shown=lambda texts: "; ".join(texts) or "-",
    ),
    number("requests", "Requests"),
)


class _Reason(NamedTuple):
    """Copies elsewhere that do not count, as a node and the reason, and the number of files."""

    copies: str
    files: int


class _Remedy(NamedTuple):
    """The first command to run, "" if there is nothing to do.  `on_host`: the host on which to run it, "" for any."""

    command: str
    on_host: str = ""


class _Amount(NamedTuple):
    """A number of files on the node.  `what`: "all"; "lost", which includes "only" and "doubtful"; "suspect"; "few"."""

    what: str
    tally: FileTally


REASONS = (column("copies", "Copies that do not count"), number("files", "Files"))
AMOUNTS = (column("what"), column("files", value="tally.files"), column("size_b", value="tally.bytes"))


@click.command()
@click.argument("name", type=NODE, metavar="NODE")
@click.option("--list", "list_", is_flag=True, help="List the files.")
@listing_options(FILES)
@pass_app
def risk(app: App, name: str, list_: bool, listing: ListOptions) -> None:
    """A file would be lost if no copy elsewhere counts: on another active node that a run has recently found on the
    expected medium, and that is not on the medium of NODE; neither suspect, released, nor being deleted.  The rules
    are those for deletions, except that a copy need not be on an archive node, and may be on a retired one.  Other
    files would be left with fewer good archive copies than archive_copy_count; copies on retired nodes are not among
    these.  The last line is the first command to run.

    With --list, the risk is "only" for files without any other copy that may be good, "doubtful" for files with
    copies that do not count, and "few" for files with too few archive copies.

    Two nodes whose roots are on one disk have different media; the index does not know that they would die together.
    All copies on the node are read.

    \b
    Examples:
      alpenhorn node risk archive1
      alpenhorn node risk archive1 --list --format csv
    """
    for option in ("sort", "limit", "wide"):
        if getattr(listing, option) and not list_:
            raise click.UsageError(f"--{option} needs --list")
    index = app.index
    found = names.node(index, name)
    wanted = evidence(app.config.sync, {})
    form = listing.form
    doing = f"Reading the copies on {name}"
    if list_:
        rows = (file for file in risks.files(index, found.id, wanted) if file.risk is not Risk.SAFE)
        listing.show(
            FILES,
            rows,
            "No file would be lost or have too few archive copies.",
            optional=("Requests", "Suspect", "Size"),
            reading=partial(in_pages if form is Format.TABLE else until_first_row, app, doing),
        )
        return
    with LongWork(app, doing) as work:
        of = risks.count(index, found.id)
        total = risks.summary(index, found.id, wanted, lambda files: work.counted(files, of))
    remedy = _remedy(index, found.id, name, total)
    if form is Format.TABLE:
        _print(name, total, wanted.minimum, remedy)
        return
    amounts = [
        _Amount(what, tally)
        for what, tally in (
            ("all", total.files),
            ("lost", total.lost),
            ("only", total.only),
            ("doubtful", total.doubtful),
            ("suspect", total.suspect),
            ("few", total.few),
        )
    ]
    if form.in_rows:
        columns.show(form, AMOUNTS, amounts)
        return
    output.document(
        {
            "node": name,
            "archive_copy_count": wanted.minimum,
            "amounts": columns.documents(AMOUNTS, amounts),
            "requests": total.requests,
            "uncounted": columns.documents(REASONS, _reasons(total)),
            "command": remedy.command or None,
            "on_host": remedy.on_host or None,
        }
    )


def _reasons(total: NodeRisk) -> list[_Reason]:
    return [_Reason(str(copy), files) for copy, files in total.uncounted]


def _remedy(index: Index, node_id: int, name: str, total: NodeRisk) -> _Remedy:
    """Return the first command to run."""
    if total.only.files or (total.few.files and not total.doubtful.files):
        if not total.target:
            return _Remedy("alpenhorn node create --help")
        group = names.group(index, total.target)
        if in_database(index, rules.unrequested(node_id, group.id)).files:
            return _Remedy(f"alpenhorn node sync {quote(name)} {quote(total.target)}")
        return _Remedy(f"alpenhorn request list --node {quote(name)} --group {quote(total.target)}")
    if not total.uncounted:
        return _Remedy("")
    copy, _ = total.uncounted[0]
    if copy.obstacle is Obstacle.INACTIVE:
        return _Remedy(f"alpenhorn node activate {quote(copy.node)}")
    if copy.obstacle is Obstacle.RELEASED:
        return _Remedy(f"alpenhorn node clean {quote(copy.node)} --cancel")
    hosts = {node.name: node.host for node in storage.nodes(index)}
    return _Remedy("alpenhorn sync", hosts.get(copy.node) or "")


def _print(name: str, total: NodeRisk, minimum: int, remedy: _Remedy) -> None:
    output.fields(
        (
            ("Node", name),
            ("Copies", _amount(total.files)),
            ("Would be lost", _amount(total.lost)),
            ("without another copy", _amount(total.only)),
            ("with copies that do not count", _amount(total.doubtful)),
            ("suspect on this node", _amount(total.suspect)),
            (f"Fewer than {formats.count(minimum, 'archive copy', 'archive copies')}", _amount(total.few)),
            ("Requests without another source", total.requests),
        )
    )
    if total.uncounted:
        output.line("")
        columns.table(REASONS, _reasons(total))
    if remedy.command:
        output.lines(("", f"see: {remedy.command}{f', on host {remedy.on_host}' if remedy.on_host else ''}"))


def _amount(tally: FileTally) -> str:
    return f"{formats.count(tally.files, 'file')} ({output.size(tally.bytes)})" if tally.files else "none"
