"""The state that all steps of a run share."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Protocol

from alpenhorn.config import Config
from alpenhorn.coordinator.report import Asked, Notes, Report
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.io.base import Group, Node
from alpenhorn.model.links import LookTotals
from alpenhorn.model.nodes import NodeFact, TrashBatch
from alpenhorn.model.tasks import Done, Task, TaskKind
from alpenhorn.plan.limits import Limits
from alpenhorn.plan.pulls import PullPlanner
from alpenhorn.plan.space import Space
from alpenhorn.reasons import Code, Reason, headed
from alpenhorn.record.media import wrong
from alpenhorn.record.run import Run
from alpenhorn.record.separate import forget
from alpenhorn.scan.topology import Topology, load

if TYPE_CHECKING:
    from alpenhorn.model.links import LookTotals
    from alpenhorn.scan.policies import Policies
    from alpenhorn.workers.pool import Activity

MOVED = Code.NODE_MOVED()


class CheckCounts:
    """Counts of a node's copies checked in this run.

    `copies`: checked; `lost`: missing or unreadable; `missing`: missing only.  `before`: the sums of earlier runs;
    `kept`: the sums that the index has now; None if not read yet.
    """

    def __init__(self) -> None:
        self.copies = 0
        self.lost = 0
        self.missing = 0
        self.before: LookTotals | None = None
        self.kept: LookTotals | None = None

    @property
    def sums(self) -> LookTotals:
        return LookTotals(self.copies, self.lost)


class WholeRun:
    """The state of a run that outlives its rounds.

    `stages`: numbers for stages, which are never used twice, since a worker that could not be killed may still write to
    its stage.  `searched`: nodes that were searched for new files; `verified`: nodes whose good copies were read again;
    `deleted`: number of copies deleted, by node; `braked`: nodes whose deletions exceed delete_limit; `relieved`: nodes
    on which copies were deleted to make room; `looked`: counts of checked copies, by node.

    For nodes with tape: `batched`: batches were looked at and begun; `compared`: copies were compared with the tape;
    `recalled`: good copies are being restored to be read again; `thinned`: copies left the disk for headroom; `lost`:
    (node id, file id) of copies found neither on disk nor on tape.

    `moved`: nodes for which unrecorded work was reported; `foreign`: (node id, file id) of paths at which a check found
    a file that was never a good copy, which is reported once.  `held_back`: the hosts that earlier runs could not reach
    are loaded; `unreached`: requests reported with a host that could not be reached.
    `swept`: files were compared with the policies, as many as one run may.  `policies`: as they were last read; None if
    they were not.
    """

    def __init__(self) -> None:
        self.stages = count()
        self.searched: set[int] = set()
        self.verified: set[int] = set()
        self.deleted: dict[int, int] = {}
        self.braked: set[int] = set()
        self.relieved: set[int] = set()
        self.looked: dict[int, CheckCounts] = {}
        self.batched: set[int] = set()
        self.compared: set[int] = set()
        self.recalled: set[int] = set()
        self.thinned: set[int] = set()
        self.lost: set[tuple[int, int]] = set()
        self.moved: set[int] = set()
        self.foreign: set[tuple[int, int]] = set()
        self.held_back = False
        self.unreached: set[int] = set()
        self.swept = False
        self.policies: Policies | None = None


class Context:
    """The state of one round.

    `ios`: the storage objects of the nodes that are worked on, by node id; `groups`: those of their groups.  `free_b`:
    free bytes at the start of the round, None if unknown.  `trash`: what is in the trash of nodes, by node id;
    nodes of which that is unknown are left out.  `changed`: something made new work possible.  `clock`
    returns naive UTC.  `withdraw` removes queued tasks for which the given function returns false; `interrupt` asks a
    running task to end early; `activity` returns what the workers do.

    `deleting`: (node id, file id) of copies queued or claimed for deletion in this round; results of checks of them are
    not recorded, since they may be gone.  `in_use`: the same for files on nodes with tape that are being read or leave
    the disk, since reading a file that leaves would wait for the tape.
    """

    # No dataclass: the decorator and its module would take 2 % of an idle run.
    def __init__(
        self,
        *,
        index: Index,
        config: Config,
        asked: Asked,
        run: Run,
        clock: Callable[[], datetime.datetime],
        topology: Topology,
        ios: dict[int, Node],
        groups: dict[int, Group],
        space: Space,
        planner: PullPlanner,
        report: Report,
        limits: Limits,
        free_b: dict[int, int | None],
        trash: dict[int, tuple[TrashBatch, ...]],
        whole: WholeRun,
        withdraw: Callable[[Callable[[Task], bool]], None],
        interrupt: Callable[[Task], None],
        activity: Callable[[], list[Activity]],
    ) -> None:
        self.index = index
        self.config = config
        self.asked = asked
        self.run = run
        self.clock = clock
        self.topology = topology
        self.ios = ios
        self.groups = groups
        self.space = space
        self.planner = planner
        self.report = report
        self.limits = limits
        self.free_b = free_b
        self.trash = trash
        self.whole = whole
        self.withdraw = withdraw
        self.interrupt = interrupt
        self.activity = activity
        self.deleting: set[tuple[int, int]] = set()
        self.in_use: set[tuple[int, int]] = set()
        self.changed = False

    @property
    def gone(self) -> dict[int, Reason]:
        """Nodes of this host that are not worked on, with reasons."""
        return self.planner.troubles.absent

    def node(self, node_id: int) -> NodeFact:
        return self.topology.nodes[node_id]

    def travels(self, node_id: int) -> bool:
        """Return whether the node is a medium that is carried between hosts."""
        group = self.groups.get(self.node(node_id).group_id)
        return group is not None and group.travels

    def keeps_status(self, node: NodeFact) -> bool:
        """Return whether runs of this host keep the statuses of the node's verified copies, for hard links.

        None is made from or to an archive node.
        """
        return not (self.config.transfer.verify_links or node.archive)

    def posix_now(self) -> float:
        return posix(self.clock())

    def stage(self) -> str:
        """Return a name for a stage that no other job of any run has."""
        return f"run-{self.run.id}-{next(self.whole.stages)}"

    def node_gone(self, node_id: int, why: Reason) -> None:
        """Stop work on a node that hangs or has changed, and let no host rely on it."""
        if node_id not in self.gone:
            wrong(self.index, {node_id: why})
        self._leave_alone(node_id, why, self.report.failures)

    def node_taken_off(self, node_id: int) -> None:
        """Stop work on a node that was deactivated or moved to another host."""
        self._leave_alone(node_id, Code.NODE_TAKEN_OFF(), self.report.warnings)

    def node_moved(self, node_id: int) -> None:
        """Report that work on a node was not recorded, since its host, root or medium was edited."""
        if node_id in self.whole.moved:
            return
        self.whole.moved.add(node_id)
        name = self.node(node_id).name
        self.report.warnings.add(headed(f"node {name}", MOVED))
        self.report.left_out.setdefault(name, MOVED)
        if node_id not in self.gone:
            self.planner.node_absent(node_id, MOVED)

    def _leave_alone(self, node_id: int, why: Reason, notes: Notes) -> None:
        if node_id not in self.gone:
            name = self.node(node_id).name
            self.report.left_out[name] = why
            notes.lasting(Code.NODE_LOST(node=name, why=why), subject=name)
            self.planner.node_absent(node_id, why)

    def linked(self, node: NodeFact, any_linked: bool) -> None:
        """Note that good copies on an archive node have other hard links.

        Its copies do not count as archive copies until a run has checked them for links.
        """
        if any_linked and node.archive:
            forget(self.index, [node.id])

    def reload_nodes(self) -> set[int]:
        """Apply edits of nodes made since the round began; return the nodes that were taken off this host.

        Other edits of nodes in use wait for the next round, since storage objects and locks belong to the old roots.
        """
        rows = load(self.index).called_as_in(self.topology).nodes
        no_longer_separate(self.index, rows.values(), self.config.sync.host)
        off = {
            node_id
            for node_id in self.ios
            if node_id not in self.gone and not self._still_here(rows.get(node_id))
        }
        for node_id in off:
            self.node_taken_off(node_id)
        for node_id in self.ios:
            row = rows.get(node_id)
            if row is not None and row.retired and node_id not in self.planner.troubles.unwritable:
                self.planner.trouble_at_node(node_id, Code.NODE_RETIRED(node=row.name))
                self.withdraw(partial(_not_pulled_onto, node_id))
        nodes = rows | {node_id: self.node(node_id) for node_id in self.ios}
        if nodes != self.topology.nodes:
            self.topology = self.topology._replace(nodes=nodes)
            self.planner.nodes_changed(nodes)
        return off

    def _still_here(self, row: NodeFact | None) -> bool:
        return (
            row is not None
            and row.active
            and row.host == self.config.sync.host
            and row.place == self.node(row.id).place
        )


def _not_pulled_onto(node_id: int, task: Task) -> bool:
    return task.node_id != node_id or task.kind is not TaskKind.PULL


def no_longer_separate(index: Index, nodes: Iterable[NodeFact], host: str) -> None:
    """Reset the mark that copies have no other links, for nodes of this host that are no longer archive nodes."""
    linkable = [node.id for node in nodes if node.separate and not node.archive and node.host == host]
    if linkable:
        forget(index, linkable)


class Worklist(Protocol):
    """One kind of work within one round: yields tasks, and records their results."""

    kind: TaskKind

    def feed(self) -> list[Task]:
        """Return the next tasks, an empty list if there are none now."""
        ...

    def task_ended(self, done: Done) -> None:
        """Record the result of a task."""
        ...

    def task_withdrawn(self, task: Task) -> None:
        """Note that a task was removed from the queue before it was started."""
        ...


class DecidesLate(Worklist, Protocol):
    """A worklist that decides on each task again when a worker is free for it."""

    def decided(self, task: Task) -> Task | None:
        """Return the part of the task that may be carried out now, None if nothing."""
        ...
