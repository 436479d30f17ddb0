"""Which suspect copies are read now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from alpenhorn.model import CheckFact, CheckFile
from alpenhorn.plan.paths import unsafe


class CheckPlan(NamedTuple):
    """`left`: (fact, why) of what is not checked now."""

    files: list[CheckFile]
    left: list[tuple[CheckFact, str]]


def choose(facts: Iterable[CheckFact], now: float) -> CheckPlan:
    files: list[CheckFile] = []
    left: list[tuple[CheckFact, str]] = []
    for fact in facts:
        if fact.acq is None or fact.name is None:
            left.append((fact, "the file's row is gone from the index"))
        elif fact.size_b is None or not fact.md5sum:
            left.append((fact, "the index has no length or no MD5 sum for the file"))
        elif bad_path := unsafe(fact.acq, fact.name):
            left.append((fact, bad_path))
        elif fact.attempt is not None and fact.attempt.next > now:
            left.append((fact, "waits after a failed attempt"))
        else:
            path = f"{fact.acq}/{fact.name}"
            files.append(CheckFile(fact.copy_id, fact.file_id, path, fact.size_b, fact.md5sum))
    return CheckPlan(files, left)
