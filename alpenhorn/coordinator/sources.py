"""Failures of hosts and nodes from which files are pulled.

A host that cannot be reached is recorded once, not for each request.  Nothing is pulled from it until the next attempt
is due, and then one request tries it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.planning import hold_back
from alpenhorn.coordinator.report import Notes
from alpenhorn.model.pulls import PullJob, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.plan.pulls import PullDecision
from alpenhorn.reasons import Code, Reason
from alpenhorn.record import backoff
from alpenhorn.transfer.methods import METHODS


class UnreachedRequests(NamedTuple):
    """Requests whose source could not be reached.

    `spared`: ids of requests for which no failed attempt is counted; `reasons`: by request id.
    """

    spared: frozenset[int] = frozenset()
    reasons: Mapping[int, Reason] = {}


class Sources:
    def __init__(self, context: Context) -> None:
        self._context = context
        if not context.whole.held_back:
            context.whole.held_back = True
            hold_back(context.index, context.config.sync.host, context.planner.troubles)

    def decided(self, decision: PullDecision) -> None:
        """Note that the condition of a source that did not answer is unknown until it is reached."""
        context = self._context
        source = context.topology.nodes.get(decision.fact.node_from_id)
        if source is None or source.host is None or not context.planner.troubles.held:
            return
        if source.host in context.planner.troubles.held:
            context.report.unknown.add((str(Code.HOST_SILENT), source.host))
        if source.id in context.planner.troubles.held:
            context.report.unknown.add((str(Code.SOURCE_UNSEEN), source.name))

    def silent(self, decision: PullDecision, notes: Notes, name: str) -> None:
        """Count another file of a host that could not be reached in this run."""
        source = self._context.topology.nodes[decision.fact.node_from_id]
        if decision.fact.request_id in self._context.whole.unreached:
            return
        assert decision.why
        notes.lasting(decision.why, name, subject=str(source.host), files=True)

    def task_ended(self, job: PullJob, results: tuple[PullResult, ...], timed_out: bool) -> UnreachedRequests:
        """Record failures and successes of the source of a job.

        If the host answered in this run, the failure is that of the request.  A request that timed out, or tried the
        host first, counts a failed attempt too, so that another one is tried next time: it may be the cause.
        """
        context, source = self._context, job.source
        if source.host is None or source.host == context.config.sync.host:
            return UnreachedRequests()
        host, report, troubles = source.host, context.report, context.planner.troubles
        in_session = METHODS[job.method].network
        probe = (in_session and host in troubles.held) or source.id in troubles.held
        found = any(
            result.verdict is Verdict.PULLED or (result.blame is Blame.SOURCE and not result.unmounted)
            for result in results
        )
        unmounted = [result for result in results if result.unmounted]
        # A pull that made progress continues in the next run, and is no failure of the host.
        lost = [
            result
            for result in results
            if result.blame is Blame.NETWORK and not (result.unmounted or result.advanced)
        ]
        if in_session and (found or unmounted):
            report.reached.add(host)
            self._host_answered(job, host)
        if found:
            self._node_found(job)
        reasons: dict[int, Reason] = {}
        if unmounted:
            reasons |= {
                result.file.request_id: Code.SOURCE_UNSEEN(error=unmounted[0].error) for result in unmounted
            }
            if source.id not in troubles.unmounted:
                backoff.node_failed(context.index, context.run, source, unmounted[0].error)
        if lost and host not in report.reached:
            report.unknown.add((str(Code.HOST_SILENT), host))
            silent = troubles.silent.get(host)
            # One with `waits` is from a pull that made progress before the connection was lost.
            if silent is None or silent.waits:
                backoff.host_failed(context.index, context.run, source, lost[0].error)
            if not timed_out:
                why = Code.HOST_SILENT(error=lost[0].error)
                reasons |= {result.file.request_id: why for result in lost}
        return UnreachedRequests(frozenset() if probe else frozenset(reasons), reasons)

    def _host_answered(self, job: PullJob, host: str) -> None:
        context = self._context
        context.report.unknown.discard((str(Code.HOST_SILENT), host))
        if context.planner.answered(host):
            backoff.host_answered(context.index, context.run, job.source)
            context.changed = True  # other requests for it were waiting

    def _node_found(self, job: PullJob) -> None:
        context = self._context
        context.report.unknown.discard((str(Code.SOURCE_UNSEEN), job.source.name))
        if context.planner.answered(job.source.id):
            backoff.node_found(context.index, context.run, job.source)
            context.changed = True
