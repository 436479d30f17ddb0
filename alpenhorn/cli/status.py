"""`alpenhorn status`: the state of every node, preceded by problems that need attention."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, ListingColumn, column, flag, format_option, number, size
from alpenhorn.cli.run_columns import run_document
from alpenhorn.cli.storage_columns import gib_bytes
from alpenhorn.coordinator.run_states import RunState, run_states
from alpenhorn.index.times import naive
from alpenhorn.listings import status as listing
from alpenhorn.listings.runs import RunRow
from alpenhorn.listings.status import NodeStatus
from alpenhorn.model.conditions import Condition
from alpenhorn.monitoring import attention


@click.command()
@format_option
@pass_app
def status(app: App, form: Format) -> None:
    """The table shows for each node how full it is, the files requested into its group (In) and from it (Out),
    import requests, copies that are not good, and the last run.  Problems that need attention are listed above
    the table.

    \b
    Example:
      alpenhorn status
    """
    found = listing.status(app.index)
    states = run_states(found.runs, app.host)
    items = list(attention.items(found, states, app.config.database.backup_within))
    if form is Format.CSV:
        columns.show(form, _columns(states), found.nodes)
        return
    if form is Format.JSON:
        output.document(
            {
                "attention": [{"what": one.what, "code": one.code, "command": one.command} for one in items],
                "conditions": [_condition_document(host, one) for host, one in found.conditions],
                "backup": found.backups.newest and found.backups.newest._asdict(),
                "nodes": columns.documents(_columns(states), found.nodes),
            }
        )
        return
    if not found.nodes:
        output.line("No nodes; to create one: alpenhorn node create NAME")
        return
    if items:
        output.line("Needs attention:")
        for one in items:
            output.line(f"  {one.line}")
        output.line("")
    columns.table(_columns(states), found.nodes)


def _condition_document(host: str, one: Condition) -> dict[str, object]:
    return {
        "host": host,
        "code": one.code,
        "subject": one.subject,
        "why": one.why,
        "began": naive(one.began),
        "seen": naive(one.seen),
    }


def _columns(states: Mapping[int, RunState]) -> tuple[ListingColumn, ...]:
    """Return the columns for a NodeStatus; `states` has the states of the last runs by their ids."""

    def last_run(status: NodeStatus) -> dict[str, object] | None:
        run = status.last_run
        return None if run is None else run_document(run, states[run.id])

    return (
        column("name", "Node", "node.name"),
        column("group", "Group", "node.group"),
        column("host", "Host", "node.host"),
        flag("active", "Active", "node.active"),
        number("full", "Full", shown=output.percent),
        size("avail_b", "Free", lambda status: gib_bytes(status.node.avail_gb)),
        column("avail_checked", value="node.avail_gb_last_checked"),
        number("", "In", cell=lambda status: _work(status.incoming)),
        column("in.files", value=lambda status: status.incoming[0]),
        column("in.size_b", value=lambda status: status.incoming[1]),
        number("", "Out", cell=lambda status: _work(status.outgoing)),
        column("out.files", value=lambda status: status.outgoing[0]),
        column("out.size_b", value=lambda status: status.outgoing[1]),
        number("imports", "Imports", cell=lambda status: status.imports or "-"),
        column("", "Problems", cell=_bad_copies),
        column("corrupt"),
        column("missing"),
        column("suspect"),
        column("mendable"),
        column("last_run", "Last run", last_run, cell=lambda status: _run(status.last_run, states)),
    )


def _bad_copies(status: NodeStatus) -> str:
    counts = ((status.corrupt, "corrupt"), (status.missing, "missing"), (status.suspect, "suspect"))
    return ", ".join(f"{copies} {word}" for copies, word in counts if copies) or "-"


def _work(work: tuple[int, int]) -> str:
    files, bytes_ = work
    return f"{files} ({output.size(bytes_)})" if files else "-"


def _run(run: RunRow | None, states: Mapping[int, RunState]) -> str:
    if run is None:
        return "-"
    if run.ended is None:
        return f"{_minute(run.started)}, {states[run.id].said}"
    failed = f", {run.failed} failed" if run.failed else ""
    return _minute(run.started) + failed


def _minute(moment: datetime | None) -> str:
    return output.time(moment)[:16]  # without the seconds
