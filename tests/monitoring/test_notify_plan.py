"""What a channel is told: pure decisions, with the time passed in."""

from __future__ import annotations

import datetime

import pytest

from alpenhorn.config import Notify
from alpenhorn.model.conditions import IMPORTS
from alpenhorn.monitoring.notify_plan import LONGEST, MOST_LINES, Planned, fault_plan, plan
from alpenhorn.monitoring.notify_state import ChannelState
from alpenhorn.monitoring.run_end import FAILURE, WARNING, Problem, RunEnd
from alpenhorn.reasons import Code, Reason

DAY = 86_400.0
T0 = 1_700_000_000.0
WHEN = datetime.datetime(2026, 7, 22)


def problem(
    what: str, level: str = WARNING, subject: str = "a", lasting: bool = True, text: str = ""
) -> Problem:
    return Problem(
        level,
        Reason(what, Code.NODE_LEFT_OUT),
        Reason(text or what, Code.NODE_LEFT_OUT),
        ((str(Code.NODE_LEFT_OUT), subject),),
        lasting,
    )


def run(*problems: Problem, status: int = 0, why: str = "", complete: bool = True, **more: object) -> RunEnd:
    end = RunEnd("h", 1, WHEN, WHEN, status, why, ("a",), (), (), {}, "sync", False, problems, complete)
    return end._replace(**more)


def told(planned: Planned) -> list[str]:
    return [] if planned.message is None else list(planned.message.lines)


ALL = Notify()


def following(*runs: tuple[float, RunEnd], settings: Notify = ALL, remind: float = DAY) -> list[list[str]]:
    """Return the lines of each run, at that time after the first, on one channel that always delivers."""
    state, lines = ChannelState(), []
    for after, end in runs:
        planned = plan(state, end, settings, remind, T0 + after)
        state = planned.state
        lines.append(told(planned))
    return lines


def test_a_lasting_problem_begins_changes_lasts_and_ends() -> None:
    found = following(
        (0, run(problem("node a: gone"))),
        (300, run(problem("node a: gone"))),
        (600, run(problem("node a: read-only"))),
        (900, run(problem("node a: read-only"))),
        (600 + DAY, run(problem("node a: read-only"))),
        (700 + DAY, run()),
        (800 + DAY, run()),
    )
    since = " (since 2023-11-14 22:13:20 UTC)"
    assert found == [
        ["note: node a: gone"],
        [],
        [f"note: node a: read-only{since}"],
        [],
        [f"note: node a: read-only{since}"],
        ["resolved after 1 d: node a: read-only"],
        [],
    ]


def test_counts_and_examples_are_no_change() -> None:
    found = following(
        (0, run(problem("no room", lasting=False, text="no room (3 files); the first: x/a"))),
        (300, run(problem("no room", lasting=False, text="no room (4 files); the first: x/b"))),
        (600, run()),
        (900, run(problem("no room", lasting=False, text="no room; x/c"))),
    )
    assert found == [["note: no room (3 files); the first: x/a"], [], [], ["note: no room; x/c"]]


def test_each_run_reports_everything_without_remind_after() -> None:
    one = run(problem("node a: gone"))
    assert [len(lines) for lines in following((0, one), (1, one), (2, one), remind=0)] == [1, 1, 1]


@pytest.mark.parametrize(
    "later",
    [
        run(complete=False),
        run(left_out=("a",)),
        run(unknown=frozenset({(str(Code.NODE_LEFT_OUT), "a")})),
    ],
)
def test_a_problem_that_was_not_looked_for_has_not_ended(later: RunEnd) -> None:
    found = following((0, run(problem("node a: gone"))), (300, later), (600, run()))
    assert found[1:] == [[], ["resolved after 10 min: node a: gone"]]


def test_the_end_of_files_that_are_not_imported_is_not_reported() -> None:
    found = following((0, run(problem("no acquisition", subject=f"{IMPORTS}a"))), (300, run()))
    assert found == [["note: no acquisition"], []]


def test_a_failed_run_without_a_failure_of_its_own_is_a_problem() -> None:
    failed = run(status=3, why="index x: lost", complete=False)
    assert following((0, failed), (300, failed), (600, run())) == [
        ["failed: the sync run failed: index x: lost"],
        [],
        ["resolved after 10 min: the sync run failed: index x: lost"],
    ]
    explained = run(problem("no pull", FAILURE, lasting=False), status=1)
    assert following((0, explained), (300, run())) == [["failed: no pull"], []]
    assert following((0, run(status=75, why="busy", complete=False))) == [[]]


def test_levels_and_events_limit_what_is_said() -> None:
    both = run(problem("w"), problem("f", FAILURE, "b"), status=1)
    assert following((0, both), (300, run()), settings=Notify(level="failure")) == [
        ["failed: f"],
        ["resolved after 5 min: f"],
    ]
    runs = [(0, both), (DAY, both), (DAY + 1, run())]
    counts = [len(lines) for lines in following(*runs, settings=Notify(events=("end",)))]
    assert counts == [0, 0, 2]
    assert [len(lines) for lines in following(*runs, settings=Notify(events=("remind",)))] == [0, 2, 0]


def test_the_most_serious_line_comes_first_and_gives_the_event() -> None:
    first = plan(ChannelState(), run(problem("w"), problem("f", FAILURE, "b"), status=1), Notify(), DAY, T0)
    assert first.message is not None and first.message.event == "failure"
    assert first.message.lines == ("failed: f", "note: w")
    after = plan(first.state, run(problem("w")), Notify(), DAY, T0 + 60)
    assert after.message is not None and after.message.event == "recovery"


def test_a_message_is_bounded_and_on_its_lines() -> None:
    many = [problem(f"{'x' * 5000}\n{n}", subject=str(n)) for n in range(MOST_LINES + 20)]
    planned = plan(ChannelState(), run(*many), Notify(), DAY, T0)
    assert planned.message is not None
    lines = planned.message.lines
    assert len(lines) == MOST_LINES + 1 and "20 more" in lines[-1]
    assert max(map(len, lines)) <= LONGEST and all(line.isprintable() for line in lines)


def test_what_is_held_back_is_said_later_even_if_it_has_ended() -> None:
    settings = Notify(at_most_every=3600)
    gone, other = problem("node a: gone"), problem("node b: gone", subject="b")
    assert following(
        (0, run(gone)), (300, run(gone, other)), (600, run(gone)), (3700, run(gone)), settings=settings
    ) == [
        ["note: node a: gone"],
        [],
        [],
        ["earlier, not notified then: note: node b: gone"],
    ]
    assert following((0, run(gone)), (300, run(gone, other)), (3700, run(gone, other)), settings=settings)[
        1:
    ] == [[], ["note: node b: gone"]]


def test_what_could_not_be_delivered_is_said_by_the_next_run() -> None:
    first = plan(ChannelState(), run(problem("node a: gone")), Notify(), DAY, T0)
    assert told(plan(first.undelivered, run(problem("node a: gone")), Notify(), DAY, T0 + 60)) == [
        "note: node a: gone"
    ]
    assert told(plan(first.undelivered, run(), Notify(), DAY, T0 + 60)) == [
        "earlier, not notified then: note: node a: gone"
    ]


def test_a_clock_that_was_put_back_holds_nothing_back() -> None:
    settings = Notify(at_most_every=3600)
    one, two = problem("w"), problem("f", subject="b")
    assert following((0, run(one)), (-100_000, run(one, two)), settings=settings)[1] == [
        "note: w (since 2023-11-14 22:13:20 UTC)",
        "note: f",
    ]


def test_a_fault_of_a_channel_is_printed_when_it_begins_daily_and_when_it_ends() -> None:
    stored, said = fault_plan(None, "ping", "refused", T0, DAY)
    assert said == "refused"
    stored, said = fault_plan(stored, "ping", "refused", T0 + 300, DAY)
    assert said == ""
    stored, said = fault_plan(stored, "ping", "refused", T0 + DAY, DAY)
    assert said == "refused"
    assert fault_plan(stored, "ping", "", T0 + DAY + 60, DAY) == (None, "resolved after 1 d: refused")
    assert fault_plan(None, "ping", "", T0, DAY) == (None, "")
