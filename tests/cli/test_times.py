"""Times are labelled with their zone, and are shown and taken in local time if that is wanted."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner

from alpenhorn.cli.main import main
from alpenhorn.formats import in_local_time, zoned
from tests.fixtures.archive import Archive

pytestmark = pytest.mark.one_engine

TOKYO = {"TZ": "Asia/Tokyo"}  # nine hours ahead, all year
A_TIME = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?![:\d]| UTC)")
SHOWING = (
    "status", "status --wide", "history", "history --run 1", "history --file acq/pulled", "history --node dst",
    "node show src --all", "node show far --all", "node list", "file show acq/pulled --all", "file show acq/good --all",
    "request list", "request list --state failing", "request show 1", "request show 2", "request show 3",
    "file list --details", "file find --node dst", "file state acq/good src", "doctor", "db check", "plan",
    "plan --files", "group show dst --all", "host show here", "acq show acq", "rules check", "node risk src --list",
)  # fmt: skip


def test_every_time_that_is_shown_says_that_it_is_in_utc(filled: Archive) -> None:
    conf = str(filled.configure())
    seen = 0
    for line in SHOWING:
        with CliRunner().isolation() as (out, err, _):
            assert main(["-c", conf, *line.split()]) in (0, 1, 4), line
            text = out.getvalue().decode() + err.getvalue().decode()
        seen += len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", text))
        # Cells have no zone if their header has it.
        header = ""
        for said in text.splitlines():
            header = said if "(UTC)" in said else header if said else ""
            for found in A_TIME.finditer(said):
                assert header[found.start() :].split("  ")[0].endswith("(UTC)"), (line, said)
    assert seen > 30


def test_local_time_by_an_option_or_the_configuration(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    archive.node("field")
    file_id = archive.file("acq/a", b"a", "field")
    archive.set_copy(file_id, "field", "MY")
    archive.synced()
    local = archive.configure("local", sync={"host": "here"}, output={"time": "local"})
    (started,) = archive.run("history", "--json").json
    began = datetime.fromisoformat(started["started"].removesuffix("Z"))
    there = str(began + timedelta(hours=9))

    def said(*words: str, **options: object) -> str:
        done = archive.run(*words, environ=TOKYO, **options)
        assert done.status == 0, done
        return done.out

    assert "Began (UTC)" in said("history") and str(began) in said("history")
    for asked in (said("--local-time", "history"), said("history", conf=local)):
        assert "Began (local)" in asked and there in asked and str(began) not in asked
    assert said("--utc", "history", conf=local) == said("history")
    assert f"Began: {began} UTC" in said("history", "--run", "1")
    assert f"Began: {there} JST" in said("--local-time", "history", "--run", "1")
    for form in ("json", "csv", "jsonl"):
        assert said("--local-time", "history", "--format", form) == said("history", "--format", form)
    # What is typed is in the zone of what is shown, unless it names its own.
    assert "here" in said("--local-time", "history", "--since", there)
    assert said("history", "--since", there) == "No runs.\n"
    assert "here" in said("history", "--since", f"{there}+09:00")
    pinned = said("--local-time", "file", "pin", "acq/a", "--until", "2100-01-01T09:00")
    assert "until 2100-01-01 09:00:00 JST" in pinned
    assert archive.one("SELECT until FROM sync_pin") in (datetime(2100, 1, 1), "2100-01-01 00:00:00")


def test_a_time_that_has_no_local_form_is_in_utc() -> None:
    for moment in (datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)):
        assert in_local_time(moment).replace(tzinfo=None) - moment < timedelta(days=1)
    assert zoned(datetime(2026, 1, 2, 3, 4, 5)) == "2026-01-02 03:04:05 UTC" and zoned(None) == "-"
