"""Each way in which a run can end: exit status, row, `history`, `status` and `doctor` must agree.

Every ending has a code in `alpenhorn.reasons`; one that no test here brings about is found by the test at the end.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from alpenhorn.cli.main import main
from alpenhorn.coordinator import endings
from alpenhorn.coordinator import sync as coordinator
from alpenhorn.errors import Busy, IndexUnusable, NotFound
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.reasons import Code, code_of
from tests.faults.test_limits import AS_SOMEBODY
from tests.fixtures.archive import Archive, Result, Running, stand_in, wait_for

PACKAGE = Path(coordinator.__file__).parents[1]


class Way(NamedTuple):
    """`status`: the run's exit status; `code`: that of the row's ending, None for a run that came to its end; `row`:
    whether there is a row."""

    bring: Callable[[Archive], Result]
    status: int
    code: Code | None = None
    row: bool = True


def pair(archive: Archive, rsync: str = "") -> int:
    """Nodes field and safe with one pull pending between them, by a program where that is given."""
    archive.node("field")
    archive.node("safe", archive=1, io_config='{"method": "rsync"}' if rsync else None)
    if rsync:
        asked = 'case "$*" in *--version*) exec rsync "$@" ;; esac'
        program = stand_in(archive.base / "bin", "slow", f"{asked}\n{rsync}")
        archive.configure(transfer={"rsync": str(program)})
    return archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")


def reached(archive: Archive, *arguments: str) -> Running:
    """Start a run, and wait until it is in the middle of its work."""
    run = archive.start("sync", *arguments)
    wait_for((archive.base / "reached").exists, "the work")
    return run


def done(archive: Archive) -> Result:
    pair(archive)
    return archive.sync()


def failed(archive: Archive) -> Result:
    pair(archive, "echo no >&2; exit 11")
    return archive.sync()


def no_node(archive: Archive) -> Result:
    pair(archive)
    for name in ("field", "safe"):
        archive.root(name).rename(archive.base / f"{name}-away")
    return archive.sync()


def not_its_node(archive: Archive) -> Result:
    pair(archive)
    archive.node("far", host="there")
    return archive.sync("--node", "far")


def nodes_lost(archive: Archive) -> Result:
    pair(archive, f"mv {archive.root('field')} {archive.root('safe')} {archive.base}/bin; exit 11")
    return archive.sync()


def out_of_time(archive: Archive) -> Result:
    pair(archive)
    return archive.sync("--time-limit", "0.001")


def left_out_of_a_comparison(archive: Archive) -> Result:
    pair(archive)
    archive.root("safe").rename(archive.base / "away")
    return archive.run("reconcile")


def no_manifest(archive: Archive) -> Result:
    pair(archive)
    archive.root("safe").rename(archive.base / "away")
    return archive.run("node", "manifest", "safe")


def stopped(*numbers: int) -> Callable[[Archive], Result]:
    def bring(archive: Archive) -> Result:
        pair(archive, f"touch {archive.base}/reached; exec sleep 1000")
        run = reached(archive)
        for number in numbers:
            run.process.send_signal(number)
        return run.result()

    return bring


def twice(number: int) -> Callable[[Archive], Result]:
    def bring(archive: Archive) -> Result:
        pair(archive, f"trap '' TERM INT; touch {archive.base}/reached; sleep 1000; sleep 1000")
        run = reached(archive)
        run.process.send_signal(number)
        log = archive.base / "here.log"
        wait_for(lambda: "asked to stop" in log.read_text(), "word that the first signal was taken")
        run.process.send_signal(number)
        return run.result()

    return bring


def killed_by(number: int) -> Callable[[Archive], Result]:
    def bring(archive: Archive) -> Result:
        pair(archive, f"touch {archive.base}/reached; exec sleep 1000")
        run = reached(archive)
        run.process.send_signal(number)
        result = run.result()
        run.wait_until_nothing_is_left()
        return result

    return bring


def broken(archive: Archive) -> Result:
    """Cause an exception that no part of the program expects."""
    pair(archive)
    archive.do("CREATE TRIGGER broken BEFORE INSERT ON sync_event BEGIN SELECT RAISE(ABORT, 'broken'); END")
    return archive.sync()


def index_gone(archive: Archive) -> Result:
    """Remove the index file and kill a worker, whose replacement opens the index again."""
    index = archive.url.removeprefix("sqlite:///")
    archive.index.disconnect()
    pair(archive, f"mkdir {archive.base}/kept; mv {index}* {archive.base}/kept; kill -9 $PPID")
    archive.index.disconnect()
    result = archive.sync("--jobs", "1")
    for path in (archive.base / "kept").iterdir():
        path.rename(Path(index).parent / path.name)
    return result


def refused(archive: Archive) -> Result:
    """Violate a unique key."""
    pair(archive)
    return archive.sync("--node", "nonesuch")


def taken(archive: Archive) -> Result:
    pair(archive)
    archive.synced()
    archive.do("DELETE FROM sync_run")
    with RunLock(archive.root("safe") / RUN_LOCK), RunLock(archive.root("field") / RUN_LOCK):
        return archive.sync()


def without_work(archive: Archive) -> Result:
    archive.node("far", host="there")
    archive.host("here")
    return archive.sync()


def shell(archive: Archive, script: str) -> Result:
    """`script` in which $RUN stands for the run."""
    conf = archive.configure()
    run = f"{sys.executable} -m alpenhorn -c {conf} sync"
    environ = {"HOME": str(archive.base), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    running = Running(["bash", "-c", script.replace("$RUN", run)], environ, archive.base / "said")
    return running.result()


def no_workers(archive: Archive) -> Result:
    pair(archive)
    return shell(archive, f"{' '.join(AS_SOMEBODY)} prlimit --nproc=1:1 $RUN")


def unheard(archive: Archive) -> Result:
    """Send a message that has no reader."""
    pair(archive)
    archive.root("field").rename(archive.base / "away")
    archive.do("UPDATE archivefilecopyrequest SET cancelled = 1")
    return shell(archive, "$RUN 2> /dev/full")


DIED = Code.RUN_NOT_ENDED
WAYS = {
    "done": Way(done, 0),
    "a pull that failed": Way(failed, 1),
    "no node is there": Way(no_node, 1, Code.RUN_NO_NODE),
    "a node of another host": Way(not_its_node, 1, Code.RUN_NO_NODE),
    "all nodes go": Way(nodes_lost, 1, Code.RUN_NODES_LOST),
    "the time limit": Way(out_of_time, 0, Code.RUN_OUT_OF_TIME),
    "a comparison without a node": Way(left_out_of_a_comparison, 1),
    "no manifest": Way(no_manifest, 1, Code.RUN_NO_NODE),
    "SIGTERM": Way(stopped(signal.SIGTERM), 1, Code.RUN_STOPPED),
    "SIGHUP": Way(stopped(signal.SIGHUP), 1, Code.RUN_STOPPED),
    "a terminal that is closed": Way(stopped(signal.SIGHUP, signal.SIGHUP), 1, Code.RUN_STOPPED),
    "a session that is ended": Way(stopped(signal.SIGTERM, signal.SIGHUP), 1, Code.RUN_STOPPED),
    "SIGTERM twice": Way(twice(signal.SIGTERM), 143, Code.RUN_SIGNAL),
    "SIGINT twice": Way(twice(signal.SIGINT), 130, Code.RUN_SIGNAL),
    "SIGKILL": Way(killed_by(signal.SIGKILL), -signal.SIGKILL, DIED),
    "SIGALRM": Way(killed_by(signal.SIGALRM), -signal.SIGALRM, DIED),
    "an exception": Way(broken, 1, Code.RUN_FAILED),
    "the index is gone": Way(index_gone, 3, DIED),
    "no workers": Way(no_workers, 1, Code.RUN_NO_WORKERS),
    "no standard error": Way(unheard, 1, Code.RUN_UNHEARD),
    "no such node": Way(refused, 1, row=False),
    "another run has all nodes": Way(taken, 75, row=False),
    "nothing to do for this host": Way(without_work, 0, row=False),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_situation_16_all_commands_agree_on_how_a_run_ended(sqlite_archive: Archive, way: Way) -> None:
    result = way.bring(sqlite_archive)
    assert result.status == way.status, result
    rows = sqlite_archive.all("SELECT id FROM sync_run")
    assert len(rows) == way.row
    if way.row:
        agree(sqlite_archive, way.status, way.code)


def agree(archive: Archive, status: int, code: Code | None) -> None:
    """Check that all commands that show the last run agree on its end."""
    ended, exit_status, ending, pid = archive.one(
        "SELECT ended, exit_status, ending, pid FROM sync_run ORDER BY id DESC LIMIT 1"
    )
    assert pid is not None
    dead = code is DIED
    assert (ended is None, exit_status) == (dead, None if dead else status)
    beginning = "" if code is None else code.text.partition("{")[0]
    assert (ending is None) == (code is None or dead) and (ending or "").startswith("" if dead else beginning)

    *_, document = json.loads(shown(archive, "history", "--json"))
    run = str(document["id"])
    for found in (document, json.loads(shown(archive, "history", "--run", run, "--json"))):
        assert found["state"] == ("dead" if dead else "ended")
        assert found["exit_status"] == exit_status
        assert (found["ending"] or "").startswith(beginning) and (found["ending"] is None) == (code is None)
    assert beginning in shown(archive, "history", "--run", run)

    said = json.dumps(json.loads(shown(archive, "status", "--json"))["attention"])
    assert ("the last run on here" in said) == (status not in (0, 75))
    assert (f"ended with status {status}" in said) == (not dead and status != 0)
    assert (str(Code.RUN_NOT_ENDED()) in said) == dead

    findings = json.loads(shown(archive, "doctor", "--json"))
    (finding,) = (one for one in findings if "the last run on here" in one["text"])
    assert finding["level"] == ("pass" if status == 0 else "warn")
    assert ("succeeded" in finding["text"]) == (status == 0)
    assert (str(Code.RUN_NOT_ENDED()) in finding["text"]) == dead
    if status and code:
        assert beginning in finding["text"]


def shown(archive: Archive, *arguments: str) -> str:
    """Return the output of a command, run in this process to save time."""
    conf = archive.base / "here.toml"
    with CliRunner().isolation() as (out, _, _):
        main(["-c", str(conf), *arguments])
        return out.getvalue().decode()


def test_situation_16_an_index_that_fails_in_the_middle_leaves_no_status_0(mariadb_archive: Archive) -> None:
    pair(mariadb_archive)
    mariadb_archive.do(
        "CREATE TRIGGER full BEFORE INSERT ON sync_event FOR EACH ROW"
        " SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = 'the disk is full'"
    )
    assert mariadb_archive.sync().status == 3
    agree(mariadb_archive, 3, Code.RUN_INDEX_LOST)
    assert mariadb_archive.claims() == 0


def test_a_run_out_of_memory_never_reports_success(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    pair(
        archive,
        f"touch {archive.base}/reached; while [ ! -e {archive.base}/go ]; do sleep 0.05; done; exit 11",
    )
    ids = archive.files(1000, "field")
    run = reached(archive, "--jobs", "1")
    archive.requests(ids, "field", "safe")
    resource.prlimit(run.process.pid, resource.RLIMIT_AS, (1, 1))
    (archive.base / "go").touch()
    try:
        status = run.process.wait(60)
    finally:
        run.end()
    exit_status, failed = archive.one("SELECT exit_status, failed FROM sync_run")
    # What it died of may have kept it from writing that down.
    assert status and exit_status in (None, status)
    if failed == 0:
        agree(archive, status, DIED if exit_status is None else Code.RUN_NO_MEMORY)


def test_the_next_run_says_once_that_the_last_one_did_not_end(sqlite_archive: Archive) -> None:
    killed_by(signal.SIGKILL)(sqlite_archive)
    sqlite_archive.do("UPDATE archivefilecopyrequest SET cancelled = 1")
    result = sqlite_archive.sync()
    assert result.status == 0 and f"run 1 on here {Code.RUN_NOT_ENDED()}" in result.err
    first, _ = sqlite_archive.run("history", "--json", host="there").json
    assert first["state"] == "dead" and first["ending"] == Code.RUN_NOT_ENDED()
    assert "the last run" not in sqlite_archive.run("status").out
    assert sqlite_archive.sync().err == ""


def test_a_living_run_is_not_called_dead_and_a_reused_pid_is_not_a_run(
    sqlite_archive: Archive,
) -> None:
    archive = sqlite_archive
    pair(archive, f"touch {archive.base}/reached; exec sleep 1000")
    run = reached(archive)

    def state(host: str = "here") -> str:
        (document,) = archive.run("history", "--json", host=host).json
        return str(document["state"])

    assert state() == "running" and state("there") == "unknown"
    assert "running" in archive.run("history").out and "running" in archive.run("status").out
    assert "did not end" not in archive.run("status", "--json").out
    # This process is older than the row, as the run's is; no other process can be.
    archive.do("UPDATE sync_run SET pid = ?", os.getpid())
    assert state() == "running"
    archive.do("UPDATE sync_run SET started = '2020-01-01 00:00:00'")
    assert state() == "dead"
    run.kill()


def test_a_later_run_on_its_node_shows_every_host_that_a_run_is_dead(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    for nodes, host in (("a b", "x"), ("c", "x"), ("b", "y")):
        archive.insert(
            "sync_run", host=host, nodes=nodes, started="2026-07-22 10:00:00", done=0, failed=0, bytes=0
        )
    assert [one["state"] for one in archive.run("history", "--json").json] == ["dead", "unknown", "unknown"]
    assert archive.run("history", "--run", "1", "--json").json["state"] == "dead"
    assert archive.run("history", "--run", "2", "--json").json["state"] == "unknown"


# --- that none is forgotten ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (IndexUnusable("gone"), 3, Code.RUN_INDEX_LOST),
        (NotFound("no such thing"), 1, Code.RUN_FAILED),
        (KeyboardInterrupt(), 130, Code.RUN_SIGNAL),
        (SystemExit(143), 143, Code.RUN_SIGNAL),
        (SystemExit("text"), 1, Code.RUN_SIGNAL),
        (MemoryError(), 1, Code.RUN_NO_MEMORY),
        (RuntimeError("x\ny"), 1, Code.RUN_FAILED),
    ],
)
def test_the_cause_of_death_gives_the_exit_status(error: BaseException, status: int, code: Code) -> None:
    found = endings.died_of(error)
    assert found.why is not None and "\n" not in found.why
    assert (found.exit_status, code_of(found.why)) == (status, code)


def test_every_ending_that_has_a_code_is_brought_about_here() -> None:
    brought = {way.code for way in WAYS.values()} | {Code.RUN_INDEX_LOST, Code.RUN_NO_MEMORY}
    assert {code for code in Code if code.startswith("run-")} == brought - {None}


def test_only_one_place_writes_how_a_run_ended() -> None:
    """The tests above would not cover a second place."""
    writers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(
            text in path.read_text()
            for text in ("UPDATE sync_run", "INTO sync_run", "runs.end(", "runs.begin(")
        )
    }
    assert writers == {"record/run.py", "coordinator/endings.py"}


def test_all_that_a_run_does_is_done_under_its_row() -> None:
    """The only exception is a command that is not a run, because no node of this host was selected."""
    (function,) = ast.parse(inspect.getsource(coordinator.sync)).body
    assert isinstance(function, ast.FunctionDef)
    *before, last = function.body
    assert isinstance(last, ast.Return)
    guarded = before.pop()
    assert isinstance(guarded, ast.Try)
    (busy,) = guarded.handlers
    assert "Busy" in ast.dump(busy.type or busy) and isinstance(busy.body[-1], ast.Raise)
    (row,) = guarded.body
    assert isinstance(row, ast.With) and "Row" in ast.dump(row.items[0])
    exits = [node for one in before for node in ast.walk(one) if isinstance(node, ast.Return | ast.Raise)]
    assert len(exits) == 1
    assert issubclass(Busy, Exception)


def test_the_traceback_of_an_unexpected_error_is_in_the_log_file(sqlite_archive: Archive) -> None:
    assert unheard(sqlite_archive).status == 1
    log = (sqlite_archive.base / "here.log").read_text()
    assert "unexpected error" in log and "Traceback" in log and "No space left on device" in log
