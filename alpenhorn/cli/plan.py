"""`alpenhorn plan`: what a run would do now, and for everything pending that it would not, why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.cli.runs import jobs_option, mass_delete_option, node_option, only_option, workers
from alpenhorn.reasons import code_in_json, code_of

if TYPE_CHECKING:
    from alpenhorn.coordinator.preview import Amount, Item, Line, Plan

HEADERS = ("work", "on", "from", "files", "size", "how")
LEFT_HEADERS = ("work", "on", "from", "files", "size", "why not", "the first")


@click.command()
@node_option
@only_option
@jobs_option
@mass_delete_option
@click.option("--files", is_flag=True, help="List every file.")
@json_option
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
    as_json: bool,
) -> None:
    """Show what a run would do now, and for everything pending that it would not, why.

    Touches nothing.  Like things are shown on one line; --files lists each file.

    \b
    Examples:
      alpenhorn plan
      alpenhorn plan --node archive1 --files
      alpenhorn plan --json
    """
    with workers(app, jobs) as pool:
        from alpenhorn.coordinator.preview import Plan, items
        from alpenhorn.coordinator.report import Asked

        found = Plan()
        asked = Asked(nodes, only, allow_mass_delete=allow_mass_delete)
        planned = items(app.index, pool, app.config, asked, app.now, found)
        if files and as_json:
            from alpenhorn.cli import output

            output.documents(map(_item_document, planned))
        else:
            for item in planned:
                if files:
                    _show_item(item)
    if as_json and not files:
        _document(found)
    elif not as_json:
        _show(found, files)
    ctx.exit(found.exit_status)


def _item_document(item: Item) -> dict[str, Any]:
    return _line(item.line) | {"path": item.path, "size_b": item.size_b, "request": item.request_id}


def _show_item(item: Item) -> None:
    from alpenhorn.cli import output

    line = item.line
    source = f" from {line.source}" if line.source else ""
    output.line(f"{'' if line.planned else 'not '}{line.kind} {item.path} on {line.node}{source}: {line.why}")


def _line(line: Line) -> dict[str, Any]:
    return {
        "work": line.kind,
        "node": line.node,
        "source": line.source or None,
        "planned": line.planned,
        "why": line.why,
        "code": code_in_json(line.why),
    }


def _document(plan: Plan) -> None:
    from alpenhorn.cli import output

    lines = [
        _line(line) | {"files": amount.files, "size_b": amount.bytes, "example": amount.example}
        for line, amount in plan.lines.items()
    ]
    output.document(
        {
            "lines": lines,
            "left_out": plan.left_out,
            "left_out_codes": {node: code_in_json(why) for node, why in plan.left_out.items()},
            "faults": plan.faults,
            "fault_codes": list(map(code_of, plan.faults)),
            "notes": plan.notes,
            "note_codes": list(map(code_of, plan.notes)),
        }
    )


def _show(plan: Plan, listed: bool) -> None:
    from alpenhorn.cli import output
    from alpenhorn.coordinator.nodes import left_out_reason

    def row(line: Line, amount: Amount) -> tuple[object, ...]:
        return (line.kind, line.node, line.source, amount.files, output.size(amount.bytes), line.why)

    planned = [row(line, amount) for line, amount in plan.lines.items() if line.planned]
    left = [(*row(line, amount), amount.example) for line, amount in plan.lines.items() if not line.planned]
    if listed and (planned or left):
        click.echo()
    output.table(HEADERS, planned, right=("files", "size"), empty="Nothing would be done now.")
    if left:
        click.echo("\nPending, and not done now:\n")
        output.table(LEFT_HEADERS, left, right=("files", "size"))
    told: list[str] = [left_out_reason(name, why) for name, why in plan.left_out.items()]
    told += [*plan.faults, *plan.notes]
    output.lines(["", *told] if told else [])
