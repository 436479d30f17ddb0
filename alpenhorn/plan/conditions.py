"""Conditions, and when they are reported: when they begin, when they change, once a day, and when they end.

Runs every five minutes meet the same conditions again and again, and nobody reads a mail that comes 288 times a day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from alpenhorn import outside
from alpenhorn.model.conditions import Condition, Key
from alpenhorn.reasons import Code

SUBJECT = 255  # characters; the index stores no more
SEEN_EVERY = 3600.0  # seconds; a condition is not written by every run that meets it
AHEAD = 900.0  # seconds by which a clock may have been put back

# Conditions of a whole node or host, which has only one of them at a time.
WHOLE = frozenset(
    {
        *(Code.NODE_LEFT_OUT, Code.NODE_LOST, Code.SOURCE_UNSEEN),
        *(Code.HOST_SILENT, Code.RUN_NO_NODE, Code.STUCK),
    }
)

# Numbers with units, times and process ids, which differ from run to run while the condition is the same.
_NUMBER = re.compile(r"\d[\d.,:/-]*(?: ?[kKMGTPE]i?B\b| ?%| (?:second|minute|hour|day)s?\b)?")


class ConditionPlan(NamedTuple):
    """`reported`: conditions met that are reported now; `written` and `removed`: rows; `over`: reported as ended."""

    reported: frozenset[Key]
    written: tuple[Condition, ...]
    removed: tuple[Condition, ...]
    over: tuple[Condition, ...]


def key(code: str, subject: str) -> Key:
    """Return the key of a condition, with a subject that the index can store."""
    said = outside.text(subject)
    if len(said) > SUBJECT:
        digest = hashlib.md5(said.encode(), usedforsecurity=False).hexdigest()
        said = f"{said[: SUBJECT - len(digest) - 1]}…{digest}"
    return code, said


def essence(text: str) -> str:
    """Return a text without the numbers that differ from run to run."""
    return _NUMBER.sub("#", text)


def joined(texts: Iterable[str]) -> str:
    """Join the texts of one condition, in an order that no number changes."""
    return outside.text("; ".join(sorted(dict.fromkeys(texts), key=essence)))


def decide(
    stored: Sequence[Condition],
    met: Mapping[Key, str],
    now: float,
    remind: float,
    mailed: bool,
    looked: Callable[[Condition], bool],
) -> ConditionPlan:
    """Decide which conditions a run reports, and which rows change.

    `met`: conditions that this run met, with their texts; `remind`: seconds after which a condition is reported again;
    `mailed`: the run has no terminal, so its report is mailed; `looked`: whether the run would have met a condition
    that it did not meet, if it still existed.
    """
    known = {condition.key: condition for condition in stored}
    subjects = {subject for code, subject in met if code in WHOLE}
    reported_now, written, removed, over = set(), [], [], []
    for key, why in met.items():
        old = known.get(key)
        if old is None:
            reported_now.add(key)
            written.append(Condition(*key, why, now, now, now if mailed else None))
            continue
        changed = essence(old.why) != essence(why)
        due = changed or old.reported is None or not now - remind < old.reported < now + AHEAD
        if due:
            reported_now.add(key)
        if (due and mailed) or changed or now - old.seen >= SEEN_EVERY:
            reported = now if due and mailed else old.reported
            written.append(old._replace(why=why, seen=now, reported=reported))
    for key, old in known.items():
        if key in met or not looked(old):
            continue
        if old.code in WHOLE and old.subject in subjects:
            removed.append(old)  # replaced by another condition, which is reported
        elif mailed or old.reported is None:
            removed.append(old)
            over.append(old)
        # Otherwise the end is left to a run that mails, as the beginning was mailed.
    return ConditionPlan(frozenset(reported_now), tuple(written), tuple(removed), tuple(over))


def was_checked(condition: Condition, unknown: Collection[Key], left_out: Iterable[str]) -> bool:
    """Return whether a run that checked everything else would have met a condition if it still existed.

    `unknown`: conditions that it did not check.  A node that it `left_out` may still have its conditions.
    """
    return condition.key not in unknown and not any(name in condition.why for name in left_out)


def span(seconds: float) -> str:
    """Format a duration in its two largest units, such as `3 h 20 min`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, length)
        if number or parts:
            parts.append(f"{number} {unit}" if number else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 s"
