"""Runs with packages installed that extend alpenhorn: storage classes, import detectors, tables of their own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.archive import Archive, Result, wait_for
from tests.fixtures.packages import Package, install

pytestmark = pytest.mark.one_engine

DETECT, INDEX = "alpenhorn.import_detect", "alpenhorn.index"
HOUR = 3600
SEEN = 2.1  # seconds after which a second change of a directory has another time


def put(archive: Archive, path: str, content: bytes = b"target: m31\n", node: str = "field") -> Path:
    """Write a file that has not changed for a long time."""
    at = archive.put(node, path, content)
    os.utime(at, (time.time() - HOUR,) * 2)
    return at


def registered(archive: Archive) -> set[tuple[str, str]]:
    rows = archive.all("SELECT a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id")
    return {(acq, name) for acq, name in rows}


def observations(archive: Archive) -> list[tuple[Any, ...]]:
    return archive.all("SELECT file_id, target, night FROM example_observation ORDER BY file_id")


def prepare(archive: Archive, example: Path) -> dict[str, str]:
    """Create node field and the tables of the example; return the environment in which the example is found."""
    environ = {"PYTHONPATH": str(example)}
    assert archive.run("db", "init", environ=environ).status == 0
    archive.node("field", auto_import=1)
    return environ


def remember(archive: Archive, environ: dict[str, str]) -> None:
    """Run once the last change of the node's tree is old enough for later changes to be noticed."""
    changed = max(os.stat(path).st_ctime for path, _, _ in os.walk(archive.root("field")))
    wait_for(lambda: time.time() > changed + SEEN, "the clock")
    archive.sync(environ=environ)


def modules(archive: Archive, environ: dict[str, str]) -> Sequence[str]:
    """Return the modules that the parent process of a run imports."""
    result = archive.sync(environ={**environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert result.status == 0, result
    return [line.rpartition("|")[2].strip() for line in result.err.splitlines()]


def detector(tmp_path: Path, source: str, **points: dict[str, str]) -> dict[str, str]:
    """Install one detector called `it`, and return the environment in which it is found."""
    package = Package("stranger", source, {DETECT: {"it": "detect"}, **points})
    return {"PYTHONPATH": str(install(tmp_path, package))}


# --- storage classes -----------------------------------------------------------------------------------


def test_a_class_of_a_package_is_created_checked_and_filled(archive: Archive, example: Path) -> None:
    environ = {"PYTHONPATH": str(example)}
    archive.node("src")
    ids = [archive.file(f"acq/f{number}", b"x" * 1000, "src") for number in range(4)]
    large = archive.file("acq/large", b"x" * 5000, "src")
    archive.host("here")

    def alpenhorn(*arguments: str) -> Result:
        return archive.run(*arguments, environ=environ)

    refused = archive.run("group", "create", "even", "--class", "Balanced")
    assert refused.status == 1 and "no storage class 'Balanced'" in refused.err
    refused = alpenhorn("group", "create", "even", "--class", "Balanced", "--io-var", "largest=much")
    assert refused.status == 1 and "largest is 'much'" in refused.err
    create = ("group", "create", "even", "--class", "Balanced", "--io-var", "largest=4000")
    assert alpenhorn(*create).status == 0
    for name in ("one", "two"):
        node = ("node", "create", name, "--group", "even", "--class", "Balanced", "--activate", "--init")
        place = ("--host", "here", "--root", str(archive.base / name))
        (archive.base / name).mkdir()
        refused = alpenhorn(*node, *place)
        assert refused.status == 1 and "keep_free is missing" in refused.err
        assert alpenhorn(*node, *place, "--io-var", "keep_free=1000000").status == 0
    # Less is free on one of them, so that the other is the one with the most room.
    archive.do("UPDATE storagenode SET max_total_gb = 0.0001 WHERE name = 'one'")
    requests = archive.requests([*ids, large], "src", "even")
    result = archive.sync(environ=environ)
    assert result.status == 0 and "larger than group even takes" in result.err, result
    assert [archive.state(request) for request in requests] == ["done"] * 4 + ["pending"]
    assert len(archive.tree("two")) == 4 and not archive.tree("one")
    assert not archive.violations()
    # Where the package is not installed what needs it is left out, and no more than that.
    archive.node("plain")
    archive.request(ids[0], "src", "plain")
    result = archive.sync()
    assert result.status == 0 and "node one is left out: no storage class 'Balanced'" in result.err
    assert archive.copy(ids[0], "plain") == "YY"


# --- import detectors ----------------------------------------------------------------------------------


def test_a_detector_names_files_by_what_is_in_them_and_its_table_is_filled(
    archive: Archive, example: Path
) -> None:
    environ = prepare(archive, example)
    put(archive, "20260722/m31/a.obs")
    put(archive, "20260722/m31/b.obs")
    put(archive, "20260722/m33/c.obs", b"target: m33\n")
    put(archive, "20260722/log.txt")
    result = archive.sync(environ=environ)
    assert result.status == 0
    assert "no import detector claims it; 20260722/log.txt" in result.err
    assert registered(archive) == {
        ("20260722/m31", "a.obs"),
        ("20260722/m31", "b.obs"),
        ("20260722/m33", "c.obs"),
    }
    assert {row[1:] for row in observations(archive)} == {("m31", "20260722"), ("m33", "20260722")}
    assert len(observations(archive)) == 3
    # Once it is remembered there is nothing to ask and nothing to tell, until something is new.
    remember(archive, environ)
    archive.synced(environ=environ)
    put(archive, "20260722/m31/d.obs")
    archive.synced(environ=environ)
    assert len(observations(archive)) == 4


def test_a_failure_of_a_detector_is_reported_and_retried(archive: Archive, example: Path) -> None:
    environ = prepare(archive, example)
    put(archive, "20260722/m31/good.obs")
    bad = put(archive, "20260722/m31/bad.obs", b"garbage")
    for _ in range(2):
        result = archive.sync(environ=environ)
        assert result.status == 1
        assert "the import detector observations failed: ValueError" in result.err
        assert "bad.obs" in result.err and "good.obs" not in result.err
        assert registered(archive) == {("20260722/m31", "good.obs")}
    bad.write_bytes(b"target: m31\n")
    os.utime(bad, (time.time() - HOUR,) * 2)
    archive.synced(environ=environ)
    assert ("20260722/m31", "bad.obs") in registered(archive)


def test_a_request_stays_pending_while_a_detector_fails(archive: Archive, example: Path) -> None:
    environ = prepare(archive, example)
    archive.do("UPDATE storagenode SET auto_import = 0")
    bad = archive.put("field", "20260722/m31/bad.obs", b"garbage")
    archive.run("node", "scan", "field", "--register-new")
    pending = "SELECT COUNT(*) FROM archivefileimportrequest WHERE completed = 0"
    assert archive.sync(environ=environ).status == 1
    assert archive.one(pending) == 1
    bad.write_bytes(b"target: m31\n")
    archive.forget_attempts()
    archive.synced(environ=environ)
    assert archive.one(pending) == 0 and len(registered(archive)) == 1


def test_a_detector_does_not_get_an_unfinished_file(archive: Archive, example: Path) -> None:
    environ = prepare(archive, example)
    archive.put("field", "20260722/m31/changing.obs", b"")
    put(archive, "20260722/m31/locked.obs", b"")
    lock = archive.put("field", "20260722/m31/.locked.obs.lock", b"")
    archive.synced(environ=environ)
    assert not registered(archive)
    lock.unlink()
    assert "locked.obs" in archive.sync(environ=environ).err


def test_patterns_come_first_and_the_first_directory_means_nothing_beside_detectors(
    archive: Archive, example: Path
) -> None:
    environ = prepare(archive, example)
    put(archive, "logs/a.obs/x")
    put(archive, "20260722/m31/a.obs")
    put(archive, "20260722/m31/b.obs")
    put(archive, "other/file")
    conf = archive.base / "patterns.toml"
    conf.write_text(
        archive.configure().read_text()
        + "[[import.pattern]]\npath = '(?P<acq>logs)/.*'\n"
        + "[[import.pattern]]\npath = '(?P<acq>[0-9]+)/(?P<file>.*/b.obs)'\n"
    )
    result = archive.sync(conf=conf, environ=environ)
    assert result.status == 0 and "no import detector claims it; other/file" in result.err
    assert registered(archive) == {
        ("logs", "a.obs/x"),
        ("20260722/m31", "a.obs"),
        ("20260722", "m31/b.obs"),
    }
    # The same tree without the package.
    archive.run("node", "scan", "field", "--register-new")
    archive.sync()
    assert ("other", "file") in registered(archive)


def test_a_registered_file_keeps_its_name_and_no_detector_is_called(archive: Archive, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    environ = detector(
        tmp_path,
        f"""
def detect(path, node):
    with open({str(asked)!r}, "a") as log:
        log.write(path + "\\n")
    return path.split("/")[0]
""",
    )
    archive.node("field", auto_import=1)
    archive.node("other", auto_import=1)
    archive.file("a", b"a")  # whose path is that of no file
    for number in range(50):
        archive.file(f"deep/er/{number}", b"known", "other")
    archive.do("UPDATE archiveacq SET name = 'deep/er' WHERE name = 'deep'")
    archive.do("UPDATE archivefile SET name = SUBSTR(name, 4) WHERE name LIKE 'er/%'")
    for number in range(50):
        put(archive, f"deep/er/{number}", b"known")
    put(archive, "deep/er/new", b"new")
    archive.synced(environ=environ)
    assert asked.read_text() == "deep/er/new\n"
    assert {name for acq, name in registered(archive) if acq == "deep"} == {"er/new"}
    rows = archive.all("SELECT COUNT(*) FROM archivefilecopy GROUP BY node_id ORDER BY node_id")
    assert rows == [(51,), (50,)]


WAYS = """
import os, signal, time
from alpenhorn.errors import StorageError

class Quiet:
    def __repr__(self):
        raise RuntimeError("not even this")

class Silent(Exception):
    __repr__ = Quiet.__repr__

def nothing(imported, index):
    pass

def detect(path, node):
    name = path.rpartition("/")[2]
    acq = path.partition("/")[0]
    if name == "kills": os.kill(os.getpid(), signal.SIGKILL)
    if name == "exits": raise SystemExit(3)
    if name == "leaves": os._exit(3)
    if name == "silent": raise Silent()
    if name == "storage": raise StorageError("the node is gone, says a stranger")
    if name == "number": return 5
    if name == "triple": return acq, nothing, 5
    if name == "uncallable": return acq, "nothing"
    if name == "lambda": return acq, lambda imported, index: None
    if name == "elsewhere": return "elsewhere"
    if name == "upwards": return ".."
    if name == "part": return acq[:1]
    if name == "empty": return ""
    if name == "long": return path.rpartition("/")[0]
    if name == "escapes": node.open("../../etc/passwd")
    if name == "link": node.open("acq/to")
    if name == "sees":
        with node.open(path) as file:
            assert file.read() == b"content" and node.size(path) == 7
            try:
                file.write(b"x")
            except OSError:
                pass
            else:
                return None
        assert node.exists(path) and not node.exists("nothing")
        assert (node.name, node.host) == ("field", "here") and os.path.isdir(node.root)
    return acq
"""

EXPECTED = {
    "kills": "gave no usable answer: died: its worker ended with signal 9",
    "exits": "failed: SystemExit(3)",
    "leaves": "died: its worker ended with status 3",
    "silent": "failed: Silent",
    "storage": "says a stranger",
    "number": "returned 5; expected None, a name, or (name, callback)",
    "triple": "expected None, a name, or (name, callback)",
    "uncallable": "expected None, a name, or (name, callback)",
    "lambda": "failed: ",
    "elsewhere": "returned an acquisition that is not the start of its path",
    "upwards": "returned an acquisition that is not the start of its path",
    "part": "returned an acquisition that is not the start of its path",
    "empty": "no import detector claims it",
    "escapes": "UnsafePath",
    "link": "failed: ",
}


def test_a_misbehaving_detector_does_not_affect_other_files(sqlite_archive: Archive, tmp_path: Path) -> None:
    archive = sqlite_archive
    environ = detector(tmp_path, WAYS)
    archive.node("field")
    for name in EXPECTED:
        archive.put("field", f"acq/{name}", b"content")
    (archive.root("field") / "acq" / "to").symlink_to("/etc/passwd")
    long = f"{'d' * 70}/long"
    archive.put("field", long, b"content")
    good = {f"acq/good{number}" for number in range(20)} | {"acq/sees"}
    for path in good:
        archive.put("field", path, b"content")
    # Each by itself, so that of each it is seen what is told.
    for name, text in EXPECTED.items():
        archive.run("file", "import", f"acq/{name}", "field", "--register-new")
        result = archive.sync(environ=environ)
        assert text in result.err, (name, result)
        archive.do("UPDATE archivefileimportrequest SET completed = 1")
    assert not registered(archive)
    # And all together.
    archive.run("node", "scan", "field", "--register-new")
    result = archive.sync(environ=environ)
    assert result.status == 1
    assert "longer than 64 characters" in result.err
    assert {f"{acq}/{name}" for acq, name in registered(archive)} == good
    assert archive.sync(environ=environ).status == 0  # and the node is as well as before


@pytest.mark.slow
def test_a_hanging_detector_is_killed_and_other_files_get_their_names(
    sqlite_archive: Archive, tmp_path: Path
) -> None:
    archive = sqlite_archive
    environ = detector(
        tmp_path,
        """
import signal

def detect(path, node):
    if path.endswith("hangs"):
        signal.pause()
    return path.split("/")[0]
""",
    )
    archive.node("field")
    for name in ("a", "hangs", "z"):
        archive.put("field", f"acq/{name}", b"content")
    archive.run("node", "scan", "field", "--register-new")
    result = archive.sync(environ=environ)
    assert result.status == 1 and "timed out" in result.err and "acq/hangs" in result.err
    assert registered(archive) == {("acq", "a"), ("acq", "z")}


def test_detectors_that_kill_every_worker_are_disabled(sqlite_archive: Archive, tmp_path: Path) -> None:
    archive = sqlite_archive
    deaths = tmp_path / "deaths"
    environ = detector(
        tmp_path,
        f"""
import os

def detect(path, node):
    with open({str(deaths)!r}, "a") as log:
        log.write("x")
    os._exit(3)
""",
    )
    archive.node("field")
    for number in range(250):
        archive.put("field", f"acq/{number}", b"content")
    archive.run("node", "scan", "field", "--register-new")
    result = archive.sync(environ=environ)
    assert result.status == 1 and "not called again in this search" in result.err
    assert len(deaths.read_text()) <= 3 + 3 + 2  # each batch, then single files, and what was under way
    assert not registered(archive)


def test_detectors_are_called_in_order_of_names_and_broken_ones_are_skipped(
    sqlite_archive: Archive, tmp_path: Path
) -> None:
    archive = sqlite_archive
    source = (
        'def detect(path, node):\n    return "acq{}" if path.startswith("acq") and "{}" in path else None\n'
    )
    at = install(
        tmp_path,
        Package("broken", "raise RuntimeError('no licence')", {DETECT: {"a-first": "detect"}}),
        Package("second", source.format("", "x"), {DETECT: {"b-second": "detect"}}),
        Package("third", source.format("/sub", "/sub"), {DETECT: {"c-third": "detect"}}),
    )
    archive.node("field", auto_import=1)
    for path in ("acq/sub/x", "acq/sub/y", "acq/z"):
        put(archive, path)
    for _ in range(2):  # what nobody claims may be the broken one's
        result = archive.sync(environ={"PYTHONPATH": str(at)})
        assert result.status == 1
        assert "the import detector a-first of broken 0.1" in result.err and "no licence" in result.err
        assert "acq/z" in result.err and "sub" not in result.err
        assert registered(archive) == {("acq", "sub/x"), ("acq/sub", "y")}


def test_two_detectors_with_the_same_name_are_both_skipped(sqlite_archive: Archive, tmp_path: Path) -> None:
    archive = sqlite_archive
    source = 'def detect(path, node):\n    return path.split("/")[0]\n'
    at = install(tmp_path, *(Package(name, source, {DETECT: {"same": "detect"}}) for name in ("one", "two")))
    archive.node("field", auto_import=1)
    put(archive, "acq/file")
    result = archive.sync(environ={"PYTHONPATH": str(at)})
    assert result.status == 1 and "neither is used" in result.err
    assert not registered(archive)


def test_a_detector_that_is_installed_later_gets_what_was_declined_before(
    sqlite_archive: Archive, example: Path, tmp_path: Path
) -> None:
    archive = sqlite_archive
    environ = prepare(archive, example)
    put(archive, "20260722/m31/a.obs")
    put(archive, "acq/file")
    assert "acq/file" in archive.sync(environ=environ).err
    remember(archive, environ)
    more = detector(tmp_path, 'def detect(path, node):\n    return "acq" if path[:3] == "acq" else None\n')
    both = {"PYTHONPATH": f"{example}:{more['PYTHONPATH']}"}
    # Nothing has changed, so nothing is looked at; the first thing that changes makes it look.
    archive.synced(environ=both)
    put(archive, "20260722/m31/b.obs")
    archive.synced(environ=both)
    assert ("acq", "file") in registered(archive)


# --- callbacks -----------------------------------------------------------------------------------------

CALLBACK = """
import json, os, signal
from functools import partial

LOG = {log!r}

def detect(path, node):
    return path.partition("/")[0], partial(called, path.rpartition("/")[2])

def called(name, imported, index):
    with open(LOG, "a") as log:
        log.write(json.dumps([name, imported._asdict(), imported.path, os.getpid()]) + "\\n")
    if name == "raises":
        index.execute("UPDATE archiveacq SET comment = 'undone' WHERE id = ?", (imported.acq_id,))
        raise RuntimeError("not today")
    if name == "exits": raise SystemExit(3)
    if name == "begins": index.db.begin()
    if name == "wrong": index.execute("SELECT nonsense FROM nowhere")
    if name == "loses": index.execute("SELECT nonsense" if index.dialect.in_a_file else "KILL CONNECTION_ID()")
    if name == "writes": index.execute("UPDATE archiveacq SET comment = 'done' WHERE id = ?", (imported.acq_id,))
    if name == "kills": os.kill(os.getpid(), signal.SIGKILL)
"""


def calls(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def imported(archive: Archive, environ: dict[str, str], *names: str) -> Result:
    for name in names:
        archive.put("field", f"acq/{name}", name.encode())
        archive.run("file", "import", f"acq/{name}", "field", "--register-new")
    return archive.sync(environ=environ)


@pytest.mark.both_engines
def test_a_callback_runs_once_the_import_is_recorded(archive: Archive, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environ = detector(tmp_path, CALLBACK.format(log=str(log)))
    archive.node("field")
    assert imported(archive, environ, "one").status == 0
    assert imported(archive, environ, "two").status == 0
    (name, first, path, pid), (_, second, _, _) = calls(log)
    assert (name, path) == ("one", "acq/one") and pid != os.getpid()
    row = archive.one(
        "SELECT f.id, f.acq_id, c.node_id, a.name, f.name, n.name, f.size_b, f.md5sum FROM archivefile f"
        " JOIN archiveacq a ON a.id = f.acq_id JOIN archivefilecopy c ON c.file_id = f.id"
        " JOIN storagenode n ON n.id = c.node_id WHERE f.name = 'one'"
    )
    assert tuple(first.values()) == (*row, True, True)
    assert (second["new_file"], second["new_acq"]) == (True, False)
    # Neither another copy of a file nor another look at this one makes it a new one.
    archive.node("other")
    archive.put("other", "acq/one", b"one")
    for node in ("field", "other"):
        archive.run("node", "scan", node, "--register-new")
    archive.synced(environ=environ)
    assert len(calls(log)) == 2 and archive.copy(row[0], "other") == "YY"


@pytest.mark.both_engines
@pytest.mark.parametrize("name", ["raises", "exits", "begins", "wrong", "loses"])
def test_a_failing_callback_undoes_and_stops_nothing_else(
    archive: Archive, tmp_path: Path, name: str
) -> None:
    log = tmp_path / "log"
    environ = detector(tmp_path, CALLBACK.format(log=str(log)))
    archive.node("field")
    result = imported(archive, environ, "a", name, "writes", "z")
    assert len(calls(log)) == 4
    assert {entry for _, entry in registered(archive)} == {"a", name, "writes", "z"}
    assert archive.one("SELECT comment FROM archiveacq") == "done"
    assert archive.one("SELECT COUNT(*) FROM archivefileimportrequest WHERE completed = 0") == 0
    assert archive.one("SELECT ended IS NOT NULL FROM sync_run ORDER BY id DESC LIMIT 1") == 1
    if name != "begins":
        assert result.status == 1 and "the callback of the import detector it failed" in result.err
        assert f"acq/{name}" in result.err


def test_a_callback_that_was_killed_with_its_run_is_not_called_again(
    archive: Archive, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    environ = detector(tmp_path, CALLBACK.format(log=str(log)))
    archive.node("field")
    assert imported(archive, environ, "kills").status == -9
    assert registered(archive) == {("acq", "kills")}
    wait_for(lambda: archive.sync(environ=environ).status == 0, "a run that has the node")
    assert len(calls(log)) == 1
    assert archive.one("SELECT COUNT(*) FROM archivefileimportrequest WHERE completed = 0") == 0


@pytest.mark.both_engines
@pytest.mark.parametrize("setup", ["no tables", "another version"])
def test_callbacks_of_a_package_whose_tables_are_not_right_are_not_called(
    archive: Archive, example: Path, setup: str
) -> None:
    environ = {"PYTHONPATH": str(example)}
    archive.node("field", auto_import=1)
    told = "the index lacks its tables; run `alpenhorn db init`"
    if setup == "another version":
        assert archive.run("db", "init", environ=environ).status == 0
        archive.do("UPDATE dataindexversion SET version = 2 WHERE component = 'alpenhorn-example'")
        told = "the index has version 2, the package needs version 1"
    put(archive, "20260722/m31/a.obs")
    result = archive.sync(environ=environ)
    assert result.status == 0 and told in result.err, result
    assert registered(archive) == {("20260722/m31", "a.obs")}
    if setup == "another version":
        assert not observations(archive)


# --- tables --------------------------------------------------------------------------------------------


@pytest.mark.both_engines
def test_init_creates_the_tables_of_packages_and_check_reports_them(archive: Archive, example: Path) -> None:
    environ = {"PYTHONPATH": str(example)}

    def said(*arguments: str, status: int = 0) -> str:
        result = archive.run(*arguments, environ=environ)
        assert result.status == status, result
        return result.out + result.err

    assert "the index lacks its tables" in said("db", "check")
    assert "known components: alpenhorn, sync, alpenhorn-example" in said(
        "db", "init", "--only", "x", status=2
    )
    before = archive.dump("dataindexversion")
    assert said("-v", "db", "init", "--only", "alpenhorn-example").splitlines()[:-1] == [
        "added table example_observation",
        "added version 1 of the component alpenhorn-example",
    ]
    assert "No change" in said("db", "init")
    assert "pass  tables of alpenhorn-example 1.2" in said("db", "check")
    assert archive.dump("dataindexversion") == before
    indexes = {tuple(one.columns): one.unique for one in archive.index.db.get_indexes("example_observation")}
    assert indexes[("file_id",)] and ("target",) in indexes
    # A creation that was cut short is brought to its end.
    archive.do("DELETE FROM dataindexversion WHERE component = 'alpenhorn-example'")
    archive.do(
        "DROP INDEX example_observation_target"
        + ("" if archive.index.dialect.in_a_file else " ON example_observation")
    )
    assert "added index example_observation_target" in said("-v", "db", "init")
    # Another version is left alone.
    archive.do("UPDATE dataindexversion SET version = 3 WHERE component = 'alpenhorn-example'")
    assert "the index has version 3, the package" in said("db", "init")
    assert "component alpenhorn-example: not added" in said(
        "db", "init", "--only", "alpenhorn-example", status=1
    )
    assert "warn" in said("db", "check")
    # So is a table that is somebody else's.
    archive.do("DELETE FROM dataindexversion WHERE component = 'alpenhorn-example'")
    archive.do("DROP TABLE example_observation")
    archive.do("CREATE TABLE example_observation (id INTEGER)")
    refused = said("db", "init")
    assert "table example_observation: exists, but has no column" in refused and "complete" not in refused
    assert archive.run("sync", environ=environ).status == 0


# --- start-up ------------------------------------------------------------------------------------------


def test_packages_are_loaded_only_to_name_a_new_file(sqlite_archive: Archive, example: Path) -> None:
    archive = sqlite_archive
    environ = prepare(archive, example)
    archive.file("acq/f", b"bytes", "field")
    archive.synced()  # makes a directory in the root, which thereby changes
    remember(archive, {})
    for where in ({}, environ):
        idle = modules(archive, where)
        assert "alpenhorn.coordinator.sync" in idle
        assert not {"importlib.metadata", "alpenhorn_example", "alpenhorn.extensions.detectors"} & set(idle)
        assert not {"alpenhorn.io.transport", "alpenhorn.io.lustre_quota"} & set(idle)
    put(archive, "20260722/m31/a.obs")
    assert {"importlib.metadata", "alpenhorn_example.observations"} <= set(modules(archive, environ))
