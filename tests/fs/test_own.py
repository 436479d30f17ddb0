"""Links and files of other users in place of alpenhorn's own files: nothing is written through them."""

from __future__ import annotations

import importlib
import os
import stat
import traceback
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import pytest

from alpenhorn.errors import AlpenhornError, StorageError
from alpenhorn.fs import identity
from alpenhorn.fs.own import PRIVATE, open_own
from alpenhorn.fs.placing import Stage
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.fs.tree_lock import LOCK_NAME, TreeLock
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import MARKER, Identity, NodeFact
from alpenhorn.transfer.copy import copy
from tests.io.nodes import public_directory

STRANGER = 54321
CONTENT = b"precious\n"
ONE = Identity("0" * 32, "1" * 32, 1, "2" * 16)


def node(root: Path, name: str = "field") -> DefaultNode:
    fact = NodeFact(1, name, str(root), 1, None, None, None, True, False, None, None, None, 0.0, None)
    return DefaultNode(fact, {})


def take_run_lock(root: Path) -> None:
    with RunLock(root / RUN_LOCK) as lock:
        lock.note("a note")


def enter_tree(root: Path) -> None:
    with TreeLock(root, 1).up():
        pass


def make_stage(root: Path) -> None:
    with Stage(str(root), "run-1") as stage:
        stage.clear()


def new_identity(root: Path) -> None:
    with Stage(str(root), "run-1") as stage:
        identity.create(stage, ONE)


def next_identity(root: Path) -> None:
    identity.write(str(root), ONE._replace(generation=2))


def tidy(root: Path) -> None:
    node(root).tidy()


def mark(root: Path) -> None:
    node(root).initialise()


def mark_anew(root: Path) -> None:
    node(root, "other").initialise("field")


# What is put there, and what we do then; each writes to the file of that name where all is right.
FILES: list[tuple[str, Callable[[Path], None]]] = [
    (LOCK_NAME, enter_tree),
    (RUN_LOCK, take_run_lock),
    (identity.PATH, next_identity),
    (identity.PATH, new_identity),
    (f"{PRIVATE}/run-1/{identity.NAME}", new_identity),
    (MARKER, mark),
    (MARKER, mark_anew),
]
DIRECTORIES: list[tuple[str, Callable[[Path], None]]] = [
    (PRIVATE, take_run_lock),
    (PRIVATE, make_stage),
    (PRIVATE, new_identity),
    (PRIVATE, next_identity),
    (PRIVATE, tidy),
    (f"{PRIVATE}/run-1", make_stage),
    (f"{PRIVATE}/run-1", new_identity),
    (f"{PRIVATE}/run-1", tidy),
]


def state(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    inside = sorted(path.iterdir()) if path.is_dir() else path.read_bytes()
    return inside, status.st_mode, status.st_uid, status.st_mtime_ns


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
@pytest.mark.parametrize(("name", "act"), FILES)
def test_situation_23_nothing_is_written_through_a_link(
    tmp_path: Path, name: str, act: Callable[[Path], None], kind: str
) -> None:
    root, target = tmp_path / "root", tmp_path / "target"
    (root / name).parent.mkdir(parents=True)
    target.write_bytes(b"field\n" if name == MARKER else CONTENT)
    target.chmod(0o644)
    (root / name).symlink_to(target) if kind == "symbolic" else (root / name).hardlink_to(target)
    before = state(target)
    try:
        act(root)
    except (AlpenhornError, OSError) as error:
        assert name in str(error) or identity.NAME in str(error)
    # Or it was replaced, which leaves the target as it is.
    assert state(target) == before


@pytest.mark.parametrize(("name", "act"), [(LOCK_NAME, enter_tree), (RUN_LOCK, take_run_lock)])
def test_situation_23_a_link_is_reported_with_the_remedy(
    tmp_path: Path, name: str, act: Callable[[Path], None]
) -> None:
    act(tmp_path)
    (tmp_path / "second").hardlink_to(tmp_path / name)
    with pytest.raises(StorageError, match=rf"{name} has 2 names \(hard links\).* run: rm {tmp_path}/{name}"):
        act(tmp_path)
    (tmp_path / name).unlink()
    act(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("second")
    with pytest.raises(StorageError, match=f"{name} is a symbolic link, which is not followed"):
        act(tmp_path)


@pytest.mark.parametrize(("name", "act"), DIRECTORIES)
def test_situation_23_a_link_is_not_taken_for_our_directory(
    tmp_path: Path, name: str, act: Callable[[Path], None]
) -> None:
    root, target = tmp_path / "root", tmp_path / "target"
    (root / name).parent.mkdir(parents=True)
    target.mkdir(mode=0o755)
    (target / "run.lock").write_bytes(CONTENT)
    (target / "kept").mkdir()
    (root / name).symlink_to(target)
    before = state(target), state(target / "run.lock")
    if act is tidy and name != PRIVATE:
        act(root)  # it is neither removed nor followed
    else:
        with pytest.raises((AlpenhornError, OSError), match=name):
            act(root)
    assert (state(target), state(target / "run.lock")) == before


@pytest.mark.parametrize(("name", "act"), [*FILES[:3], *DIRECTORIES[:5]])
def test_situation_23_files_of_another_user_are_not_written_to(
    tmp_path: Path, name: str, act: Callable[[Path], None]
) -> None:
    take_run_lock(tmp_path)
    enter_tree(tmp_path)
    new_identity(tmp_path)
    os.chown(tmp_path / name, STRANGER, STRANGER)
    before = state(tmp_path / name)
    with pytest.raises(
        StorageError, match=f"{name} belongs to user {STRANGER}, .*chown root {tmp_path}/{name}"
    ):
        act(tmp_path)
    assert state(tmp_path / name) == before


@pytest.mark.parametrize("mode", [0o775, 0o2775])
def test_situation_23_files_of_a_member_of_the_roots_group_are_used(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    take_run_lock(tmp_path)
    os.chown(tmp_path / RUN_LOCK, STRANGER, -1)
    os.chown(tmp_path / PRIVATE, STRANGER, -1)
    take_run_lock(tmp_path)


@pytest.mark.parametrize("mode", [0o1777, 0o2777])
def test_situation_23_another_users_file_below_a_world_writable_root_is_refused(
    tmp_path: Path, mode: int
) -> None:
    tmp_path.chmod(mode)
    enter_tree(tmp_path)
    os.chown(tmp_path / LOCK_NAME, STRANGER, tmp_path.stat().st_gid if mode & stat.S_ISGID else STRANGER)
    with pytest.raises(StorageError, match=f"belongs to user {STRANGER}"):
        enter_tree(tmp_path)


def test_our_directory_is_closed_to_others_or_refused(tmp_path: Path) -> None:
    take_run_lock(tmp_path)
    (tmp_path / PRIVATE).chmod(0o777)
    with pytest.raises(StorageError, match=f"is writable by every user; run: chmod o-w {tmp_path}/{PRIVATE}"):
        os.close(open_own(str(tmp_path), RUN_LOCK, os.O_RDONLY))
    take_run_lock(tmp_path)
    assert (tmp_path / PRIVATE).stat().st_mode & 0o777 == 0o775


@pytest.mark.parametrize(("root_mode", "directory", "file"), [(0o755, 0o700, 0o600), (0o2775, 0o2770, 0o660)])
def test_our_files_are_created_for_users_who_can_write_to_the_root(
    tmp_path: Path, root_mode: int, directory: int, file: int
) -> None:
    tmp_path.chmod(root_mode)
    os.chown(tmp_path, -1, STRANGER)
    tmp_path.chmod(root_mode)
    take_run_lock(tmp_path)
    make = Stage(str(tmp_path), "part-1")
    make.close()
    for name, mode in ((PRIVATE, directory), (f"{PRIVATE}/part-1", directory), (RUN_LOCK, file)):
        status = (tmp_path / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid == STRANGER) == (mode, root_mode == 0o2775)


def test_situation_23_a_part_with_a_second_name_is_not_resumed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(CONTENT)
    for plant in ((tmp_path / "a").symlink_to, (tmp_path / "b").hardlink_to):
        plant(target)
    before = state(target)
    stage, fd = os.open(tmp_path, os.O_RDONLY), os.open(source, os.O_RDONLY)
    for name in ("a", "b"):
        copy(fd, stage, name, 3, md5(b"new").hexdigest(), flush=False)
        os.lseek(fd, 0, os.SEEK_SET)
        assert (tmp_path / name).read_bytes() == b"new"
    os.close(stage)
    os.close(fd)
    assert state(target) == before


SHARED = 54000


def as_member(uid: int, act: Callable[[], None]) -> None:
    """Run a function as a user with another primary group who is in the group SHARED."""
    for name in ("ctypes", "shutil", "pwd"):  # that user may not be able to read the interpreter's files
        importlib.import_module(name)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([SHARED])
            os.setgid(uid)
            os.setuid(uid)
            os.umask(0o002)
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_users_of_different_groups_take_turns_on_a_root_of_a_group_of_theirs() -> None:
    with public_directory() as root:
        os.chown(root, 54001, SHARED)
        root.chmod(0o2770)
        source = root / "source"
        source.write_bytes(bytes(2**21))
        source.chmod(0o644)
        number = iter(range(1, 10))

        def turn() -> None:
            take_run_lock(root)
            enter_tree(root)
            tidy(root)
            with Stage(str(root), "run-1") as stage:
                current = identity.read(str(root))
                if current is None:
                    identity.create(stage, ONE)
                else:
                    identity.write(str(root), ONE._replace(generation=current.generation + 1))
                stage.clear()
            with Stage(str(root), "part-1") as stage:
                fd = os.open(source, os.O_RDONLY)
                copy(fd, stage.fd, "f", 2**21, md5(bytes(2**21)).hexdigest(), flush=False)
                os.close(fd)
            Stage(str(root), "run-2").close()  # left by a run that was killed
            (root / ".alpenhorn/run-2/acq").mkdir()
            (root / ".alpenhorn/run-2/acq/f").touch()

        for uid in (54001, 54002, 54003, 54001):
            next(number)
            as_member(uid, turn)
        found = identity.read(str(root))
        assert found is not None and found.generation == next(number) - 1
