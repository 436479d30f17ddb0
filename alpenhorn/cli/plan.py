"""`alpenhorn plan`: what a run would do now, and the reason for all other pending work."""

from __future__ import annotations

from operator import itemgetter

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, ListingColumn, ListOptions, column, listing_options, number, size
from alpenhorn.cli.complete import NODE, names_option
from alpenhorn.cli.long_work import LongWork, in_pages
from alpenhorn.cli.runs import jobs_option, mass_delete_option, only_option, workers
from alpenhorn.cli.usage_hints import HintingCommand, nodes_form
from alpenhorn.coordinator.preview import Item, Line, Plan, PlannedAmount, items
from alpenhorn.coordinator.report import Asked
from alpenhorn.reasons import Reason, code_in_json, code_of, named
from alpenhorn.scan import patterns

PLANNING = "Deciding what a run would do"
# For a Line.
WORK_COLUMNS = (
    column("work", "Work", "kind"),
    column("node", "On"),
    column("source", "From", lambda line: line.source or None, cell="source"),
    number("priority", "Priority", cell=lambda line: line.priority or None),
    column("planned"),
    column("why", "Why"),
    column("code", value=lambda line: code_in_json(line.why)),
)
# For an Item.
ITEM_COLUMNS = (
    *(one.of("line") for one in WORK_COLUMNS),
    column("path"),
    column("size_b"),
    column("request", value="request_id"),
)


def _reason(pair: tuple[Line, PlannedAmount]) -> Reason:
    """Return the reason of a line, with the names in its commands if it is about one file."""
    line, amount = pair
    return named(line.why, amount.example, line.source or line.node) if amount.files == 1 else line.why


def _line_columns(
    why: str = "Why", example: str = "", prioritised: bool = False
) -> tuple[ListingColumn, ...]:
    """Return the columns for a pair of a Line and its PlannedAmount, with these headers.

    `prioritised`: tables show priorities.
    """
    *work, reason, code = (one.of(itemgetter(0)) for one in WORK_COLUMNS)
    if not prioritised:
        work = [one.hidden() if one.key == "priority" else one for one in work]
    return (
        *work,
        number("files", "Files", lambda pair: pair[1].files),
        size("size_b", "Size", lambda pair: pair[1].bytes),
        reason.headed(why)._replace(cell=_reason),
        code,
        column("example", example, lambda pair: pair[1].example),
    )


LINE_COLUMNS = _line_columns()


@click.command(cls=HintingCommand, right_form=nodes_form)
@names_option(NODE, "Only work on NODE, a name or a pattern")
@only_option
@jobs_option
@mass_delete_option
@click.option("--files", is_flag=True, help="List each file.")
@listing_options(LINE_COLUMNS, ITEM_COLUMNS)
@pass_app
@click.pass_context
def plan(
    ctx: click.Context,
    app: App,
    nodes: tuple[str, ...],
    only: tuple[str, ...],
    jobs: int | None,
    allow_mass_delete: bool,
    files: bool,
    listing: ListOptions,
) -> None:
    """Nothing is changed.  Files with the same decision and reason share a line; --files lists each file.  Lines with
    `request` are requests that the run would create for policies and retired nodes; it pulls them if it can.  The exit
    status and the notes do not depend on --limit.

    \b
    Examples:
      alpenhorn plan
      alpenhorn plan --node archive1 --files
      alpenhorn plan --files --sort -size_b --limit 10
      alpenhorn plan --json
    """
    form = listing.form
    listing.require_column(ITEM_COLUMNS if files else LINE_COLUMNS)
    with workers(app, jobs) as pool:
        found = Plan()
        chosen = tuple(row.name for row in patterns.matching(app.index, "node", nodes))
        asked = Asked(chosen, only, allow_mass_delete=allow_mass_delete)
        planned = items(app.index, pool, app.config, asked, app.now, found)
        if files:
            rows = in_pages(app, PLANNING, listing.pick(ITEM_COLUMNS, planned))
            if form is Format.TABLE:
                for item in rows:
                    _show_item(item)
            else:
                columns.show(form, ITEM_COLUMNS, rows)
        with LongWork(app, PLANNING):
            for _ in planned:  # what --limit left is counted, too
                pass
    if form is Format.TABLE:
        _show(found, files, listing)
    elif form.in_rows:
        if not files:
            listing.show(LINE_COLUMNS, found.lines.items())
        for note in found.attention:
            output.warning(note)
    elif not files:
        _document(found, listing)
    ctx.exit(found.exit_status)


def _show_item(item: Item) -> None:
    line = item.line
    urgent = f", priority {line.priority}" if line.priority else ""
    source = f" from {line.source}" if line.source else ""
    why = named(line.why, item.path, line.source or line.node)
    where = "into" if line.kind == "request" else "on"
    output.line(
        f"{'' if line.planned else 'not '}{line.kind} {item.path} {where} {line.node}{source}{urgent}: {why}"
    )


def _document(plan: Plan, listing: ListOptions) -> None:
    output.document(
        {
            "lines": columns.documents(LINE_COLUMNS, listing.pick(LINE_COLUMNS, plan.lines.items())),
            "left_out": plan.left_out,
            "left_out_codes": {node: code_in_json(why) for node, why in plan.left_out.items()},
            "faults": plan.faults,
            "fault_codes": list(map(code_of, plan.faults)),
            "notes": plan.notes,
            "note_codes": list(map(code_of, plan.notes)),
        }
    )


def _show(plan: Plan, listed: bool, listing: ListOptions) -> None:
    """Print the tables; `listed`: after a list of the files, to which the order and the limit were applied."""
    lines = list(plan.lines.items() if listed else listing.pick(LINE_COLUMNS, plan.lines.items()))
    planned = [item for item in lines if item[0].planned]
    left = [item for item in lines if not item[0].planned]
    if listed and (planned or left):
        click.echo()
    urgent = any(line.priority for line, _ in lines)
    columns.table(
        _line_columns("How", prioritised=urgent), planned, "Nothing would be done now.", wide=listing.wide
    )
    if left:
        click.echo("\nPending, not done now:\n")
        columns.table(_line_columns("Why not", "Example", urgent), left, wide=listing.wide)
    notes = plan.attention
    output.lines(["", *notes] if notes else [])
