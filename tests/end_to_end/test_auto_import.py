"""Automatic imports: nodes that each run searches for new files."""

import hashlib
import os
import socket
import subprocess
import sys
import time

import pytest

from alpenhorn.model.nodes import MARKER
from tests.fixtures.archive import ended_within, wait_for

pytestmark = pytest.mark.one_engine

HOUR = 3600


@pytest.fixture
def field(archive):
    archive.node("field", auto_import=1)
    return archive


def put(archive, path, content=None, node="field"):
    """Write a file that has settled; its content is its path by default."""
    content = path.encode(errors="surrogateescape") if content is None else content
    return settle(archive.put(node, path, content))


def settle(path):
    hour_ago = time.time() - HOUR
    os.utime(path, (hour_ago, hour_ago))
    return path


def registered(archive):
    """Return the MD5 sum of every file in the index, by path."""
    rows = archive.all(
        "SELECT a.name, f.name, f.md5sum FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
    )
    return {f"{acq}/{name}": md5sum for acq, name, md5sum in rows}


def states(archive, node="field"):
    rows = archive.all(
        "SELECT a.name, f.name, c.has_file, c.wants_file FROM archivefilecopy c"
        " JOIN archivefile f ON f.id = c.file_id JOIN archiveacq a ON a.id = f.acq_id"
        " JOIN storagenode n ON n.id = c.node_id WHERE n.name = ?",
        node,
    )
    return {f"{acq}/{name}": has + wants for acq, name, has, wants in rows}


def last_run(archive):
    return archive.one("SELECT done, failed FROM sync_run ORDER BY id DESC LIMIT 1")


def test_new_files_are_registered_and_copied_on_in_one_run(field):
    field.node("safe", archive=1)
    field.insert(
        "storagetransferaction",
        node_from_id=field.id("storagenode", "field"),
        group_to_id=field.id("storagegroup", "safe"),
        autosync=1,
        autoclean=0,
    )
    paths = [f"acq{i}/run{j}/f{k}" for i in range(3) for j in range(2) for k in range(4)]
    for path in paths:
        put(field, path)
    field.synced()
    assert field.tree("safe") == {path: path.encode() for path in paths}
    assert states(field) == states(field, "safe") == dict.fromkeys(paths, "YY")
    assert registered(field) == {path: hashlib.md5(path.encode()).hexdigest() for path in paths}
    assert len(field.events("imported")) == len(paths)
    field.synced()
    assert last_run(field) == (0, 0)
    put(field, "acq1/run1/late")
    field.synced()
    assert states(field, "safe")["acq1/run1/late"] == "YY"
    assert last_run(field) == (2, 0)


def test_a_node_without_auto_import_is_not_searched(archive):
    archive.node("plain")
    put(archive, "acq/f", node="plain")
    archive.synced()
    assert registered(archive) == {}


def test_a_file_that_has_not_settled_waits_silently(field):
    fresh = field.put("field", "acq/fresh", b"bytes")
    put(field, "acq/old")
    field.synced()
    assert list(registered(field)) == ["acq/old"]
    settle(fresh)
    field.synced()
    assert sorted(registered(field)) == ["acq/fresh", "acq/old"]


def test_how_long_a_file_must_settle_is_configured(field):
    field.configure(sync={"import_settle": 0})
    field.put("field", "acq/fresh", b"bytes")
    field.synced()
    assert list(registered(field)) == ["acq/fresh"]


def test_a_locked_file_waits_for_its_lock_silently(field):
    put(field, "acq/dir/f")
    put(field, "acq/dir/g")
    lock = put(field, "acq/dir/.f.lock", b"")
    field.synced()
    assert list(registered(field)) == ["acq/dir/g"]
    lock.unlink()
    field.synced()
    assert sorted(registered(field)) == ["acq/dir/f", "acq/dir/g"]


def test_excluded_names_are_never_imported(field, tmp_path):
    put(field, "acq/good")
    for path in (".hidden/f", "acq/.f", "acq/.dir/f", ".alpenhorn/f"):
        put(field, path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settle_at = elsewhere / "f"
    settle_at.write_bytes(b"outside")
    settle(settle_at)
    root = field.root("field")
    (root / "acq/link").symlink_to(root / "acq/good")
    (root / "acq/away").symlink_to(elsewhere)
    (root / "linked").symlink_to(elsewhere)
    os.mkfifo(root / "acq/fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(root / "acq/socket"))
        field.synced()
    assert list(registered(field)) == ["acq/good"]


def test_files_without_a_valid_name_cause_one_note_and_no_failure(field):
    for number in range(3):
        put(field, f"stray{number}")
    put(field, "acq/f")
    result = field.sync()
    assert result.status == 0
    (line,) = result.err.splitlines()
    assert "not in an acquisition directory" in line and "3 times" in line and "stray" in line
    assert list(registered(field)) == ["acq/f"]


def test_patterns_choose_the_files(field):
    path = field.configure()
    path.write_text(path.read_text() + "[[import.pattern]]\npath = '(?P<acq>\\d+/[a-z]+)/.*\\.h5'\n")
    put(field, "2026/run/x.h5")
    put(field, "2026/run/x.txt")
    assert field.sync().status == 0
    assert field.all("SELECT a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id") == [
        ("2026/run", "x.h5")
    ]


def test_a_registered_file_is_compared_and_its_row_never_overwritten(field):
    same, longer, other = field.file("acq/same"), field.file("acq/longer"), field.file("acq/other")
    put(field, "acq/same")
    put(field, "acq/longer", b"longer than that")
    put(field, "acq/other", b"acq/OTHER")
    before = registered(field)
    result = field.sync()
    assert result.status == 1 and "corrupt on field" in result.err
    assert [field.copy(file_id, "field") for file_id in (same, longer, other)] == ["YY", "XY", "XY"]
    assert registered(field) == before
    field.synced()  # is not hashed, nor told, again in every run
    assert last_run(field) == (0, 0)


def test_a_copy_that_is_back_is_found_and_one_of_another_length_is_corrupt(field):
    ids = {}
    for name, state in (("missing", "NY"), ("removed", "NN"), ("grown", "YY"), ("good", "YY"), ("bad", "XY")):
        ids[name] = field.file(f"acq/{name}")
        put(field, f"acq/{name}", b"more than there was" if name == "grown" else None)
        field.set_copy(ids[name], "field", state)
    result = field.sync("--only", "import")
    assert result.status == 1 and "acq/grown" in result.err
    assert {name: field.copy(file_id, "field") for name, file_id in ids.items()} == {
        "missing": "YY",
        "removed": "YY",
        "grown": "XY",
        "good": "YY",
        "bad": "XY",
    }
    assert last_run(field) == (2, 1)


def test_suspect_copies_are_left_to_the_checks(field):
    file_id = field.file("acq/f")
    put(field, "acq/f")
    field.set_copy(file_id, "field", "MY")
    field.synced("--only", "import")
    assert field.copy(file_id, "field") == "MY"


@pytest.mark.both_engines
def test_two_nodes_that_find_one_file_register_it_once(field):
    field.node("other", auto_import=1)
    put(field, "acq/f", b"the same")
    put(field, "acq/f", b"the same", node="other")
    put(field, "acq/g", b"one thing")
    put(field, "acq/g", b"or other", node="other")
    result = field.sync()
    assert result.status == 1 and "acq/g" in result.err
    assert sorted(registered(field)) == ["acq/f", "acq/g"]
    assert states(field)["acq/f"] == states(field, "other")["acq/f"] == "YY"
    assert {states(field)["acq/g"], states(field, "other")["acq/g"]} == {"YY", "XY"}
    assert field.violations() == []


def test_a_request_and_the_search_of_its_node_do_not_hash_a_file_twice(field):
    for number in range(20):
        put(field, f"acq/{number}")
    assert field.run("node", "scan", "field", "--register-new").status == 0
    field.synced()
    assert last_run(field) == (20, 0)
    assert len(field.events("imported")) == 20
    assert field.one("SELECT completed FROM archivefileimportrequest") == 1


def test_names_of_every_kind(field):
    root = field.root("field")
    names = [
        "acq/new\nline",
        "acq/" + "x" * 255,
        "acq/" + "ü" * 127,
        "-acq/--option",
        "acq/with blank ",
        "Acq/f",
        "acq/F",
        "acq/d:r/\U0001f600",
        "acq/'\"`$(x)",
    ]
    for name in names:
        put(field, name)
    os.makedirs(os.fsencode(root) + b"/acq/\xff\n")
    for bad in (b"/acq/\xfe", b"/acq/\xff\n/f", b"/\xfd"):
        with open(os.fsencode(root) + bad, "wb"):
            pass
        settle(os.fsencode(root) + bad)
    put(field, "long/" + "y" * 200 + "/" + "z" * 200)
    result = field.sync()
    assert result.status == 0
    assert "not valid UTF-8" in result.err and "longer than 255" in result.err
    assert sorted(registered(field)) == sorted(names)
    assert field.violations() == []


def test_the_plan_shows_the_search_and_changes_nothing(field):
    put(field, "acq/f")
    before, tree = field.dump(), field.everything("field")
    planned = field.run("plan", "--json").json["lines"]
    assert [(line["work"], line["node"], line["why"]) for line in planned] == [
        ("import", "field", "search for new files")
    ]
    assert "search for new files" in field.run("plan").out
    assert (field.dump(), field.everything("field")) == (before, tree)


def test_searches_run_with_only_import_and_not_with_only_check(field):
    put(field, "acq/f")
    field.synced("--only", "check")
    assert registered(field) == {}
    field.synced("--only", "import")
    assert list(registered(field)) == ["acq/f"]


def test_a_directory_that_cannot_be_listed_is_a_failure_and_the_rest_goes_on(field):
    put(field, "acq/bad/f")
    put(field, "acq/good/f")
    calls = "getdents64"
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", f"--trace-path={field.root('field') / 'acq/bad'}"]
    argv += ["-e", f"trace={calls}", "-e", f"inject={calls}:error=EACCES"]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(field.configure()), "sync"]
    for _ in range(2):
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 1 and "acq/bad" in ended.stderr and "Traceback" not in ended.stderr
    assert list(registered(field)) == ["acq/good/f"]
    field.synced()
    assert sorted(registered(field)) == ["acq/bad/f", "acq/good/f"]


@pytest.mark.parametrize("marker", [None, "another\n"])
def test_a_disk_that_is_not_mounted_is_not_searched(field, marker):
    put(field, "acq/f")
    field.synced()
    root = field.root("field")
    away = root.rename(root.with_name("away"))
    root.mkdir()
    if marker:
        (root / MARKER).write_text(marker)
    put(field, "wrong/f")
    before = sorted(root.rglob("*"))
    result = field.sync()
    assert result.status == 1 and "node field is left out" in result.err
    assert sorted(root.rglob("*")) == before
    assert states(field) == {"acq/f": "YY"}
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()
    away.rename(root)
    field.synced()
    assert states(field) == {"acq/f": "YY"}


def test_a_file_that_changes_while_it_is_hashed_waits(field):
    field.configure(sync={"import_settle": 0})
    path = field.put("field", "acq/big", b"")
    os.truncate(path, 400 * 2**20)
    with path.open("ab", buffering=0) as file:
        run = field.start("sync")
        while not ended_within(run.process, 0.001):
            file.write(b"more")
    assert run.result().status == 0
    assert registered(field) == {}
    field.synced()
    assert registered(field) == {"acq/big": hashlib.md5(path.read_bytes()).hexdigest()}


WRITER = """
import os, random, sys, time
root, number = sys.argv[1], int(sys.argv[2])
rng = random.Random(1)
growing, begun = [], 0
while begun < number or growing:
    while begun < number and len(growing) < 10:
        path = f"{root}/acq{begun % 7}/{begun % 13}/file{begun}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        growing.append([open(path, "wb", buffering=0), rng.randrange(20, 120)])
        begun += 1
    for one in list(growing):
        one[0].write(rng.randbytes(1000))
        one[1] -= 1
        if not one[1]:
            one[0].close()
            growing.remove(one)
    time.sleep(0.002)  # the pace at which files grow
"""


WRITTEN = 400


def import_while_written(archive, settle_s):
    """Run repeatedly while files grow, until all are registered; return whether some were registered before the end."""
    archive.configure(sync={"import_settle": settle_s})
    early = 0
    with subprocess.Popen([sys.executable, "-c", WRITER, archive.root("field"), str(WRITTEN)]) as writer:
        while not ended_within(writer, 0):
            archive.sync()
            early += bool(registered(archive))
    assert writer.returncode == 0
    end = time.monotonic() + settle_s

    def complete():
        archive.sync()
        return time.monotonic() > end and len(registered(archive)) == WRITTEN

    wait_for(complete, "all files to be imported")
    return bool(early)


def contents(archive):
    return {path: hashlib.md5(content).hexdigest() for path, content in archive.tree("field").items()}


def test_files_that_appear_grow_and_are_finished_during_runs_are_imported_once_and_whole(field):
    early = import_while_written(field, 3)
    assert len(field.tree("field")) == WRITTEN
    assert registered(field) == contents(field)
    assert len(field.events("imported")) == WRITTEN
    assert field.events("corrupt") == []
    assert set(states(field).values()) == {"YY"}
    assert early  # or nothing was imported while files were being written


def test_without_settling_half_files_are_imported(sqlite_archive):
    """The mutant of the test above."""
    sqlite_archive.node("field", auto_import=1)
    import_while_written(sqlite_archive, 0)
    assert registered(sqlite_archive) != contents(sqlite_archive)


def test_a_search_that_is_killed_is_finished_by_the_next_run(field):
    number = 3000
    for i in range(number):
        put(field, f"acq{i % 5}/{i % 11}/{i}", f"{i} ".encode() * 500)
    killed = 0
    for seen in (1, number // 2):
        run = field.start("sync")

        def begun(run=run, seen=seen):
            return run.process.poll() is not None or len(registered(field)) >= seen

        wait_for(begun, "the first files to be registered")
        killed += run.process.poll() is None
        run.kill()
        run.wait_until_nothing_is_left()
        assert field.violations() == []
    assert killed
    field.synced()
    assert len(registered(field)) == number
    assert set(states(field).values()) == {"YY"}
    assert sorted(field.events("imported")) == [(i, "field") for i in sorted(ids(field))]
    assert field.violations() == [] and field.stray("field") == []


def ids(archive):
    return [row[0] for row in archive.all("SELECT id FROM archivefile")]


IGNORE = {"ignore": [r".*\.tmp", "scratch/.*", "[^/]*"]}


def test_ignored_files_are_neither_imported_nor_reported(field):
    for path in ("acq/a", "acq/b.tmp", "acq/deep/c.tmp", "scratch/d", "loose", "acq/scratch/e", "acq/tmp"):
        put(field, path)
    field.configure(**{"import": IGNORE})
    field.synced()
    assert set(registered(field)) == {"acq/a", "acq/scratch/e", "acq/tmp"}
    # They are not remembered as searched: without the patterns they are found.
    field.configure()
    result = field.sync()
    assert set(registered(field)) == {
        "acq/a",
        "acq/b.tmp",
        "acq/deep/c.tmp",
        "acq/scratch/e",
        "acq/tmp",
        "scratch/d",
    }
    assert "loose" in result.err


def test_a_file_that_the_index_has_is_not_ignored(field):
    """Otherwise a copy that came back would not count."""
    file_id = field.file("acq/known.tmp", None, "field")
    field.set_copy(file_id, "field", "NN")
    settle(field.root("field") / "acq/known.tmp")
    field.configure(**{"import": IGNORE})
    field.synced()
    assert states(field) == {"acq/known.tmp": "YY"}


def test_the_import_of_an_ignored_path_that_was_asked_for_says_why_not(field):
    put(field, "acq/a.tmp")
    put(field, "acq/b.tmp")
    field.configure(**{"import": IGNORE})
    assert field.run("file", "import", "acq/a.tmp", "field", "--register-new").status == 0
    result = field.sync()
    assert "its path matches [import] ignore" in result.err and "acq/a.tmp" in result.err
    assert "b.tmp" not in result.err and registered(field) == {}
    assert field.run("node", "scan", "field", "--register-new").status == 0
    field.synced()
    assert registered(field) == {}


def test_a_file_that_was_deleted_from_the_index_is_registered_anew(sqlite_archive):
    """On SQLite, it gets the id that it had."""
    field = sqlite_archive
    field.node("field", auto_import=1)
    put(field, "acq/run/f", b"old")
    put(field, "acq/run/g")
    field.synced()
    path = field.root("field") / "acq/run/f"
    path.unlink()
    assert field.run("file", "state", "acq/run/f", "field", "--set", "Absent").status == 0
    deleted = field.run("file", "delete", "acq/run/f", "--force")
    assert (deleted.status, registered(field).keys()) == (0, {"acq/run/g"}), deleted
    field.synced()
    assert registered(field).keys() == {"acq/run/g"}
    put(field, "acq/run/f", b"new")
    field.synced()
    assert registered(field)["acq/run/f"] == hashlib.md5(b"new").hexdigest()
    assert states(field) == {"acq/run/f": "YY", "acq/run/g": "YY"}
    assert field.violations() == []
    assert "acq/run/f" in (field.root("field") / ".alpenhorn/manifest.md5").read_text()
