"""What lasts, and when it is reported: when it begins, when it changes, once a day, and when it is over.

A run that is started every five minutes meets the same conditions again and again, and nobody reads a mail that comes
288 times a day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from alpenhorn import outside
from alpenhorn.model.conditions import Condition, Key
from alpenhorn.reasons import Code

SUBJECT = 255  # characters that the index holds
SEEN_EVERY = 3600.0  # seconds; a condition that lasts costs no write in each run
AHEAD = 900.0  # seconds by which a clock may have been put back

# Conditions of a whole node or host, which has one of them at a time.
WHOLE = frozenset(
    {
        *(Code.NODE_LEFT_OUT, Code.NODE_LOST, Code.SOURCE_UNSEEN),
        *(Code.HOST_SILENT, Code.RUN_NO_NODE, Code.STUCK),
    }
)

# A number with its unit, a time, a process: what differs from run to run while the condition is the same.
_NUMBER = re.compile(r"\d[\d.,:/-]*(?: ?[kKMGTPE]i?B\b| ?%| (?:second|minute|hour|day)s?\b)?")


class Decided(NamedTuple):
    """`told`: which of those met are to be reported now; `written` and `removed`: rows; `over`: what is to be reported
    as ended."""

    told: frozenset[Key]
    written: tuple[Condition, ...]
    removed: tuple[Condition, ...]
    over: tuple[Condition, ...]


def key(code: str, subject: str) -> Key:
    """Return the key of a condition, with a subject that the index can hold."""
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
) -> Decided:
    """`met`: what this run met, with its text; `remind`: seconds after which what lasts is reported again; `mailed`:
    nobody is watching the run, so that what it reports is all that anybody gets; `looked`: whether the run looked where
    it would have met a condition that it did not meet."""
    known = {condition.key: condition for condition in stored}
    subjects = {subject for code, subject in met if code in WHOLE}
    told, written, removed, over = set(), [], [], []
    for key, why in met.items():
        old = known.get(key)
        if old is None:
            told.add(key)
            written.append(Condition(*key, why, now, now, now if mailed else None))
            continue
        changed = essence(old.why) != essence(why)
        due = changed or old.reported is None or not now - remind < old.reported < now + AHEAD
        if due:
            told.add(key)
        if (due and mailed) or changed or now - old.seen >= SEEN_EVERY:
            reported = now if due and mailed else old.reported
            written.append(old._replace(why=why, seen=now, reported=reported))
    for key, old in known.items():
        if key in met or not looked(old):
            continue
        if old.code in WHOLE and old.subject in subjects:
            removed.append(old)  # it became another one, which is reported
        elif mailed or old.reported is None:
            removed.append(old)
            over.append(old)
        # Otherwise whoever got the mail of its beginning is to get that of its end.
    return Decided(frozenset(told), tuple(written), tuple(removed), tuple(over))


def span(seconds: float) -> str:
    """`3 h 20 min`, in the two largest units of which it has one."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, length)
        if number or parts:
            parts.append(f"{number} {unit}" if number else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 s"
