"""The notes of commands with -q and -v."""

from __future__ import annotations

from socket import gethostname

import pytest

from alpenhorn.cli.app import App
from alpenhorn.cli.sync import MOST_LINES, attention
from alpenhorn.coordinator.report import Report
from alpenhorn.reasons import Code, Reason
from tests.cli.conftest import Archive

NO_HOST = "the index has no host of that name, so runs do nothing"


def test_quiet_silences_notes_and_nothing_else(archive: Archive) -> None:
    loud = archive("node", "create", "one", "--group", "spare", "--activate")
    assert loud.err.startswith("note: node one: runs skip it until it has a host and a root")
    quiet = archive("-q", "node", "create", "two", "--group", "spare", "--activate")
    assert (quiet.status, quiet.err) == (0, "") and "two" in quiet.out
    even = archive("-q", "-v", "node", "create", "three", "--group", "spare", "--activate")
    assert even.err == loud.err.replace("one", "three")
    assert archive("-q", "node", "show", "nope").err.startswith("Error: no node called 'nope'")


def test_quiet_does_not_silence_what_failed_or_was_left_out(archive: Archive) -> None:
    told = archive("-q", "node", "modify", "field1", "--io-var", "no_such_setting=1")
    assert told.status == 0 and told.err.startswith("note: node field1: unknown setting 'no_such_setting'")
    # A run of cron with -q still mails what needs attention.
    assert NO_HOST in archive("-q", "sync").err


def test_verbose_prints_each_note_once(archive: Archive) -> None:
    assert archive("-v", "sync").err.count(NO_HOST) == 1
    full = archive("-vv", "sync").err
    assert "alpenhorn: warning: this host is named" in full and full.count(NO_HOST) == 2


def test_a_verbose_plan_prints_each_note_once(archive: Archive) -> None:
    archive.ok("host", "rename", "alp1", gethostname().partition(".")[0])
    planned = archive("-v", "plan")
    assert (planned.out + planned.err).count("node field1 is left out") == 1
    planned = archive("-vv", "plan")
    assert (planned.out + planned.err).count("node field1 is left out") == 2


@pytest.mark.parametrize("verbosity", [0, 1])
def test_the_number_of_lines_is_limited_except_with_verbose(
    verbosity: int, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report()
    for number in range(MOST_LINES + 5):
        report.warnings.add(Reason(f"w{number}", Code.UNKNOWN))
    attention(report, App(verbosity=verbosity))
    lines = capsys.readouterr().err.splitlines()
    if verbosity:
        assert lines == [f"note: w{number}" for number in range(MOST_LINES + 5)]
    else:
        assert len(lines) == MOST_LINES + 1 and lines[-1] == "… and 5 more; see: alpenhorn status"
