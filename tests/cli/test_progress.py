from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from alpenhorn.cli.progress import PlainDisplay
from alpenhorn.cli.reconcile import reconcile
from alpenhorn.cli.sync import sync
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from tests.fixtures.archive import Archive
from tests.fixtures.terminal import on_screen

ACQ = "20260722T000000Z_an_acquisition_with_a_long_name"
PERCENT = re.compile(r"total .* (\d+) %")
PULLED = re.compile(r"^pull +(\d+) of (\d+) files")


def slow_pulls(archive: Archive, files: int = 4) -> Path:
    """Request files whose pulls take a second each, the second of which is missing at its source."""
    archive.node("field")
    archive.node("safe", archive=1)
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = 'safe'", '{"bwlimit": "500 kB"}')
    ids = [archive.file(f"{ACQ}/beam_{n:04}.h5", os.urandom(500_000), "field") for n in range(files)]
    (archive.root("field") / ACQ / "beam_0001.h5").unlink(missing_ok=True)
    archive.requests(ids, "field", "safe")
    return archive.configure()


def environ(archive: Archive) -> Mapping[str, str]:
    return {"HOME": str(archive.base)}


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_display_of_a_slow_run(sqlite_archive: Archive, columns: int) -> None:
    conf = slow_pulls(sqlite_archive, files=8)
    with on_screen("-c", str(conf), "sync", columns=columns, environ=environ(sqlite_archive)) as screen:
        assert screen.end() == 1
    live = [frame for frame in screen.frames if any(line.startswith("total") for line in frame)]
    assert len(live) > 3
    for frame in live:
        assert max(map(len, frame)) <= columns, frame
    percents = [int(found[1]) for frame in live for line in frame if (found := PERCENT.search(line))]
    assert percents == sorted(percents) and len(set(percents)) > 3, percents
    workers = [line for frame in live for line in frame if re.match(r"\d +pull", line)]
    # The name is shortened in the middle, and the bytes and the rate of the job are beside it.
    assert any(re.search(r"2026.*beam_000\d\.h5.* MiB +[\d.]+ .iB/s$", line) for line in workers), workers
    if columns >= 110:
        assert any("field to safe" in line for line in workers)
    assert any("pull" in line and "1 failed" in line for frame in live for line in frame)
    assert any(" left" in line for frame in live for line in frame)
    # The display is removed, and the summary is left.
    assert screen.lines[0].startswith("work ")


def test_the_bar_does_not_fall_back_when_imports_lead_to_pulls(sqlite_archive: Archive) -> None:
    """The pulls are requested by a rule, once the files are imported."""
    archive = sqlite_archive
    archive.node("field", auto_import=1)
    archive.node("safe", archive=1, io_config='{"bwlimit": "500 kB"}')
    for number in range(6):
        archive.put("field", f"{ACQ}/beam_{number:04}.h5", os.urandom(500_000))
    conf = archive.configure(sync={"import_settle": 0})
    assert archive.run("group", "autosync", "safe", "field").status == 0
    with on_screen("-c", str(conf), "sync", columns=80, environ=environ(archive)) as screen:
        assert screen.end() == 0
    live = [frame for frame in screen.frames if any(line.startswith("total") for line in frame)]
    pulls = [number for number, frame in enumerate(live) if any(map(PULLED.search, frame))]
    assert all(any(line.startswith("import") for line in frame) for frame in live)
    percents, bars = not_falling(live)
    assert percents[pulls[0]] < 60 and len(set(percents[pulls[0] :])) > 3 and bars[-1] > bars[pulls[0]]


def test_the_bar_does_not_fall_back_when_requests_are_added(sqlite_archive: Archive) -> None:
    """Those that somebody adds while the run is at work are served by its next round, of which it cannot know."""
    conf = slow_pulls(sqlite_archive, files=8)
    more = [sqlite_archive.file(f"{ACQ}/more_{n:04}.h5", os.urandom(500_000), "field") for n in range(4)]
    with on_screen("-c", str(conf), "sync", columns=80, environ=environ(sqlite_archive)) as screen:
        screen.until(lambda lines: any(map(PERCENT.search, lines)))
        sqlite_archive.requests(more, "field", "safe")
        assert screen.end() == 1
    live = [frame for frame in screen.frames if any(line.startswith("total") for line in frame)]
    totals = [int(found[2]) for frame in live for line in frame if (found := PULLED.search(line))]
    assert totals[0] == 8 and totals[-1] == 12 and totals == sorted(totals), totals
    assert any("4 added" in line for line in live[-1])
    not_falling(live)


def not_falling(live: list[list[str]]) -> tuple[list[int], list[int]]:
    """Return the percentages and the lengths of the bars in frames; they do not fall, and promise no end."""
    percents = [int(found[1]) for frame in live for line in frame if (found := PERCENT.search(line))]
    bars = [line.count("\u2501") for frame in live for line in frame if line.startswith("total")]
    assert len(percents) == len(bars) == len(live)
    assert percents == sorted(percents) and bars == sorted(bars), (percents, bars)
    assert percents[0] < percents[-1] <= 99
    return percents, bars


def test_each_step_before_the_work_is_shown_and_a_lock_that_is_waited_for(sqlite_archive: Archive) -> None:
    conf = slow_pulls(sqlite_archive, files=1)
    lock = RunLock(sqlite_archive.root("safe") / RUN_LOCK)
    assert lock.acquire()
    try:
        with on_screen(
            "-c", str(conf), "sync", "--wait", columns=80, environ=environ(sqlite_archive)
        ) as screen:
            screen.until(lambda lines: any("waiting for the run lock of safe" in line for line in lines))
            assert screen.frames[0] == ["starting the worker processes"]
            lock.release()
            assert screen.end() == 0
    finally:
        lock.release()
    assert ["opening the index"] in screen.frames
    assert any(frame[0].startswith("probing ") for frame in screen.frames)
    assert not any("waiting" in line or "opening" in line for line in screen.lines)


def test_a_run_that_is_stopped_while_it_waits_for_a_lock_says_so(sqlite_archive: Archive) -> None:
    """It must not report that another run keeps it from its work, with the advice to wait."""
    conf = slow_pulls(sqlite_archive, files=1)
    with (
        RunLock(sqlite_archive.root("safe") / RUN_LOCK),
        on_screen("-c", str(conf), "sync", "--wait", columns=80, environ=environ(sqlite_archive)) as screen,
    ):
        screen.until(lambda lines: any("waiting for the run lock of safe" in line for line in lines))
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 1
        assert any("stopped" in line for line in screen.lines)
        assert not any("another run" in line for line in screen.lines)


def test_something_is_shown_while_the_index_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        conf = tmp_path / "conf.toml"
        url = f"mysql://user:word@127.0.0.1:{server.getsockname()[1]}/index"
        conf.write_text(f'[database]\nurl = "{url}"\n[sync]\nhost = "here"\n')
        with on_screen("-c", str(conf), "sync", columns=80, environ={"HOME": str(tmp_path)}) as screen:
            screen.until(lambda lines: lines == ["opening the index"])


def test_an_index_that_another_program_has_locked_is_waited_for(sqlite_archive: Archive) -> None:
    conf = slow_pulls(sqlite_archive, files=1)
    with ExitStack() as stack:
        with sqlite_archive.index.transaction():
            sqlite_archive.index.execute("UPDATE storagenode SET notes = notes")
            screen = stack.enter_context(
                on_screen("-c", str(conf), "sync", columns=80, environ=environ(sqlite_archive))
            )
            screen.until(lambda lines: "recording the run in the index" in lines)
        assert screen.end() == 0


def test_a_display_that_is_not_wanted(sqlite_archive: Archive) -> None:
    conf = slow_pulls(sqlite_archive)
    with on_screen(
        "-c", str(conf), "sync", "--progress=none", columns=80, environ=environ(sqlite_archive)
    ) as screen:
        assert screen.end() == 1
    assert screen.frames[0][0].startswith("work ")


def test_a_dumb_terminal_gets_lines(sqlite_archive: Archive) -> None:
    conf = slow_pulls(sqlite_archive)
    with on_screen(
        "-c", str(conf), "sync", columns=80, environ={**environ(sqlite_archive), "TERM": "dumb"}
    ) as screen:
        assert screen.end() == 1
    assert screen.lines[0] == "0:00  starting the worker processes"
    assert b"\x1b" not in screen.received


def test_plain_is_a_line_a_minute_and_the_help_says_so() -> None:
    for command in (sync, reconcile):
        with command.make_context("command", ["--progress=plain"]) as context:
            choice = context.params["progress"]
            assert (
                choice.how == "plain" and choice.seconds == PlainDisplay(choice.seconds, False).interval == 60
            )
            assert "plain (a line each minute on standard error" in " ".join(
                command.get_help(context).split()
            )


@pytest.mark.parametrize("seconds", ["x", "0", "-1", "inf", "nan"])
def test_an_interval_that_is_none(sqlite_archive: Archive, seconds: str) -> None:
    result = sqlite_archive.sync(f"--progress=plain:{seconds}")
    assert result.status == 2 and "is not one of auto, bar, plain" in result.err


def test_lines_without_a_terminal(sqlite_archive: Archive) -> None:
    slow_pulls(sqlite_archive)
    result = sqlite_archive.sync("--progress=plain:0.2")
    assert result.status == 1 and result.out == ""
    first, *lines = result.err.splitlines()
    assert re.fullmatch(r"0:0\d  starting the worker processes", first)
    shape = re.compile(
        r"0:0\d  (\d+) %, [\d.]+ .iB/s(, \d:\d\d left)?; pull: \d of 4 files, [\d.]+ of 1.91 MiB(, 1 failed)?;"
        rf" now: {ACQ}/beam_000\d\.h5"
    )
    found = [match for line in lines if (match := shape.fullmatch(line))]
    assert len(found) > 3, lines
    percents = [int(match[1]) for match in found]
    assert percents == sorted(percents)
    assert found[-1][3]  # the failure is counted while the job is running


def test_files_are_listed_as_they_are_done(sqlite_archive: Archive) -> None:
    slow_pulls(sqlite_archive)
    result = sqlite_archive.run("-v", "sync")
    listed = [line for line in result.out.splitlines() if ACQ in line]
    assert f"pulled      488.28 KiB  {ACQ}/beam_0000.h5" in listed
    assert any(line.startswith(f"failed      488.28 KiB  {ACQ}/beam_0001.h5: ") for line in listed)
    assert f"missing     488.28 KiB  {ACQ}/beam_0001.h5: no such file on the node" in listed


def test_files_are_listed_above_the_display(sqlite_archive: Archive) -> None:
    conf = slow_pulls(sqlite_archive)
    with on_screen("-v", "-c", str(conf), "sync", columns=80, environ=environ(sqlite_archive)) as screen:
        assert screen.end() == 1
    assert any(line == f"pulled      488.28 KiB  {ACQ}/beam_0003.h5" for line in screen.lines)
    assert not any(line.startswith("total") for line in screen.lines)


def test_lines_do_not_disturb_json(sqlite_archive: Archive) -> None:
    sqlite_archive.node("field")
    sqlite_archive.file("acq/f", b"bytes", "field")
    result = sqlite_archive.run("reconcile", "--json", "--progress=plain:0.01")
    assert result.json["nodes"][0]["looked"] == 1
    assert "starting the worker processes" in result.err


def test_a_run_without_a_terminal_imports_no_display(sqlite_archive: Archive) -> None:
    sqlite_archive.node("field")
    conf = sqlite_archive.configure()
    argv = [sys.executable, "-X", "importtime", "-m", "alpenhorn", "-c", str(conf), "sync"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "alpenhorn.coordinator.sync" in imported
    unwanted = {"rich", "alpenhorn.cli.estimates", "alpenhorn.cli.run_lines", "alpenhorn.cli.run_display"}
    assert not imported & (unwanted | {"alpenhorn.cli.done_files", "alpenhorn.cli.output"})
