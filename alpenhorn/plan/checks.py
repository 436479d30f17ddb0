"""Rules for checks: which copies are read now, and when findings are not trusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from alpenhorn.model.checks import CheckFact, CheckFile
from alpenhorn.model.links import LookTotals
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.paths import unsafe
from alpenhorn.reasons import Code, Reason

LEAST_LOOKED = 100  # copies; a third of fewer may be missing from an intact node
LOST_SHARE = 1 / 3


class CheckPlan(NamedTuple):
    """`files`: copies to check now; `left`: (fact, reason) of the others."""

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
    """Return whether the storage is probably incomplete, given the number of copies missing or unreadable.

    One of several disks may not be mounted, or a file system be half restored.
    """
    return looked >= LEAST_LOOKED and lost >= LOST_SHARE * looked


def loss_in_doubt(before: LookTotals, run: LookTotals) -> bool:
    """Return whether the losses found by a run are not trusted.

    A run that checked few copies is judged together with the runs `before` it, since the node was last seen complete:
    otherwise runs that each read a few would record all copies as missing while part of the storage is not mounted.
    """
    if run.looked >= LEAST_LOOKED:
        return storage_in_doubt(*run)
    return storage_in_doubt(before.looked + run.looked, before.lost + run.lost)


def sums_to_keep(before: LookTotals, run: LookTotals) -> LookTotals:
    """Return the sums that later runs are judged with.  A run without losses shows that the node is complete."""
    if not run.lost:
        return LookTotals() if run.looked else before
    if run.looked >= LEAST_LOOKED:
        return run
    return LookTotals(before.looked + run.looked, before.lost + run.lost)


def doubt_reason(node: str, looked: int, lost: int, example: str) -> Reason:
    """Return the reason for not trusting losses, with the numbers and both remedies."""
    return Code.STORAGE_IN_DOUBT(node=node, looked=looked, lost=lost, example=example)
