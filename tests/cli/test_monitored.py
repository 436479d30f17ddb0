"""What receivers are told of a run, and that nothing they do changes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alpenhorn.cli.app import App
from alpenhorn.cli.monitored import Receiver, monitored
from alpenhorn.coordinator.report import Report
from alpenhorn.errors import Busy, IndexUnusable
from alpenhorn.monitoring.run_end import WorkAmount
from alpenhorn.reasons import Code
from tests.fixtures.archive import Archive

told = []  # of each call of a receiver in this process


def note(config, index, end):
    told.append((index, end))
    return ["the receiver has a note"]


def fails(config, index, end):
    raise ValueError("no such thing")


def hangs(config, index, end):
    reading, writing = os.pipe()
    try:
        os.read(reading, 1)
    finally:
        os.close(reading)
        os.close(writing)


def stopped(config, index, end):
    raise KeyboardInterrupt


def begins(config, start):
    told.append(start)
    return lambda index, end: told.append(end)


def receiver(name: str, wanted: bool = True, key: str = "end") -> Receiver:
    return Receiver(name, lambda config: wanted, **{key: f"{__name__}:{name}"})


@pytest.fixture
def app(tmp_path: Path, sqlite_archive: Archive) -> App:
    told.clear()
    return App(str(sqlite_archive.configure()))


def test_a_receiver_gets_the_report_and_the_open_index(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.run_id = 7
    report.nodes = ["a", "b"]
    report.tally("pull").done = 3
    report.left_out["c"] = Code.NODE_LOCKED_BY_RUN(run="run 6")
    report.warnings.lasting(Code.NODE_LEFT_OUT(node="d", why="gone"), subject="d")
    report.warnings.leave_out({(Code.NODE_LEFT_OUT, "d")})
    report.failures.add(Code.RUN_FAILED(error="one failed"))
    index = app.index
    with monitored(app, "sync", whole=True, receivers=[receiver("note")]) as run:
        run.report = report
    ((found, end),) = told
    assert found is index
    assert (end.run_id, end.nodes, end.left_out, end.exit_status) == (7, ("a", "b"), ("c",), 1)
    assert end.amounts == {"pull": WorkAmount(3, 0, 0)} and not end.worked
    assert [line.partition(":")[0] for line in end.lines] == ["failed", "note"], "also what was said before"
    assert end.problems[1].keys == ((Code.NODE_LEFT_OUT, "d"),) and end.problems[1].lasting
    assert capsys.readouterr().err == "note: the receiver has a note\n"


@pytest.mark.parametrize(("whole", "left_out", "worked"), [(1, 0, True), (0, 0, False), (1, 1, False)])
def test_a_run_worked_if_it_did_all_work_on_all_nodes(
    app: App, whole: bool, left_out: bool, worked: bool
) -> None:
    with monitored(app, "sync", whole=bool(whole), receivers=[receiver("note")]) as run:
        run.report = Report()
        run.report.nodes = ["a"]
        if left_out:
            run.report.left_out["b"] = Code.RUN_STOPPED()
    assert told[0][1].worked is worked and told[0][1].exit_status == 0
    assert told[0][1].complete is bool(whole)


@pytest.mark.parametrize(
    ("error", "status", "why"),
    [
        (IndexUnusable("index x: no server"), 3, "index x: no server"),
        (Busy("another run is working on a"), 75, "another run is working on a"),
        (SystemExit(143), 143, "SIGTERM"),
        (KeyboardInterrupt(), 130, "SIGINT"),
        (OSError(11, "Resource temporarily unavailable"), 1, "Resource temporarily unavailable"),
    ],
)
def test_the_error_of_a_run_is_told_and_stays(
    app: App, error: BaseException, status: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    receivers = [receiver("fails"), receiver("note")]
    with pytest.raises(type(error)) as raised, monitored(app, "sync", whole=True, receivers=receivers):
        raise error
    assert raised.value is error
    ((index, end),) = told
    assert index is None, "it was not opened"
    assert end.exit_status == status and why in end.why and not end.worked and not end.complete
    assert "note: fails: ValueError: no such thing" in capsys.readouterr().err


def test_an_index_that_was_lost_is_not_passed_on(app: App) -> None:
    assert app.index
    with (
        pytest.raises(IndexUnusable),
        monitored(app, "sync", whole=True, receivers=[receiver("note")]),
    ):
        raise IndexUnusable("lost")
    assert told[0][0] is None


def test_output_that_cannot_be_printed_is_a_failure(app: App) -> None:
    with (
        pytest.raises(OSError),
        monitored(app, "sync", whole=True, receivers=[receiver("note")]) as run,
    ):
        run.report = Report()
        run.report.nodes = ["a"]
        raise OSError(28, "No space left on device")
    end = told[0][1]
    assert end.exit_status == 1 and "could not be printed: No space left" in end.why and not end.worked


def test_a_receiver_that_hangs_is_given_up(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    receivers = [receiver("hangs"), receiver("note")]
    with monitored(app, "sync", whole=True, receivers=receivers, seconds=0.3) as run:
        run.report = Report()
    assert len(told) == 1
    assert "note: hangs: took longer than 0.3 s and was given up\n" in capsys.readouterr().err


def test_ctrl_c_ends_the_receivers_but_not_the_run(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    with monitored(app, "sync", whole=True, receivers=[receiver("stopped"), receiver("note")]) as run:
        run.report = Report()
    assert told == []
    assert "note: stopped; not all metrics and notifications" in capsys.readouterr().err


def test_a_receiver_can_begin_with_the_run(app: App) -> None:
    with monitored(app, "reconcile", whole=False, receivers=[receiver("begins", key="begin")]) as run:
        (start,) = told
        run.report = Report()
    assert (start.command, start.partial, start.host) == ("reconcile", True, "here")
    assert told[1].command == "reconcile" and told[1].began == start.began


def test_receivers_that_are_not_configured_and_dry_runs_are_left_alone(app: App) -> None:
    for wanted, dry in ((False, False), (True, True)):
        with monitored(app, "sync", whole=True, dry=dry, receivers=[receiver("note", wanted)]):
            pass
    assert told == []


def test_a_run_without_receivers_imports_nothing(sqlite_archive: Archive) -> None:
    sqlite_archive.node("a")
    code = (
        "import sys; from alpenhorn.cli.main import main; status = main(sys.argv[1:]);"
        "print(status, [name for name in sys.modules if name.startswith('alpenhorn.monitoring')])"
    )
    command = [sys.executable, "-c", code, "-c", str(sqlite_archive.configure()), "sync"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "0 []\n"
