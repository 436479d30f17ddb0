"""What needs attention: problems that no run will solve alone, each with the first command to run.

`alpenhorn status` and the metrics show these items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from shlex import quote
from typing import NamedTuple

from alpenhorn import formats
from alpenhorn.config import Config
from alpenhorn.coordinator.deletable import evidence
from alpenhorn.coordinator.run_states import RunState, run_states
from alpenhorn.errors import BUSY, DONE
from alpenhorn.index.connection import Index
from alpenhorn.index.times import ago, naive
from alpenhorn.listings import status as listing
from alpenhorn.listings.absences import ABSENT
from alpenhorn.listings.backups import fault
from alpenhorn.listings.host_runs import HostRuns
from alpenhorn.listings.runs import RunRow
from alpenhorn.listings.status import NodeStatus, Status
from alpenhorn.listings.storage import NodeRow
from alpenhorn.plan.inodes import SPARE
from alpenhorn.reasons import Code, Reason, code_in_json, named, recorded

REASONS = {
    "corrupt": Code.COPIES_CORRUPT,
    "missing": Code.COPIES_MISSING,
    "suspect": Code.COPIES_SUSPECT,
}
VERIFIED_WITHIN = timedelta(days=365)

SEE = "see: alpenhorn "
FIRST_ITEMS = 3  # of each kind; the others are folded, unless it is only one


class Attention(NamedTuple):
    """A problem that needs attention, and the first command to run.

    `node`, `group`, `host`: names of the one that it is about, "" for none; a node's host and group are given, too.
    `on_host`: the host on which to run the command, "" for any.
    """

    what: Reason
    command: str
    node: str = ""
    group: str = ""
    host: str = ""
    on_host: str = ""

    @property
    def code(self) -> str | None:
        """The code of the problem, as in JSON documents."""
        return code_in_json(self.what)

    @property
    def line(self) -> str:
        """The problem and the command, unless its text already names one."""
        if SEE in self.what:
            return str(self.what)
        return f"{self.what}; see: {self.command}{f', on host {self.on_host}' if self.on_host else ''}"


class Look(NamedTuple):
    """What `status` shows.  `states`: of the runs of `found`, by id; `items`: the most serious first."""

    found: Status
    states: Mapping[int, RunState]
    items: list[Attention]


def look(index: Index, config: Config) -> Look:
    """Read the state of the archive as seen from this host."""
    found = listing.status(index, evidence(config.sync, {}))
    states = run_states(found.runs, config.sync.host)
    return Look(found, states, list(items(found, states, config.database.backup_within)))


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
            f"alpenhorn file modify {quote(bare.example)} --from-copy {quote(bare.node)}",
        )
    for node in found.nodes:
        if node.mendable:
            text = formats.count(node.mendable, "bad copy", "bad copies")
            yield _of_node(
                node.node,
                Code.BAD_COPIES_REPLACEABLE(copies=text, node=node.node.name),
                f"alpenhorn repair --node {quote(node.node.name)}",
            )
    for node in found.nodes:
        if node.changed:
            name = node.node.name
            text = formats.count(node.changed, "copy was", "copies were")
            where = f", on host {node.node.host}" if node.node.host else ""
            yield _of_node(
                node.node,
                Code.COPIES_CHANGED(copies=text, node=name, where=where, example=node.example),
                f"alpenhorn file find --node {quote(name)} --changed",
            )
    for wrong in ("corrupt", "missing", "suspect"):
        for node in found.nodes:
            if copies := getattr(node, wrong):
                name = node.node.name
                text = formats.count(copies, f"{wrong} copy", f"{wrong} copies")
                what = REASONS[wrong](copies=text, node=name)
                yield _of_node(node.node, what, f"alpenhorn file find --node {quote(name)} --{wrong}")
    if (few := found.few) is not None and few.files:
        text = formats.count(few.files, "file has", "files have")
        yield Attention(
            Code.FILES_WITH_FEW_COPIES(files=text, counted=formats.time(few.at)),
            "alpenhorn policy check" + ("" if few.with_default else f" --copies {few.required}"),
        )
    for failing in found.failing:
        text = formats.count(failing.requests, "request is", "requests are")
        yield Attention(
            Code.REQUESTS_FAILING(requests=text, blame=failing.blame),
            f"alpenhorn request show {failing.example}",
        )
    yield from _stranded_requests(found)
    yield from _retirements(found)
    for node in found.nodes:
        yield from _node_attention(node, found)
    yield from _conditions(found)
    for run in _bad_runs(found, states):
        how = Code.RUN_NOT_ENDED() if run.ended is None else f"ended with status {run.exit_status}"
        if run.ended is not None and run.ending:
            how += f": {run.ending}"
        yield Attention(
            Code.LAST_RUN_FAILED(host=run.host, started=formats.time(run.started), how=how),
            f"alpenhorn history --run {run.id}",
            host=run.host,
        )
    for host in found.host_runs:
        if host.is_old(found.now):
            yield from _old_run(host, states, found)
    if wrong := fault(found.backups, backup_within_s):
        yield Attention(wrong, "alpenhorn db backup --help")


def by_kind(items: Sequence[Attention]) -> list[tuple[list[Attention], list[Attention]]]:
    """Return the items of each kind, those to be shown and those to be folded; the kind of the first item first."""
    found: dict[str, list[Attention]] = {}
    for item in items:
        found.setdefault(item.code or item.what, []).append(item)
    return [
        (some, []) if len(some) <= FIRST_ITEMS + 1 else (some[:FIRST_ITEMS], some[FIRST_ITEMS:])
        for some in found.values()
    ]


def _of_node(node: NodeRow, what: Reason, command: str, on_host: str | None = None) -> Attention:
    return Attention(what, command, node.name, node.group, node.host or "", on_host or "")


def _conditions(found: Status) -> Iterator[Attention]:
    """Yield conditions that are not reported already, for a medium or for the last run."""
    wrong = {one.name for one in found.media if one.wrong is not None}
    nodes = {node.node.name: node.node for node in found.nodes}
    for host, one in found.conditions:
        if one.code == Code.RUN_NO_NODE or (
            one.subject in wrong and one.code in (Code.NODE_LEFT_OUT, Code.NODE_LOST)
        ):
            continue
        node = nodes.get(one.subject)
        yield Attention(
            recorded(
                f"runs on {host} have reported since {formats.time(naive(one.began))} UTC: {one.why}",
                one.code,
            ),
            "alpenhorn doctor",
            *((node.name, node.group) if node is not None else ("", "")),
            host=host,
            on_host=host,
        )


def _bad_runs(found: Status, states: Mapping[int, RunState]) -> Iterator[RunRow]:
    """Yield the last run of each host whose outcome is known, if it failed.

    Not if it had nothing to work on because every active node of the host is away, and may be.
    """
    seen: set[str] = set()
    at_home = {node.node.host for node in found.nodes if node.node.active and not _may_be_away(node, found)}
    for run in found.runs:
        if run.host not in found.hosts or run.host in seen:
            continue
        if states[run.id] in (RunState.RUNNING, RunState.UNKNOWN):
            continue
        seen.add(run.host)
        if run.host not in at_home and run.ending == Code.RUN_NO_NODE(host=run.host):
            continue
        if run.ended is None or run.exit_status not in (DONE, BUSY):
            yield run


def _old_run(host: HostRuns, states: Mapping[int, RunState], found: Status) -> Iterator[Attention]:
    """Yield a complaint about a last run that is old.

    Not about one that is running, and not about one that was killed, which is reported already.
    """
    run = host.runs[0]
    about = {"host": host.host, "age": ago(found.now - run.started), "started": formats.time(run.started)}
    if states[run.id] is RunState.ENDED:
        usual = "" if host.usual is None else f"; usually there is one every {ago(host.usual)}"
        yield Attention(
            Code.HOST_RUN_OLD(**about, usual=usual), "alpenhorn doctor", host=host.host, on_host=host.host
        )
    elif states[run.id] is RunState.UNKNOWN:
        yield Attention(
            Code.HOST_RUN_UNENDED(**about), "alpenhorn history", host=host.host, on_host=host.host
        )


def _media_attention(found: Status) -> Iterator[Attention]:
    if found.restored:
        yield Attention(Code.DELETIONS_SUSPENDED(why=found.restored), "alpenhorn reconcile --help")
    by_id = {node.node.id: node for node in found.nodes}
    for one in found.media:
        node = by_id.get(one.node_id)
        if node is None:  # deleted since the media were read
            continue
        if one.wrong is not None:
            # An absence that is allowed is reported once it lasts too long.
            if node.away is None or one.code not in ABSENT:
                yield _of_node(
                    node.node,
                    Code.NODE_LEFT_OUT_SINCE(node=one.name, since=formats.time(one.wrong), why=one.why),
                    "alpenhorn doctor",
                    one.host,
                )
        elif one.distrust is not None:
            yield _of_node(
                node.node,
                Code.COPIES_TO_BE_COMPARED(node=one.name, why=one.changed_why),
                f"alpenhorn reconcile --node {quote(one.name)}",
                one.host,
            )
        elif one.changed is not None and node.suspect:
            text = formats.count(node.suspect, "copy is", "copies are")
            yield _of_node(
                node.node,
                Code.COPIES_TO_BE_READ(copies=text, why=one.changed_why, since=formats.time(one.changed)),
                f"alpenhorn file find --node {quote(one.name)} --suspect",
            )


def _stranded_requests(found: Status) -> Iterator[Attention]:
    """Yield requests that no run on any host carries out because of their group, or since their place was removed."""
    names = {node.node.name for node in found.nodes}
    groups: dict[str, list[NodeStatus]] = {}
    for node in found.nodes:
        groups.setdefault(node.node.group, []).append(node)
    into: dict[str, int] = {}
    nowhere = 0
    for transfer in found.pending:
        if transfer.node not in names or transfer.group not in found.groups:
            nowhere += transfer.files
        else:
            into[transfer.group] = into.get(transfer.group, 0) + transfer.files
    if nowhere:
        yield Attention(
            Code.REQUESTS_WITHOUT_PLACE(requests=_waits(nowhere)), "alpenhorn request list --state pending"
        )
    for group, files in sorted(into.items()):
        nodes = groups.get(group, [])
        serving = [node for node in nodes if not node.node.retired]
        if any(node.node.active or _may_be_away(node, found) for node in serving):
            continue
        if retired := [node.node.name for node in nodes if node.node.retired and node.node.active]:
            yield Attention(
                Code.REQUESTS_FOR_RETIRED_GROUP(
                    requests=_waits(files), group=group, nodes=", ".join(retired)
                ),
                f"alpenhorn group show {quote(group)}",
                group=group,
            )
            continue
        code = Code.REQUESTS_FOR_IDLE_GROUP if nodes else Code.REQUESTS_FOR_EMPTY_GROUP
        yield Attention(
            code(requests=_waits(files), group=group), f"alpenhorn group show {quote(group)}", group=group
        )


def _retirements(found: Status) -> Iterator[Attention]:
    for one in found.retirements:
        name = quote(one.node.name)
        if one.stuck:
            text = formats.count(one.stuck, "file", "files")
            yield _of_node(
                one.node,
                Code.RETIREMENT_STUCK(files=text, node=one.node.name),
                f"alpenhorn node retire {name} --list",
            )
        if not one.served and not one.done:
            text = formats.count(one.left.files + one.missing, "copy is", "copies are")
            yield _of_node(
                one.node,
                Code.RETIREMENT_NOT_SERVED(copies=text, node=one.node.name),
                f"alpenhorn node activate {name}",
            )


def _waits(requests: int) -> str:
    return formats.count(requests, "request waits", "requests wait")


def _may_be_away(node: NodeStatus, found: Status) -> bool:
    return node.away is not None and not node.away.is_over(found.now)


def _node_attention(status: NodeStatus, found: Status) -> Iterator[Attention]:
    """Yield what needs attention about the settings, space, requests and copies of a node."""
    node = status.node
    if (away := status.away) is not None and away.is_over(found.now):
        yield _of_node(
            node,
            Code.NODE_OVERDUE(
                node=node.name, since=formats.time(away.since), days=formats.count(away.days, "day")
            ),
            f"alpenhorn node show {quote(node.name)}",
        )
    if status.imports and not (node.active and node.host) and not _may_be_away(status, found):
        unserved = Code.IMPORTS_FOR_NODE_WITHOUT_HOST if node.active else Code.IMPORTS_FOR_INACTIVE_NODE
        text = formats.count(status.imports, "import request waits", "import requests wait")
        yield _of_node(
            node, unserved(requests=text, node=node.name), f"alpenhorn node show {quote(node.name)} --imports"
        )
    if not node.active:
        if status.outgoing[0] and not _may_be_away(status, found):
            yield _of_node(
                node,
                Code.REQUESTS_FOR_INACTIVE_NODE(requests=_waits(status.outgoing[0]), node=node.name),
                f"alpenhorn node show {quote(node.name)}",
            )
        return
    if not node.host or not node.root:
        lacks = Code.ACTIVE_NODE_WITHOUT_ROOT if node.host else Code.ACTIVE_NODE_WITHOUT_HOST
        yield _of_node(node, lacks(node=node.name), f"alpenhorn node show {quote(node.name)}")
    elif (
        node.avail_gb_last_checked is None and status.last_run is None
    ):  # some storage does not tell its free space
        yield _of_node(
            node,
            Code.NODE_NOT_WORKED_ON(node=node.name),
            f"alpenhorn plan --node {quote(node.name)}",
            node.host,
        )
    if listing.no_room(node, status.full):
        yield _of_node(
            node, Code.NODE_WITHOUT_ROOM(node=node.name), f"alpenhorn node show {quote(node.name)} --stats"
        )
    if status.free_inodes is not None and status.free_inodes <= SPARE:
        why = Code.NO_INODES(node=node.name, left=status.free_inodes)
        yield _of_node(node, why, f"alpenhorn node show {quote(node.name)}")
    if (kept := status.kept) is not None:
        text = formats.count(kept.copies, "released copy", "released copies")
        yield _of_node(
            node,
            Code.RELEASES_KEPT(
                copies=text if kept.exact else f"at least {text}",
                node=node.name,
                example=kept.example,
                why=named(kept.why, kept.example, node.name),
            ),
            f"alpenhorn plan --node {quote(node.name)} --only delete",
            node.host,
        )
    if status.verified is not None and found.now - status.verified > VERIFIED_WITHIN:
        yield _of_node(
            node,
            Code.VERIFICATION_OLD(node=node.name, age=ago(found.now - status.verified)),
            f"alpenhorn node verify {quote(node.name)} --check",
        )
