"""`alpenhorn status`: the state of every node, preceded by problems that need attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from shlex import quote
from typing import NamedTuple

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, ListingColumn, column, flag, format_option, number, size
from alpenhorn.cli.run_columns import run_document
from alpenhorn.cli.storage_columns import gib_bytes
from alpenhorn.coordinator.run_states import RunState, run_states
from alpenhorn.errors import BUSY, DONE
from alpenhorn.index.times import naive
from alpenhorn.listings import status as scan
from alpenhorn.listings.backups import fault
from alpenhorn.listings.runs import RunRow
from alpenhorn.listings.status import NodeStatus, Status
from alpenhorn.model.conditions import Condition
from alpenhorn.plan.inodes import SPARE
from alpenhorn.reasons import Code, Reason, code_in_json, within

REASONS = {
    "corrupt": Code.COPIES_CORRUPT,
    "missing": Code.COPIES_MISSING,
    "suspect": Code.COPIES_SUSPECT,
}


SEE = "see: alpenhorn "


class Attention(NamedTuple):
    """A problem that needs attention, and the first command to run."""

    what: Reason
    command: str

    @property
    def line(self) -> str:
        """The problem and the command, unless its text already names one."""
        return str(self.what) if SEE in self.what else f"{self.what}; see: {self.command}"


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
    found = scan.status(app.index)
    states = run_states(found.runs, app.host)
    attention = list(_attention(found, states, app.config.database.backup_within))
    if form is Format.CSV:
        columns.show(form, _columns(states), found.nodes)
        return
    if form is Format.JSON:
        output.document(
            {
                "attention": [
                    {"what": one.what, "code": code_in_json(one.what), "command": one.command}
                    for one in attention
                ],
                "conditions": [_condition_document(host, one) for host, one in found.conditions],
                "backup": found.backups.newest and found.backups.newest._asdict(),
                "nodes": columns.documents(_columns(states), found.nodes),
            }
        )
        return
    if not found.nodes:
        output.line("No nodes; to create one: alpenhorn node create NAME")
        return
    if attention:
        output.line("Needs attention:")
        for one in attention:
            output.line(f"  {one.line}")
        output.line("")
    columns.table(_columns(states), found.nodes)


def _attention(found: Status, states: Mapping[int, RunState], backup_within_s: float) -> Iterator[Attention]:
    yield from _media_attention(found)
    if found.lost is not None:
        text = output.count(found.lost.files, "file has", "files have")
        more = "" if found.lost.files == 1 else ", the first"
        yield Attention(
            Code.FILES_WITHOUT_GOOD_COPY(files=text, more=more, example=found.lost.example),
            f"alpenhorn history --file {quote(found.lost.example)}",
        )
    if (bare := found.unverifiable) is not None:
        text = output.count(bare.files, "requested file has", "requested files have")
        more = "" if bare.files == 1 else ", the first"
        yield Attention(
            Code.REQUESTED_FILES_UNVERIFIABLE(files=text, more=more, example=bare.example),
            f"alpenhorn file modify {quote(bare.example)} --from-copy {bare.node}",
        )
    for node in found.nodes:
        if node.mendable:
            text = output.count(node.mendable, "bad copy", "bad copies")
            yield Attention(
                Code.BAD_COPIES_REPLACEABLE(copies=text, node=node.node.name),
                f"alpenhorn repair --node {node.node.name}",
            )
    for wrong in ("corrupt", "missing", "suspect"):
        for node in found.nodes:
            copies = getattr(node, wrong)
            if copies:
                name = node.node.name
                text = output.count(copies, f"{wrong} copy", f"{wrong} copies")
                what = REASONS[wrong](copies=text, node=name)
                yield Attention(what, f"alpenhorn file find --node {name} --{wrong}")
    for failing in found.failing:
        text = output.count(failing.requests, "request is", "requests are")
        yield Attention(
            Code.REQUESTS_FAILING(requests=text, blame=failing.blame),
            f"alpenhorn request show {failing.example}",
        )
    for node in found.nodes:
        yield from _node_attention(node)
    yield from _conditions(found)
    for run in _bad_runs(found, states):
        how = Code.RUN_NOT_ENDED() if run.ended is None else f"ended with status {run.exit_status}"
        if run.ended is not None and run.ending:
            how += f": {run.ending}"
        yield Attention(
            Code.LAST_RUN_FAILED(host=run.host, started=output.time(run.started), how=how),
            f"alpenhorn history --run {run.id}",
        )
    if wrong := fault(found.backups, backup_within_s):
        yield Attention(wrong, "alpenhorn db backup --help")


def _conditions(found: Status) -> Iterator[Attention]:
    """Yield conditions that are not reported already, for a medium or for the last run."""
    wrong = {one.name for one in found.media if one.wrong is not None}
    for host, one in found.conditions:
        if one.code == Code.RUN_NO_NODE or (
            one.subject in wrong and one.code in (Code.NODE_LEFT_OUT, Code.NODE_LOST)
        ):
            continue
        yield Attention(
            within(
                one.why, f"runs on {host} have reported since {output.time(naive(one.began))} UTC: {one.why}"
            ),
            f"alpenhorn doctor, on host {host}",
        )


def _condition_document(host: str, one: Condition) -> dict[str, object]:
    return {
        "host": host,
        "code": one.code,
        "subject": one.subject,
        "why": one.why,
        "began": naive(one.began),
        "seen": naive(one.seen),
    }


def _bad_runs(found: Status, states: Mapping[int, RunState]) -> Iterator[RunRow]:
    """Yield the last run of each host whose outcome is known, if it failed."""
    seen: set[str] = set()
    for run in found.runs:
        if run.host not in found.hosts or run.host in seen:
            continue
        if states[run.id] in (RunState.RUNNING, RunState.UNKNOWN):
            continue
        seen.add(run.host)
        if run.ended is None or run.exit_status not in (DONE, BUSY):
            yield run


def _media_attention(found: Status) -> Iterator[Attention]:
    if found.restored:
        yield Attention(Code.DELETIONS_SUSPENDED(why=found.restored), "alpenhorn reconcile --help")
    suspect = {node.node.id: node.suspect for node in found.nodes}
    for one in found.media:
        if one.wrong is not None:
            yield Attention(
                Code.NODE_LEFT_OUT_SINCE(node=one.name, since=output.time(one.wrong), why=one.why),
                f"alpenhorn doctor, on host {one.host}",
            )
        elif one.distrust is not None:
            yield Attention(
                Code.COPIES_TO_BE_COMPARED(node=one.name, why=one.changed_why),
                f"alpenhorn reconcile --node {one.name}, on host {one.host}",
            )
        elif one.changed is not None and suspect.get(one.node_id):
            text = output.count(suspect[one.node_id], "copy is", "copies are")
            yield Attention(
                Code.COPIES_TO_BE_READ(copies=text, why=one.changed_why, since=output.time(one.changed)),
                f"alpenhorn file find --node {one.name} --suspect",
            )


def _node_attention(status: NodeStatus) -> Iterator[Attention]:
    node = status.node
    if not node.active:
        if status.outgoing[0]:
            waits = output.count(status.outgoing[0], "request waits", "requests wait")
            yield Attention(
                Code.REQUESTS_FOR_INACTIVE_NODE(requests=waits, node=node.name),
                f"alpenhorn node show {node.name}",
            )
        return
    if not node.host or not node.root:
        lacks = Code.ACTIVE_NODE_WITHOUT_ROOT if node.host else Code.ACTIVE_NODE_WITHOUT_HOST
        yield Attention(lacks(node=node.name), f"alpenhorn node show {node.name}")
    elif node.avail_gb_last_checked is None:
        yield Attention(Code.NODE_NOT_WORKED_ON(node=node.name), f"alpenhorn plan --node {node.name}")
    if scan.no_room(node, status.full):
        yield Attention(Code.NODE_WITHOUT_ROOM(node=node.name), f"alpenhorn node show {node.name} --stats")
    if status.free_inodes is not None and status.free_inodes <= SPARE:
        why = Code.NO_INODES(node=node.name, left=status.free_inodes)
        yield Attention(why, f"alpenhorn node show {node.name}")


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
