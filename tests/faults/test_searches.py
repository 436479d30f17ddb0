"""The record of searches on a node: it avoids listing directories, and never loses a file."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from alpenhorn.fs import remembered
from alpenhorn.fs.remembered import Memory
from tests.fixtures.archive import Result, clock, wait_for

TICK = 2.1  # seconds; times that are younger may be those of two changes


@pytest.fixture
def field(sqlite_archive):
    sqlite_archive.node("field", auto_import=1)
    return sqlite_archive


def put(archive, *paths):
    for path in paths:
        at = archive.put("field", path, path.encode())
        os.utime(at, (1, 1))


def registered(archive):
    return sorted(
        f"{acq}/{name}"
        for acq, name in archive.all(
            "SELECT a.name, f.name FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
        )
    )


def directories(archive):
    root = archive.root("field")
    return [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]


def let_tick(archive):
    newest = max(path.lstat().st_ctime for path in directories(archive))
    wait_for(lambda: time.time() > newest + TICK, "the clock to tick")


def memory(archive):
    return archive.root("field") / ".alpenhorn" / "searched"


def remember(archive, *paths):
    """Import these files, and record all directories."""
    put(archive, *paths)
    archive.synced()
    let_tick(archive)
    archive.synced()
    assert listed(archive) == set()


def listed(archive, *program):
    """Return the directories below the root that a run lists, according to strace."""
    root = str(archive.root("field"))
    out = archive.base / "calls"
    argv = ["strace", "-f", "-y", "-qq", "-e", "trace=getdents64", "-o", str(out), *program]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(archive.configure()), "sync"]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert Result(ended.returncode, ended.stdout, ended.stderr) == Result(0, "", "")
    found = set(re.findall(rf"<{re.escape(root)}(?:/([^>]*))?>", out.read_text()))
    return {path for path in found if not path.startswith(".alpenhorn")}


def test_an_unchanged_tree_is_not_listed(field):
    paths = [f"acq{i}/dir{j}/{k}" for i in range(3) for j in range(3) for k in range(3)]
    put(field, *paths)
    full = {f"acq{i}/dir{j}" for i in range(3) for j in range(3)}
    everything = {"", *(f"acq{i}" for i in range(3)), *full}
    assert listed(field) == everything
    assert registered(field) == paths
    let_tick(field)
    assert full <= listed(field) <= everything  # there was something to do in them
    before = memory(field).stat()
    assert listed(field) == set()
    assert listed(field) == set()
    assert memory(field).stat().st_ctime_ns == before.st_ctime_ns  # nothing had to be written


def test_only_what_changed_is_listed(field):
    remember(field, "a/b/f", "a/c/f", "d/f")
    put(field, "a/c/new")
    assert listed(field) == {"a/c"}
    assert "a/c/new" in registered(field)
    let_tick(field)
    assert listed(field) == {"a/c"}
    assert listed(field) == set()
    put(field, "a/e/f/g", "h/f")
    assert listed(field) == {"", "a", "a/e", "a/e/f", "h"}
    assert {"a/e/f/g", "h/f"} <= set(registered(field))


def test_a_directory_is_looked_at_again_until_a_file_in_it_has_settled(field):
    remember(field, "a/f", "b/f")
    fresh = field.put("field", "a/fresh", b"fresh")
    field.synced()
    let_tick(field)
    field.synced()
    assert listed(field) == {"a"}  # its own times are those of the last run
    os.utime(fresh, (1, 1))  # which changes no time of the directory
    field.synced()
    assert "a/fresh" in registered(field)


def test_a_directory_is_looked_at_again_until_a_file_in_it_is_unlocked(field):
    put(field, "a/f", "a/.f.lock", "b/f")
    field.synced()
    let_tick(field)
    field.synced()
    assert listed(field) == {"a"}
    (field.root("field") / "a/.f.lock").unlink()
    field.synced()
    assert registered(field) == ["a/f", "b/f"]


def test_refused_files_are_reported_until_they_are_gone(field):
    put(field, "stray", "a/f")
    field.put("field", "a/bad\udcff", b"no UTF-8")
    let_tick(field)
    for _ in range(3):
        result = field.sync()
        assert result.status == 0 and "no longer" not in result.err, result
        assert "stray" in result.err and "the name is not valid UTF-8" in result.err
    (field.root("field") / "stray").unlink()
    os.unlink(os.fsencode(field.root("field") / "a") + b"/bad\xff")
    field.synced()


def test_problems_of_a_scan_are_not_reported_as_solved_by_runs_that_do_not_look(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.put("field", "acq/bad\udcff", b"no UTF-8")
    for _ in range(2):
        assert archive.run("node", "scan", "field", "--register-new").status == 0
        result = archive.sync()
        assert result.err.count("the name is not valid UTF-8") == 1
        assert archive.sync().err == ""


def test_a_removed_directory_may_come_back(field):
    remember(field, "a/b/f", "a/c/f")
    shutil.rmtree(field.root("field") / "a/b")
    field.synced()
    put(field, "a/b/g")
    field.synced()
    assert "a/b/g" in registered(field)
    shutil.rmtree(field.root("field") / "a/b")
    put(field, "a/b/h")
    field.synced()
    assert "a/b/h" in registered(field)


def test_a_directory_that_was_moved_is_searched_where_it_is_now(field):
    remember(field, "a/b/f", "c/f")
    root = field.root("field")
    (root / "a/b").rename(root / "c/d")
    assert listed(field) == {"a", "c", "c/d"}
    assert "c/d/f" in registered(field)
    (root / "c").rename(root / "e")
    field.synced()
    assert {"e/f", "e/d/f"} <= set(registered(field))
    (root / "e").rename(root / "c")
    put(field, "c/d/new")
    field.synced()
    assert "c/d/new" in registered(field)


def test_two_directories_that_changed_places_are_searched(field):
    remember(field, "a/x/f", "b/x/g")
    root = field.root("field")
    for old, new in (("a", "aside"), ("b", "a"), ("aside", "b")):
        (root / old).rename(root / new)
    field.synced()
    assert registered(field) == ["a/x/f", "a/x/g", "b/x/f", "b/x/g"]


def test_a_directory_that_became_a_link_is_left_alone_and_searched_when_it_is_back(field, tmp_path):
    remember(field, "a/b/f", "c/f")
    root, elsewhere = field.root("field"), tmp_path / "elsewhere"
    (root / "a").rename(elsewhere)
    (root / "a").symlink_to(elsewhere)
    (elsewhere / "b/outside").write_bytes(b"outside")
    os.utime(elsewhere / "b/outside", (1, 1))
    for _ in range(2):
        field.synced()
        assert registered(field) == ["a/b/f", "c/f"]
        let_tick(field)
    (root / "a").unlink()
    elsewhere.rename(root / "a")
    field.synced()
    assert registered(field) == ["a/b/f", "a/b/outside", "c/f"]


def test_a_directory_that_became_a_file_is_imported_as_one(field):
    remember(field, "a/b/f")
    shutil.rmtree(field.root("field") / "a/b")
    put(field, "a/b")
    field.synced()
    assert registered(field) == ["a/b", "a/b/f"]


def lost(path):
    path.unlink()


def cut_off(path):
    """Cut the file at the end of an entry, so that the rest stays valid."""
    with Memory(str(path.parent.parent)) as found:
        entries = list(found.entries())
    content = path.read_bytes()
    path.write_bytes(content[: content.index(entries[-1][0])])


def emptied(path):
    path.write_bytes(b"")


def overwritten(path):
    path.write_bytes(b"\0" * path.stat().st_size)


def of_a_later_version(path):
    path.write_bytes(path.read_bytes().replace(b"searched 1", b"searched 2"))


def made_a_link(path):
    path.rename(path.with_name("away"))
    path.symlink_to("away")


@pytest.mark.parametrize(
    "damage", [lost, cut_off, emptied, overwritten, of_a_later_version, made_a_link], ids=lambda f: f.__name__
)
def test_damaged_records_of_searches_are_ignored_and_replaced(field, damage):
    remember(field, "a/f", "b/f", "c/f")
    damage(memory(field))
    put(field, "a/new", "b/new", "c/new")
    assert listed(field) == {"", "a", "b", "c"}
    assert {"a/new", "b/new", "c/new"} <= set(registered(field))
    let_tick(field)
    field.synced()
    assert listed(field) == set()


def test_a_lost_entry_that_goes_unnoticed_costs_a_file(field):
    """The mutant of the test above: with a valid checksum, a directory is forgotten."""
    remember(field, "a/f", "b/f")
    with Memory(str(field.root("field"))) as found:
        heading = found.heading
        entries = [entry for entry in found.entries() if remembered.fields(entry)[2] != b"b"]
    with memory(field).open("wb") as file:
        remembered.write(file.fileno(), heading, entries)
    put(field, "b/new")
    field.synced()
    assert "b/new" not in registered(field)


def test_other_patterns_want_other_files(field):
    remember(field, "a/f")
    path = field.base / "here.toml"
    path.write_text(path.read_text() + "[[import.pattern]]\npath = '(?P<acq>\\d+)/.*'\n")
    put(field, "1/f")
    result = field.sync()
    assert "listing all directories of field" in (field.base / "here.log").read_text()
    assert result.status == 0 and "no import pattern matches" in result.err
    assert registered(field) == ["1/f", "a/f"]


def test_after_a_week_everything_is_listed_once(field):
    """Otherwise a file that the index lost, while the disk did not change, would never be found."""
    remember(field, "a/f", "b/f")
    field.do("DELETE FROM archivefilecopy")
    assert listed(field) == set()
    assert field.all("SELECT 1 FROM archivefilecopy") == []
    later = ["env", *(f"{name}={value}" for name, value in clock("+8d").items())]
    assert listed(field, *later) == {"", "a", "b"}
    assert len(field.all("SELECT 1 FROM archivefilecopy")) == 2
    listed(field, *later)
    assert listed(field, *later) == set()


def test_records_of_searches_by_another_index_are_ignored(field):
    remember(field, "a/f")
    # Another index has had as many runs, at other times.
    field.do("DELETE FROM archivefilecopy")
    field.do("DELETE FROM archivefile")
    field.do("UPDATE sync_run SET started = '2026-01-01 00:00:00'")
    field.synced()
    assert registered(field) == ["a/f"]


def test_an_index_from_a_backup_gets_its_files_again(archive):
    """Files registered after the backup are on the disk, which has not changed since."""
    archive.node("field", auto_import=1)
    put(archive, "a/f")
    archive.synced()
    backup = archive.dump()
    remember(archive, "b/f")
    for table in (
        "sync_event",
        "sync_verification",
        "archivefilecopy",
        "archivefile",
        "archiveacq",
        "sync_run",
    ):
        archive.do(f"DELETE FROM {table}")
        for row in reversed(backup[table]):
            archive.do(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", *row)
    assert registered(archive) == ["a/f"]
    result = archive.sync()
    assert result.status == 0 and "the index was restored from a backup" in result.err, result
    assert registered(archive) == ["a/f", "b/f"]
    assert archive.violations() == []


def test_records_of_searches_that_cannot_be_written_are_reported_and_cost_only_time(field):
    put(field, "a/f")
    field.synced()
    subprocess.run(["chattr", "+i", memory(field)], check=True)
    try:
        put(field, "b/f")
        result = field.sync()
    finally:
        subprocess.run(["chattr", "-i", memory(field)], check=True)
    assert result.status == 0 and "cannot be saved" in result.err
    assert registered(field) == ["a/f", "b/f"]
    let_tick(field)
    field.synced()
    assert listed(field) == set()


def test_a_run_that_is_killed_as_it_remembers_leaves_the_old_memory(field):
    remember(field, "a/f")
    before = memory(field).read_bytes()
    put(field, "b/f")
    calls = "rename,renameat,renameat2"
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
    argv += ["-e", f"inject={calls}:signal=KILL"]
    argv += [sys.executable, "-m", "alpenhorn", "-c", str(field.configure()), "sync"]
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "incomplete" in ended.stderr
    assert memory(field).read_bytes() == before
    field.synced()
    assert memory(field).read_bytes() != before
    assert registered(field) == ["a/f", "b/f"]
    assert field.stray("field") == []
