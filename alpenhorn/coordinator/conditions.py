"""Comparison of the conditions that a run met with those that earlier runs reported."""

from __future__ import annotations

from alpenhorn.config import Config
from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model.conditions import IMPORTS, Condition
from alpenhorn.plan.conditions import decide, joined, span, was_checked
from alpenhorn.reasons import Code, Reason
from alpenhorn.record import conditions as record
from alpenhorn.scan import conditions as scan


def settle(index: Index, config: Config, asked: Asked, report: Report) -> None:
    """Suppress conditions that were reported recently, and report those that have ended.

    Without conditions this takes one query.
    """
    remind = config.sync.remind_after
    if not remind or asked.manifest or asked.reconcile is not None:
        return
    host = config.sync.host
    stored = scan.of_host(index, host)
    met = report.lasting()
    if not (stored or met):
        return
    now = posix(index.now())
    texts = {key: joined(some) for key, some in met.items()}
    decided = decide(
        stored, texts, now, remind, asked.unwatched, lambda one: _was_checked(one, asked, report)
    )
    record.write(index, host, decided.written, decided.removed)
    # The nodes that are back are reported one by one.
    report.over = [
        _over(one, span(now - one.began), report)
        for one in decided.over
        if one.code != Code.RUN_NO_NODE and not one.subject.startswith(IMPORTS)
    ]
    if asked.unwatched:
        report.leave_out(met.keys() - decided.reported)


def _was_checked(condition: Condition, asked: Asked, report: Report) -> bool:
    """Return whether the run would have met the condition if it still existed."""
    if asked.nodes or asked.only or report.stopped or report.out_of_time or report.no_node:
        return False
    return was_checked(condition, report.unknown, report.left_out)


def _over(condition: Condition, after: str, report: Report) -> Reason:
    # A node that was deactivated, renamed or moved to another host is not worked on any more, but not back either.
    if condition.code == Code.NODE_LEFT_OUT and condition.subject in report.nodes:
        return Code.NODE_BACK(node=condition.subject, span=after)
    if condition.code == Code.HOST_SILENT and condition.subject in report.reached:
        return Code.HOST_BACK(host=condition.subject, span=after)
    return Code.OVER(why=condition.why, span=after)
