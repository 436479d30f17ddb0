"""What needs attention: problems that no run will solve alone, each with the first command to run.

`alpenhorn status`, the metrics, the notifications and the report all show these items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import NamedTuple

from alpenhorn import formats
from alpenhorn.coordinator.run_states import RunState
from alpenhorn.errors import BUSY, DONE
from alpenhorn.index.times import naive
from alpenhorn.listings import status as listing
from alpenhorn.listings.backups import fault
from alpenhorn.listings.runs import RunRow
from alpenhorn.listings.status import NodeStatus, Status
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
    def code(self) -> str | None:
        """The code of the problem, as in JSON documents."""
        return code_in_json(self.what)

    @property
    def line(self) -> str:
        """The problem and the command, unless its text already names one."""
        return str(self.what) if SEE in self.what else f"{self.what}; see: {self.command}"


def items(found: Status, states: Mapping[int, RunState], backup_within_s: float) -> Iterator[Attention]:
    """Yield what needs attention, the most serious first.

    `states`: of the runs of `found`, by id.  `backup_within_s`: the age in seconds at which a backup of the index is
    too old.
    """
    yield from _media_attention(found)
    if found.lost is not None:
        text = formats.count(found.lost.files, "file has", "files have")
        more = "" if found.lost.files == 1 else ", the first"
        yield Attention(
            Code.FILES_WITHOUT_GOOD_COPY(files=text, more=more, example=found.lost.example),
            f"alpenhorn history --file {quote(found.lost.example)}",
        )
    if (bare := found.unverifiable) is not None:
        text = formats.count(bare.files, "requested file has", "requested files have")
        more = "" if bare.files == 1 else ", the first"
        yield Attention(
            Code.REQUESTED_FILES_UNVERIFIABLE(files=text, more=more, example=bare.example),
            f"alpenhorn file modify {quote(bare.example)} --from-copy {bare.node}",
        )
    for node in found.nodes:
        if node.mendable:
            text = formats.count(node.mendable, "bad copy", "bad copies")
            yield Attention(
                Code.BAD_COPIES_REPLACEABLE(copies=text, node=node.node.name),
                f"alpenhorn repair --node {node.node.name}",
            )
    for wrong in ("corrupt", "missing", "suspect"):
        for node in found.nodes:
            copies = getattr(node, wrong)
            if copies:
                name = node.node.name
                text = formats.count(copies, f"{wrong} copy", f"{wrong} copies")
                what = REASONS[wrong](copies=text, node=name)
                yield Attention(what, f"alpenhorn file find --node {name} --{wrong}")
    for failing in found.failing:
        text = formats.count(failing.requests, "request is", "requests are")
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
            Code.LAST_RUN_FAILED(host=run.host, started=formats.time(run.started), how=how),
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
                one.why, f"runs on {host} have reported since {formats.time(naive(one.began))} UTC: {one.why}"
            ),
            f"alpenhorn doctor, on host {host}",
        )


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
                Code.NODE_LEFT_OUT_SINCE(node=one.name, since=formats.time(one.wrong), why=one.why),
                f"alpenhorn doctor, on host {one.host}",
            )
        elif one.distrust is not None:
            yield Attention(
                Code.COPIES_TO_BE_COMPARED(node=one.name, why=one.changed_why),
                f"alpenhorn reconcile --node {one.name}, on host {one.host}",
            )
        elif one.changed is not None and suspect.get(one.node_id):
            text = formats.count(suspect[one.node_id], "copy is", "copies are")
            yield Attention(
                Code.COPIES_TO_BE_READ(copies=text, why=one.changed_why, since=formats.time(one.changed)),
                f"alpenhorn file find --node {one.name} --suspect",
            )


def _node_attention(status: NodeStatus) -> Iterator[Attention]:
    node = status.node
    if not node.active:
        if status.outgoing[0]:
            waits = formats.count(status.outgoing[0], "request waits", "requests wait")
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
    if listing.no_room(node, status.full):
        yield Attention(Code.NODE_WITHOUT_ROOM(node=node.name), f"alpenhorn node show {node.name} --stats")
    if status.free_inodes is not None and status.free_inodes <= SPARE:
        why = Code.NO_INODES(node=node.name, left=status.free_inodes)
        yield Attention(why, f"alpenhorn node show {node.name}")
