from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.fs.placing import KeptAside, Occupied, Replacement, Stage
from alpenhorn.fs.tree_lock import TreeLock
from tests.fixtures.archive import wait_for


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def stage(root: Path) -> Iterator[Stage]:
    with Stage(str(root), "s1") as stage:
        yield stage


@pytest.fixture
def lock(root: Path) -> Iterator[TreeLock]:
    lock = TreeLock(root)
    yield lock
    lock.close()


def fill(stage: Stage, *names: str) -> None:
    for name in names:
        (Path(stage.path) / name).write_text(name)


def test_the_stage_is_private_and_below_the_root(root: Path, stage: Stage) -> None:
    assert stage.path == f"{root}/.alpenhorn/s1"
    for directory in (root / ".alpenhorn", Path(stage.path)):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_the_root_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        Stage(str(tmp_path / "absent"), "s1")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x"])
def test_a_stage_has_a_plain_name(root: Path, name: str) -> None:
    with pytest.raises(StorageError):
        Stage(str(root), name)


def test_a_relative_root_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    with pytest.raises(StorageError, match="absolute"):
        Stage("root", "s1")


def test_a_link_planted_in_place_of_the_stage_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / ".alpenhorn").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="is a symbolic link, which is not followed"):
        Stage(str(root), "s1")
    assert os.listdir(tmp_path / "elsewhere") == []


def test_files_get_their_names_and_directories_are_made(root: Path, stage: Stage, lock: TreeLock) -> None:
    fill(stage, "0", "1", "2")
    stage.flush()
    moves = [("0", "acq/a", None), ("1", "acq/b/c/d", None), ("2", "top", None)]
    assert stage.place(moves, lock) == [None, None, None]
    assert [(root / path).read_text() for _, path, _ in moves] == ["0", "1", "2"]
    assert os.listdir(stage.path) == []


def test_a_name_that_is_taken_is_left_alone_unless_it_is_to_be_replaced(
    root: Path, stage: Stage, lock: TreeLock
) -> None:
    (root / "acq").mkdir()
    for name in ("kept", "replaced"):
        (root / "acq" / name).write_text("old")
    (root / "acq" / "dangling").symlink_to("nowhere")
    (root / "acq" / "directory" / "in it").mkdir(parents=True)
    fill(stage, "0", "1", "2", "3", "4")
    outcomes = stage.place(
        [
            ("0", "acq/kept", None),
            ("1", "acq/replaced", Replacement()),
            ("2", "acq/dangling", None),
            ("3", "acq/directory", Replacement()),
            ("4", "acq/new", None),
        ],
        lock,
    )
    assert isinstance(outcomes[0], Occupied) and isinstance(outcomes[2], Occupied)
    assert isinstance(outcomes[3], UnsafePath)
    assert "is a directory and cannot be replaced by a file (Directory not empty); move it away" in str(
        outcomes[3]
    )
    assert outcomes[1] is None and outcomes[4] is None
    assert (root / "acq" / "kept").read_text() == "old"
    assert (root / "acq" / "replaced").read_text() == "1"
    assert os.readlink(root / "acq" / "dangling") == "nowhere"
    assert sorted(os.listdir(stage.path)) == ["0", "2", "3"]


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../../x", "", "a//b", ".alpenhorn/s1/y", "ALPENHORN_NODE", ".alpenhorn.lock"]
)
def test_a_hostile_path_fails_alone(root: Path, stage: Stage, lock: TreeLock, path: str) -> None:
    fill(stage, "0", "1")
    outcomes = stage.place([("0", path, Replacement()), ("1", "acq/good", None)], lock)
    assert isinstance(outcomes[0], UnsafePath) and outcomes[1] is None
    assert sorted(os.listdir(root)) == [".alpenhorn", ".alpenhorn.lock", "acq"]
    assert sorted(os.listdir(root.parent)) == ["root"]
    assert (root / ".alpenhorn.lock").stat().st_size == 0


def test_nothing_is_placed_through_a_symbolic_link(
    root: Path, stage: Stage, lock: TreeLock, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (root / "acq").symlink_to(tmp_path / "outside")
    (root / "real").mkdir()
    (root / "real" / "sub").symlink_to(tmp_path / "outside")
    fill(stage, "0", "1", "2")
    outcomes = stage.place(
        [("0", "acq/x", None), ("1", "real/sub/x", Replacement()), ("2", "acq/new/x", None)], lock
    )
    assert all(isinstance(outcome, UnsafePath) for outcome in outcomes)
    assert os.listdir(tmp_path / "outside") == []


def test_directories_follow_the_umask(root: Path, stage: Stage, lock: TreeLock) -> None:
    fill(stage, "0")
    before = os.umask(0o027)
    try:
        assert stage.place([("0", "acq/sub/x", None)], lock) == [None]
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "acq").stat().st_mode) == 0o750
    assert stat.S_IMODE((root / "acq" / "sub").stat().st_mode) == 0o750


def test_more_directories_than_descriptors(root: Path, stage: Stage, lock: TreeLock) -> None:
    names = [str(number) for number in range(1500)]
    fill(stage, *names)
    before = os.listdir("/proc/self/fd")
    assert stage.place([(name, f"a{name}/f", None) for name in names], lock) == [None] * 1500
    assert len(list(root.glob("a*/f"))) == 1500
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 1  # the lock file


def test_placing_waits_while_directories_are_removed(root: Path, stage: Stage, lock: TreeLock) -> None:
    """Without the lock (the mutant), the child would end while its parent still holds the tree down."""
    fill(stage, "0")
    ready, done = os.pipe()
    other = TreeLock(root)
    with other.down():
        child = os.fork()
        if child == 0:
            mine = TreeLock(root)
            status = stage.place([("0", "acq/x", None)], mine) == [None]
            os.write(done, b"x")
            os._exit(0 if status else 1)
        os.set_blocking(ready, False)
        with pytest.raises(BlockingIOError):
            # It has had the time of a thousand placings.
            for _ in range(200):
                (root / "probe").touch()
                os.unlink(root / "probe")
            os.read(ready, 1)
        assert not (root / "acq").exists()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other.close()
    os.close(ready)
    os.close(done)
    assert (root / "acq" / "x").read_text() == "0"


def test_a_link_is_to_the_file_that_was_opened(root: Path, stage: Stage, lock: TreeLock) -> None:
    (root / "source").write_text("right")
    (root / "taken").write_text("old")
    fd = os.open(root / "source", os.O_RDONLY)
    inode = os.fstat(fd).st_ino
    os.link(root / "source", root / "kept-alive")
    os.unlink(root / "source")
    (root / "source").write_text("planted")
    links = [(fd, "acq/new", None), (fd, "taken", None), (fd, "acq/again", Replacement())]
    outcomes = stage.link(links, lock)
    os.close(fd)
    assert outcomes[0] is None and isinstance(outcomes[1], Occupied) and outcomes[2] is None
    assert (root / "acq" / "new").stat().st_ino == (root / "acq" / "again").stat().st_ino == inode
    assert (root / "taken").read_text() == "old"


def test_a_replacing_link_takes_the_place_of_the_old_file(root: Path, stage: Stage, lock: TreeLock) -> None:
    (root / "source").write_text("right")
    (root / "old").write_text("old")
    fd = os.open(root / "source", os.O_RDONLY)
    assert stage.link([(fd, "old", Replacement())], lock) == [None]
    os.close(fd)
    assert (root / "old").read_text() == "right"


def test_clear_removes_whatever_is_left_and_nothing_else(root: Path, stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("x")
    fill(stage, "0")
    deep = Path(stage.path) / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    (deep / "to-directory").symlink_to(tmp_path / "outside")
    (root / ".alpenhorn" / "part-7").mkdir()
    stage.clear()
    assert os.listdir(root / ".alpenhorn") == ["part-7"]
    assert os.listdir(tmp_path / "outside") == ["f"]


def test_files_are_placed_on_the_opened_root_though_another_is_mounted_over_it(
    root: Path, stage: Stage, tmp_path: Path, lock: TreeLock
) -> None:
    fill(stage, "0")
    with lock.up():
        pass
    root.rename(tmp_path / "moved")
    root.mkdir()
    (tmp_path / "root" / ".alpenhorn.lock").touch()
    assert stage.place([("0", "acq/x", None)], lock) == [None]
    assert (tmp_path / "moved" / "acq" / "x").read_text() == "0"
    assert os.listdir(root) == [".alpenhorn.lock"]


def test_all_names_that_lead_to_a_file_are_flushed_whoever_made_them(root: Path, tmp_path: Path) -> None:
    (root / "acq/dir").mkdir(parents=True)
    script = (
        "import sys\n"
        "from alpenhorn.fs.placing import Stage\n"
        "from alpenhorn.fs.tree_lock import TreeLock\n"
        "with Stage(sys.argv[1], 's') as stage:\n"
        "    open(stage.path + '/0', 'w').close()\n"
        "    stage.place([('0', 'acq/dir/f', None)], TreeLock(sys.argv[1]))\n"
    )
    argv = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync", "-o", str(tmp_path / "out"), sys.executable]
    environ = os.environ | {"PYTHONPATH": os.getcwd()}
    subprocess.run([*argv, "-c", script, str(root)], check=True, env=environ)
    flushed = re.findall(r"fsync\(\d+<(.*?)>\)", (tmp_path / "out").read_text())
    assert {os.path.relpath(path, root) for path in flushed} == {".", "acq", "acq/dir"}


@pytest.mark.parametrize("how", ["in place", "by rename"])
def test_a_file_that_its_owner_writes_at_the_moment_of_its_replacement_stays(
    root: Path, tmp_path: Path, how: str
) -> None:
    at = root / "acq/f"
    at.parent.mkdir(exist_ok=True)
    at.write_text("rotten")
    os.utime(at, (1_000_000_000, 1_000_000_000))
    script = (
        "import sys\n"
        "from alpenhorn.fs.placing import Replacement, Stage\n"
        "from alpenhorn.fs.tree_lock import TreeLock\n"
        "with Stage(sys.argv[1], 's') as stage:\n"
        "    open(stage.path + '/0', 'w').close()\n"
        "    replacement = Replacement(1_000_000_100)\n"
        "    print(stage.place([('0', 'acq/f', replacement)], TreeLock(sys.argv[1])))\n"
    )
    # The exchange begins three seconds after it was called.
    out = tmp_path / "out"
    argv = ["strace", "-f", "-qq", "-e", "trace=newfstatat,renameat2", "-o", str(out)]
    argv += ["-e", "inject=renameat2:delay_enter=3000000:when=1", sys.executable, "-c", script, str(root)]
    environ = os.environ | {"PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: out.exists() and '"f", {' in out.read_text(), "the look at the file")
    if how == "in place":
        at.write_text("the owner's")
    else:
        other = root / "acq/other"
        other.write_text("the owner's")
        other.rename(at)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Occupied" in said, said
    assert at.read_text() == "the owner's" and os.listdir(root / "acq") == ["f"]


def test_a_changed_file_is_kept_under_a_new_name(root: Path, stage: Stage, lock: TreeLock) -> None:
    """Its name may be as long as a name can be, and have characters of several bytes."""
    name = "\N{OHM SIGN}" * 85
    fill(stage, "0", "1")
    (root / "acq").mkdir(exist_ok=True)
    for number in "01":
        (root / "acq" / name).write_text(f"the owner's {number}")
        os.utime(root / "acq" / name, (1_000_000_000, 1_000_000_000))
        (outcome,) = stage.place([(number, f"acq/{name}", Replacement(aside=True))], lock)
        assert isinstance(outcome, KeptAside)
        assert (root / outcome.path).read_text() == f"the owner's {number}"
        assert (root / "acq" / name).read_text() == number
    kept = sorted(path for path in os.listdir(root / "acq") if path != name)
    assert len(kept) == 2 and all(path.startswith(".\N{OHM SIGN}") for path in kept)
    assert {path.rpartition(".")[2] for path in kept} == {
        "changed-20010909T014640Z",
        "changed-20010909T014640Z-2",
    }
