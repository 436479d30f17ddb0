"""Files that lack what policies ask for, in groups of files alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.model.policies import DEFAULT, Destinations, Policy
from alpenhorn.plan.filing import places, receivers
from alpenhorn.plan.policies import shown
from alpenhorn.plan.policy_gaps import gap, is_kept
from alpenhorn.reasons import Code, Reason, code_of
from alpenhorn.scan import policies, policy_files
from alpenhorn.scan.policy_files import ComparedFile
from alpenhorn.scan.pulls import pending_total
from alpenhorn.scan.tallies import stored_bytes
from alpenhorn.scan.topology import load

PAGE = 5000
AS_IF = 0  # the id of a policy that does not exist


class PolicyGap(NamedTuple):
    """Files that lack the same for the same reason.  `path`: the first of them; `bytes`: their total length."""

    policy: str
    lacks: str
    why: Reason
    files: int
    bytes: int
    path: str


class _Sum(NamedTuple):
    files: int
    bytes: int
    path: str


def gaps(
    index: Index,
    policy: int | None = None,
    acqs: Sequence[int] = (),
    files: Sequence[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
    default_copies: int | None = None,
) -> list[PolicyGap]:
    """Return what files lack; those that lack most copies first.

    `policy`: the id of the only policy to look at; `acqs`: only files of these acquisitions; `files`: only these.
    `default_copies`: the number of copies of the policy `default`, as if there were one.
    """
    every = policies.load(index)
    has_default = False
    if default_copies is not None:
        others = [one for one in every.every if one.name != DEFAULT]
        has_default = len(others) < len(every.every)
        every = policies.Policies([*others, Policy(AS_IF, DEFAULT, default_copies, 1, 0, 0)])
    if not every:
        return []
    to = _destinations(index)
    found: dict[tuple[str, str, Reason], _Sum] = {}
    last = index.value("SELECT MAX(id) FROM archivefile") or 0

    def look(rows: Sequence[ComparedFile]) -> None:
        some = [row for row in rows if any(policy in (None, one.id) for one in every.of(row.acq))]
        for file in policy_files.whole(index, some, index.now()):
            if not is_kept(file):
                continue
            for one in every.of(file.acq):
                if policy not in (None, one.id):
                    continue
                if one.fault:
                    lacks, why = "?", Code.POLICY_INVALID(name=one.name)
                elif short := gap(file, one, to):
                    lacks, why = shown(one, short[0]), short[1]
                    if one.id == AS_IF and code_of(why) is Code.POLICY_NEXT_RUN:
                        code = Code.POLICY_ASKS_LESS if has_default else Code.POLICY_NOT_ASKED
                        why = code(count=one.copies)
                else:
                    continue
                before = found.get((one.name, lacks, why), _Sum(0, 0, f"{file.acq}/{file.name}"))
                found[one.name, lacks, why] = _Sum(before.files + 1, before.bytes + file.size_b, before.path)

    if files is not None:
        look(policy_files.named(index, files))
    else:
        after = 0
        while rows := policy_files.page(index, after, policy_files.LAST_ID, PAGE, acqs):
            look(rows)
            after = rows[-1].file_id
            progress(after, last)
    return [
        PolicyGap(*key, *amounts)
        for key, amounts in sorted(found.items(), key=lambda one: (one[0][0], -one[1].files, one[0]))
    ]


def _destinations(index: Index) -> Destinations:
    """Return the groups of all hosts, with the room that the index knows of."""
    nodes = load(index).nodes
    to = receivers(nodes.values())
    room: dict[int, int] = {}

    def free_b(group: int) -> int:
        if group not in room:
            _, coming = pending_total(index, [group])
            room[group] = max(_free_b(index, nodes[id]) for id in to[group]) - coming
        return room[group]

    return Destinations(
        nodes,
        places(nodes.values()),
        to,
        frozenset(to),
        lambda group, size_b: True,
        free_b,
        None,
    )


def _free_b(index: Index, node: NodeFact) -> int:
    """Return the free space of a node as it was last measured; one that was never measured may have any."""
    free = 2**62 if node.avail_gb is None else int((node.avail_gb - node.min_avail_gb) * GIB)
    if node.max_total_gb is not None:
        free = min(free, int(node.max_total_gb * GIB) - stored_bytes(index, node.id))
    return free
