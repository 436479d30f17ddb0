"""Which copies are read now, and what may be believed of what was found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from alpenhorn.model.checks import CheckFact, CheckFile
from alpenhorn.model.links import LookTotals
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.paths import unsafe
from alpenhorn.reasons import Code, Reason

LEAST_LOOKED = 100  # copies; of fewer, a third may be missing without anything being wrong with the node
LOST_SHARE = 1 / 3


class CheckPlan(NamedTuple):
    """`left`: (fact, why) of what is not checked now."""

    files: list[CheckFile]
    left: list[tuple[CheckFact, Reason]]


def choose(facts: Iterable[CheckFact], now: float) -> CheckPlan:
    files: list[CheckFile] = []
    left: list[tuple[CheckFact, Reason]] = []
    for fact in facts:
        if fact.fault:
            left.append((fact, fact.fault))
        elif fact.acq is None or fact.name is None:
            left.append((fact, Code.FILE_ROW_GONE()))
        elif fact.size_b is None or not fact.md5sum:
            left.append((fact, Code.FILE_LENGTH_OR_MD5_MISSING()))
        elif bad_path := unsafe(fact.acq, fact.name):
            left.append((fact, bad_path))
        elif waits(fact.attempt, now):
            left.append((fact, WAITS))
        else:
            files.append(
                CheckFile(
                    fact.copy_id,
                    fact.file_id,
                    f"{fact.acq}/{fact.name}",
                    fact.size_b,
                    fact.md5sum,
                    fact.has_file,
                    fact.wants_file,
                )
            )
    return CheckPlan(files, left)


def storage_in_doubt(looked: int, lost: int) -> bool:
    """Whether so many of the copies looked at on a node are missing or unreadable that it is more likely the
    storage that is not whole (a disk of several not mounted, a file system half restored) than that they
    were lost one by one."""
    return looked >= LEAST_LOOKED and lost >= LOST_SHARE * looked


def loss_in_doubt(before: LookTotals, run: LookTotals) -> bool:
    """Whether what a run found lost is not believed.

    A run that looked at enough copies is judged alone.  One that looked at few is judged with the runs `before` it,
    since the node was last seen whole: otherwise a node of which each run reads a few would be found missing piece by
    piece while part of its storage is not mounted.
    """
    if run.looked >= LEAST_LOOKED:
        return storage_in_doubt(*run)
    return storage_in_doubt(before.looked + run.looked, before.lost + run.lost)


def kept_sums(before: LookTotals, run: LookTotals) -> LookTotals:
    """What later runs are judged with.  A look in which nothing is lost shows that the node is whole."""
    if not run.lost:
        return LookTotals() if run.looked else before
    if run.looked >= LEAST_LOOKED:
        return run
    return LookTotals(before.looked + run.looked, before.lost + run.lost)


def loss_told(node: str, looked: int, lost: int, example: str) -> Reason:
    """What somebody who has to look at that is told: what was seen, and the two ways out."""
    return Code.STORAGE_IN_DOUBT(node=node, looked=looked, lost=lost, example=example)
