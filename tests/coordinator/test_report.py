from __future__ import annotations

import logging

import pytest

from alpenhorn.coordinator.report import MOST_LOGGED, Asked, Notes, Report, file_label
from alpenhorn.outside import UNREADABLE
from alpenhorn.reasons import Code, headed


def test_a_million_files_with_one_fault_make_one_line_with_an_example() -> None:
    notes = Notes(logging.WARNING)
    for number in range(1000):
        notes.add("not pulled: no room on disk", f"acq/{number}")
    notes.add("something else")
    assert notes.lines() == [
        "not pulled: no room on disk (1000 times); the first: acq/0",
        "something else",
    ]
    assert notes
    assert not Notes(logging.WARNING)


def test_the_log_gets_each_of_them(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes(logging.WARNING)
    with caplog.at_level(logging.WARNING, "alpenhorn"):
        for number in range(3):
            notes.add("not pulled", f"acq/{number}")
    assert [record.getMessage() for record in caplog.records] == [f"not pulled; acq/{n}" for n in range(3)]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_the_log_gets_the_first_of_very_many_and_their_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes = Notes(logging.WARNING)
    with caplog.at_level(logging.WARNING, "alpenhorn"):
        for number in range(MOST_LOGGED + 5):
            notes.add("not pulled", f"acq/{number}")
        notes.log_counts()
    assert len(caplog.records) == MOST_LOGGED + 1
    assert caplog.records[-1].getMessage() == f"not pulled ({MOST_LOGGED + 5} times)"


def test_waiting_files_are_counted_again_in_each_round() -> None:
    report = Report()
    report.waiting.add("not pulled", "acq/a")
    report.new_round()
    report.waiting.add("not pulled", "acq/a")
    assert report.waiting.lines() == ["not pulled; acq/a"]


def test_situation_20_what_failed_and_what_waits_for_the_same_reason_is_one_line_with_the_number_of_files() -> (
    None
):
    failures, waiting = Notes(logging.ERROR), Notes(logging.WARNING)
    failures.add("host b cannot be reached", "acq/a", files=True)
    waiting.add("no room", "acq/b")
    for name in ("c", "d"):
        waiting.add("host b cannot be reached", f"acq/{name}", files=True)
    failures.merge(waiting)
    assert failures.lines() == ["host b cannot be reached (3 files); the first: acq/a"]
    assert waiting.lines() == ["no room; acq/b"]


def test_a_single_fault_is_reported_with_its_subject() -> None:
    notes = Notes(logging.WARNING)
    notes.add("corrupt on disk", "acq/a")
    assert notes.lines() == ["corrupt on disk; acq/a"]


def test_a_failure_or_a_stop_makes_the_exit_status_and_a_warning_does_not() -> None:
    report = Report()
    report.warnings.add("x")
    assert report.exit_status == 0
    report.stopped = True
    assert report.exit_status == 1
    report = Report()
    report.failures.add("x")
    assert report.exit_status == 1


def test_options_select_the_work() -> None:
    assert Asked().wants("pull")
    assert Asked(only=("check",)).wants("check")
    assert not Asked(only=("check",)).wants("pull")


def test_tallies_are_made_when_first_counted() -> None:
    report = Report()
    report.tally("pull").done += 2
    report.tally("pull").bytes += 5
    assert report.tallies["pull"].as_dict() == {"done": 2, "failed": 0, "bytes": 5}


def test_early_end_of_a_run_has_a_reason_with_a_code() -> None:
    report = Report()
    assert report.ending() is None
    report.out_of_time = True
    why, failed = report.ending() or pytest.fail("it ended early")
    assert (why.code, failed) == (Code.RUN_OUT_OF_TIME, False) and why.startswith(str(Code.RUN_OUT_OF_TIME()))
    report.stopped = True
    why, failed = report.ending() or pytest.fail("it ended early")
    assert (why.code, failed) == (Code.RUN_STOPPED, True)


@pytest.mark.parametrize(
    ("acq", "name", "label"),
    [("a", "b/c", "a/b/c"), (None, "b", "file 7"), ("a", None, "file 7"), ("a", UNREADABLE, "file 7")],
)
def test_a_file_is_called_by_its_path_where_the_index_has_it(
    acq: str | None, name: str | None, label: str
) -> None:
    assert file_label(acq, name, "file 7") == label


def test_a_condition_is_identified_by_its_code_and_subject() -> None:
    report = Report()
    for node in ("v1", "v2"):
        report.failures.lasting(Code.NODE_NOT_INITIALISED(node=node, why="no room"))
        for number in (1, 2):
            detail = f"the setting x{number} is not known"
            report.warnings.lasting(Code.NODE_SETTINGS_WARNING(detail=detail), subject=node)
    report.waiting.lasting(headed("not pulled", Code.DESTINATION_FULL(node="v1")), "acq/a")
    report.failures.lasting(headed("not pulled", Code.DESTINATION_FULL(node="v1")), "acq/b")
    report.waiting.lasting(headed("not pulled", Code.DESTINATION_FULL(node="v2")), "acq/c")
    met = report.lasting()
    assert {key: len(texts) for key, texts in met.items()} == {
        ("node-settings-warning", "v1"): 2,
        ("node-settings-warning", "v2"): 2,
        ("node-not-initialised", "v1"): 1,
        ("node-not-initialised", "v2"): 1,
        ("destination-full", "v1"): 2,
        ("destination-full", "v2"): 1,
    }
    report.leave_out([("destination-full", "v1")])
    assert [
        line for notes in (report.waiting, report.failures) for line in notes.lines() if "pulled" in line
    ] == ["not pulled: no room on v2: too little free space; acq/c"]
