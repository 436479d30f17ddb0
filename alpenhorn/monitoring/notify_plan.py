"""Decide what a run notifies: what begins, changes, lasts for a day, and ends.

The rules are those for mails from cron (`alpenhorn.plan.conditions`), but what was notified is remembered for each
channel, so that a message that could not be delivered is not lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from alpenhorn import formats
from alpenhorn.config import Notify
from alpenhorn.errors import BUSY, DONE
from alpenhorn.index.times import naive
from alpenhorn.model.conditions import IMPORTS, Condition, Key
from alpenhorn.monitoring.notify_state import ChannelState, Remembered
from alpenhorn.monitoring.run_end import FAILURE, WARNING, Problem, RunEnd
from alpenhorn.outside import harmless, text
from alpenhorn.plan.conditions import AHEAD, ConditionPlan, decide, essence, joined, key, span, was_checked
from alpenhorn.reasons import Code

RECOVERY = "recovery"
MOST_LINES = 50  # of one message
LONGEST = 1000  # characters of a line
MOST_MISSED = 100  # lines that are held back


class Message(NamedTuple):
    """A message to people.  `event`: FAILURE, WARNING, RECOVERY or "test", the most serious of its lines."""

    event: str
    host: str
    title: str
    lines: tuple[str, ...]
    exit_status: int


class _Met(NamedTuple):
    """`why`: the same for each run that has the problem; `text`: what is notified."""

    why: str
    text: str
    level: str
    lasting: bool


class Planned(NamedTuple):
    """`message`: None if there is nothing to say now.  `state`: afterwards; `undelivered`: if delivery fails."""

    message: Message | None
    state: ChannelState
    undelivered: ChannelState


def plan(state: ChannelState, end: RunEnd, settings: Notify, remind: float, now: float) -> Planned:
    """Decide what one channel is told of a run.

    `remind`: seconds after which a lasting problem is reported again, 0 for each run; `now`: POSIX seconds.
    """
    met = _met(end, settings.level)
    known = {one.condition.key: one for one in state.problems}
    decided = decide(
        [one.condition for one in state.problems],
        {key: one.why for key, one in met.items()},
        now,
        remind,
        True,
        lambda one: end.complete and was_checked(one, end.unknown, end.left_out),
    )
    lines = dict(_lines(decided, met, known, settings.events, now))
    problems = _after(decided, met, known)
    # What is still true later is reported then; only what has ended by then must be kept.
    missed = (dict(state.missed) | {key: line for key, (_, line) in lines.items()}).items()
    held = state._replace(missed=tuple(missed)[:MOST_MISSED])
    past = [line for which, line in state.missed if which not in met and which not in known]
    if not lines and not past:
        after = state._replace(problems=problems, missed=())
        return Planned(None, after, after)
    if state.sent is not None and now - settings.at_most_every < state.sent < now + AHEAD:
        return Planned(None, held, held)
    levels = {level for level, _ in lines.values()} | ({WARNING} if past else set())
    event = next(level for level in (FAILURE, WARNING, RECOVERY) if level in levels)
    said = [line for _, line in sorted(lines.values(), key=lambda one: _ORDER[one[0]])]
    said += [f"earlier, not notified then: {line}" for line in past]
    if len(said) > MOST_LINES:
        said[MOST_LINES:] = [f"… and {len(said) - MOST_LINES} more; see: alpenhorn status"]
    message = Message(event, end.host, _title(event, end), tuple(map(printable, said)), end.exit_status)
    return Planned(message, state._replace(problems=problems, missed=(), sent=now), held)


def printable(line: str) -> str:
    """Return a line without characters that could forge another line, and not too long for a message."""
    return harmless(text(line, LONGEST))


_ORDER = {FAILURE: 0, WARNING: 1, RECOVERY: 2}


def _title(event: str, end: RunEnd) -> str:
    if end.exit_status not in (DONE, BUSY):
        return f"alpenhorn on {end.host}: run failed with status {end.exit_status}"
    if event == RECOVERY:
        return f"alpenhorn on {end.host}: problems resolved"
    return f"alpenhorn on {end.host}: needs attention"


def _met(end: RunEnd, level: str) -> dict[Key, _Met]:
    """Return the problems of a run that are serious enough, by key."""
    problems: dict[Key, list[Problem]] = {}
    for problem in end.problems:
        if level == WARNING or problem.level == FAILURE:
            for one in problem.keys:
                problems.setdefault(one, []).append(problem)
    met = {
        one: _Met(
            joined(problem.what for problem in some),
            joined(problem.text for problem in some),
            FAILURE if any(problem.level == FAILURE for problem in some) else WARNING,
            any(problem.lasting for problem in some),
        )
        for one, some in problems.items()
    }
    if end.exit_status not in (DONE, BUSY) and FAILURE not in {one.level for one in met.values()}:
        # No problem of the run says why it failed, such as an index that cannot be opened.
        why = f"the {end.command} run failed: {end.why or f'status {end.exit_status}'}"
        met[key(Code.LAST_RUN_FAILED, end.host)] = _Met(text(why), text(why), FAILURE, True)
    return met


def _lines(
    decided: ConditionPlan,
    met: Mapping[Key, _Met],
    known: Mapping[Key, Remembered],
    events: tuple[str, ...],
    now: float,
) -> Iterator[tuple[Key, tuple[str, str]]]:
    """Yield key, level and line of what is to be reported."""
    for which, one in met.items():
        if which not in decided.reported:
            continue
        before = known.get(which)
        since = ""
        if before is None:
            event = "begin"
        else:
            event = "change" if essence(before.condition.why) != essence(one.why) else "remind"
            since = f" (since {formats.time(naive(before.condition.began))} UTC)"
        if event in events:
            yield which, (one.level, f"{'failed' if one.level == FAILURE else 'note'}: {one.text}{since}")
    if "end" not in events:
        return
    for over in decided.over:
        # A run does not look at files in unchanged directories again, so nothing is known of their end.
        if known[over.key].lasting and not over.subject.startswith(IMPORTS):
            yield over.key, (RECOVERY, Code.OVER(why=over.why, span=span(now - over.began)))


def _after(
    decided: ConditionPlan, met: Mapping[Key, _Met], known: Mapping[Key, Remembered]
) -> tuple[Remembered, ...]:
    conditions = {key: one.condition for key, one in known.items()}
    conditions |= {one.key: one for one in decided.written}
    for one in decided.removed:
        conditions.pop(one.key, None)
    return tuple(
        Remembered(condition, met[key].level, met[key].lasting)
        if key in met
        else known[key]._replace(condition=condition)
        for key, condition in conditions.items()
    )


def fault_plan(
    before: Condition | None, channel: str, why: str, now: float, remind: float
) -> tuple[Condition | None, str]:
    """Decide what a run prints about the delivery to a channel: what to remember, and the fault or its end, or "".

    `why`: "" if everything was delivered.
    """
    stored = [] if before is None else [before]
    met = {(str(Code.NOTIFICATION_FAILED), channel): why} if why else {}
    decided = decide(stored, met, now, remind, True, lambda one: True)
    if decided.over:
        return None, Code.OVER(why=decided.over[0].why, span=span(now - decided.over[0].began))
    after = decided.written[0] if decided.written else before
    return after, why if decided.reported else ""
