"""The Default node, group and remote on real directories."""

from __future__ import annotations

import json
import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.errors import StorageError, UnsafePath
from alpenhorn.extensions.registry import group_io, node_io, remote_io
from alpenhorn.io.base import Node, Refusal
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import MARKER, GroupFact
from alpenhorn.model.pulls import Method
from tests.io.nodes import fact, make, put
from tests.io.room import Room
from tests.plan import facts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def unmarked(root: Path, name: str = "disk", **columns: Any) -> Node:
    return node_io(fact(root, name, **columns))


# --- marker --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["disk\n", "disk", "disk\nmade in 2020\n", "disk\r\n"])
def test_the_marker_holds_the_name_in_its_first_line(root: Path, text: str) -> None:
    (root / MARKER).write_text(text)
    unmarked(root).check()


@pytest.mark.parametrize("text", ["", "\ndisk\n", "disk2\n", "dis\n", "Disk\n", "\xff\n"])
def test_any_other_marker_is_another_nodes(root: Path, text: str) -> None:
    (root / MARKER).write_bytes(text.encode("latin-1"))
    node = unmarked(root)
    with pytest.raises(StorageError, match=r"belongs to node .* not to disk"):
        node.check()
    assert node.owner() is not None
    with pytest.raises(StorageError, match="already belongs to node"):
        node.initialise()
    assert (root / MARKER).read_bytes() == text.encode("latin-1")


def test_a_name_of_64_wide_characters_is_read_whole(root: Path) -> None:
    name = "\N{CHECK MARK}" * 63 + "\N{SATELLITE ANTENNA}"
    node = unmarked(root, name)
    node.initialise()
    node.check()


def test_a_root_without_a_marker_is_not_the_nodes(root: Path) -> None:
    node = unmarked(root)
    with pytest.raises(StorageError, match="alpenhorn node init disk"):
        node.check()
    assert node.owner() is None


def test_an_absent_root_is_reported_and_not_created(root: Path) -> None:
    root.rmdir()
    node = unmarked(root)
    for verb in (node.check, node.initialise, node.owner):
        with pytest.raises(StorageError, match="does not exist"):
            verb()
    assert not root.exists()


def test_a_root_that_is_a_file_is_reported(root: Path) -> None:
    root.rmdir()
    root.touch()
    with pytest.raises(StorageError, match="does not exist"):
        unmarked(root).check()


def test_a_node_without_a_root_is_reported(root: Path) -> None:
    for nothing in (None, ""):
        with pytest.raises(StorageError, match="--root DIR"):
            node_io(fact(root)._replace(root=nothing)).check()


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_a_marker_that_is_not_a_regular_file_is_refused_without_hanging(root: Path, kind: str) -> None:
    marker = root / MARKER
    if kind == "symlink":
        (root / "real").write_text("disk\n")
        marker.symlink_to("real")
    elif kind == "fifo":
        os.mkfifo(marker)
    else:
        marker.mkdir()
    node = unmarked(root)
    for verb in (node.check, node.initialise, node.owner):
        with pytest.raises(StorageError, match=MARKER):
            verb()


# --- initialisation ------------------------------------------------------------------------------------


def test_initialising_makes_the_marker_and_leaves_nothing_else(root: Path) -> None:
    node = unmarked(root)
    node.initialise()
    node.check()
    assert (root / MARKER).read_text() == "disk\n"
    assert [path.name for path in root.iterdir() if path.name.startswith(f".{MARKER}")] == []


def test_initialising_twice_is_as_good_as_once(root: Path) -> None:
    node = unmarked(root)
    node.initialise()
    before = os.stat(root / MARKER)
    node.initialise()
    after = os.stat(root / MARKER)
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns), (
        "any change sets the ctime"
    )


def test_only_the_mark_of_a_former_name_is_replaced_and_the_rest_of_it_stays(root: Path) -> None:
    (root / MARKER).write_text("old\nbought in 2020\n")
    node = unmarked(root)
    with pytest.raises(StorageError, match="already belongs to node 'old'"):
        node.initialise("older")
    assert (root / MARKER).read_text() == "old\nbought in 2020\n"
    node.initialise("old")
    assert (root / MARKER).read_text() == "disk\nbought in 2020\n"
    node.initialise("old")
    assert os.listdir(root).count(MARKER) == 1 and not [
        name for name in os.listdir(root) if name.startswith(f".{MARKER}")
    ]


def test_leftovers_of_a_crash_do_not_prevent_initialising(root: Path) -> None:
    (root / f".{MARKER}.1234").touch()
    unmarked(root).initialise()
    unmarked(root).check()


def _initialise(root: Path, name: str, barrier: Barrier, answers: Any) -> None:
    node = unmarked(root, name)
    barrier.wait(60)
    try:
        node.initialise()
    except StorageError as error:
        answers.put((name, str(error)))
    else:
        answers.put((name, ""))


@pytest.mark.parametrize("names", [("a", "a", "a"), ("a", "b", "c")])
def test_processes_that_initialise_one_root_agree_on_its_node(tmp_path: Path, names: tuple[str, ...]) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(15):
        root = tmp_path / str(number)
        root.mkdir()
        barrier, answers = context.Barrier(len(names)), context.SimpleQueue()
        some = [context.Process(target=_initialise, args=(root, name, barrier, answers)) for name in names]
        for process in some:
            process.start()
        told = [answers.get() for _ in names]
        for process in some:
            process.join()
        owner = (root / MARKER).read_text().strip()
        for name, error in told:
            assert bool(error) is (name != owner), (told, owner)
        assert os.listdir(root) == [MARKER] or sorted(os.listdir(root))[-1] == MARKER


# --- what a killed run left ----------------------------------------------------------------------------


def test_tidying_keeps_parts_locks_and_files(root: Path) -> None:
    node = make(root)
    put(root, "acq/a")
    put(root, ".alpenhorn/run-1-0/half")
    put(root, ".alpenhorn/run-1-1/deep/deeper/half")
    put(root, ".alpenhorn/part-7-abc/half")
    put(root, ".alpenhorn/run.lock", b"")
    put(root, ".alpenhorn.lock", b"")
    node.tidy()
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert left == [".alpenhorn.lock", ".alpenhorn/part-7-abc/half", ".alpenhorn/run.lock", MARKER, "acq/a"]
    node.tidy()


def test_tidying_a_new_node_does_nothing(root: Path) -> None:
    make(root).tidy()
    assert os.listdir(root) == [MARKER]


def test_tidying_follows_no_symbolic_link(root: Path, tmp_path: Path) -> None:
    put(tmp_path, "home/precious/file")
    node = make(root)
    (root / ".alpenhorn").mkdir()
    (root / ".alpenhorn/run-1-0").symlink_to(tmp_path / "home")
    put(root, ".alpenhorn/run-1-1/x")
    (root / ".alpenhorn/run-1-1/link").symlink_to(tmp_path / "home")
    node.tidy()
    assert (tmp_path / "home/precious/file").exists()
    assert not (root / ".alpenhorn/run-1-1").exists()


def test_a_private_directory_that_is_a_symbolic_link_is_refused(root: Path, tmp_path: Path) -> None:
    put(tmp_path, "home/precious/file")
    node = make(root)
    (root / ".alpenhorn").symlink_to(tmp_path / "home")
    with pytest.raises(StorageError, match="move it away"):
        node.tidy()
    assert (tmp_path / "home/precious/file").exists()


# --- files ---------------------------------------------------------------------------------------------


def test_a_file_is_opened_and_measured(root: Path) -> None:
    node = make(root)
    put(root, "acq/a", b"x" * 10_000)
    fd = node.open("acq/a")
    try:
        assert os.pread(fd, 3, 0) == b"xxx"
        assert node.space_used(os.fstat(fd)) == os.stat(root / "acq/a").st_blocks * 512
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/passwd", "acq/../../outside", "", "acq//a", "link", "away/a"]
)
def test_no_path_leads_out_of_the_root(root: Path, tmp_path: Path, path: str) -> None:
    put(tmp_path, "outside")
    put(tmp_path, "elsewhere/a")
    node = make(root)
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "away").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePath):
        os.close(node.open(path))


def test_opening_leaks_no_descriptor(root: Path) -> None:
    node = make(root)
    os.mkfifo(root / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError, match="not a regular file"):
        node.open("fifo")
    with pytest.raises(FileNotFoundError):
        node.open("none")
    assert len(os.listdir("/proc/self/fd")) == before


def test_many_files_are_opened_in_turn_and_looked_for_in_replaced_directories(root: Path) -> None:
    node = make(root)
    put(root, "acq/a")
    before = len(os.listdir("/proc/self/fd"))
    with node.reading() as open_file:
        fd, status = open_file("acq/a")
        assert os.path.samestat(status, os.fstat(fd))
        os.close(fd)
        (root / "acq").rename(root / "former")
        put(root, "acq/b")
        os.close(open_file("acq/b")[0])
        with pytest.raises(FileNotFoundError):
            open_file("acq/none")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("marked", [False, True])
def test_files_of_a_root_that_was_replaced_meanwhile_do_not_count(root: Path, marked: bool) -> None:
    node = make(root)
    put(root, "acq/a")
    with (
        pytest.raises(StorageError, match="mounted" if marked else "ALPENHORN_NODE"),
        node.reading() as open_file,
    ):
        os.close(open_file("acq/a")[0])
        root.rename(root.with_name("elsewhere"))
        root.mkdir()
        if marked:
            make(root)


def test_a_class_of_an_extension_opens_each_file_in_its_own_way(root: Path) -> None:
    class Logging(DefaultNode):
        def open(self, path: str) -> int:
            opened.append(path)
            return super().open(path)

    opened: list[str] = []
    put(root, "acq/a")
    with Logging(make(root).node, {}).reading() as open_file:
        os.close(open_file("acq/a")[0])
    assert opened == ["acq/a"]


def test_files_are_removed_from_the_right_storage_and_from_no_other(root: Path) -> None:
    node = make(root)
    put(root, "acq/f")
    (root / MARKER).write_text("another\n")
    with pytest.raises(StorageError, match="another"):
        node.removal()
    (root / MARKER).unlink()
    with pytest.raises(StorageError, match="not mounted"):
        node.removal()
    (root / MARKER).write_text("disk\n")
    with node.removal() as removal:
        aside = root.rename(root.parent / "aside")
        root.mkdir()
        removal.check()
        removal.remove("acq/f", 7)
        (aside / MARKER).unlink()
        with pytest.raises(StorageError, match="not mounted"):
            removal.check()


def test_a_dangling_link_is_something_at_a_path(root: Path) -> None:
    node = make(root)
    (root / "link").symlink_to("nowhere")
    assert node.exists("link")
    assert not node.exists("none")


def test_a_file_is_locked_while_its_lock_file_exists(root: Path) -> None:
    node = make(root)
    put(root, "acq/a")
    assert not node.locked("acq/a")
    put(root, "acq/.a.lock")
    assert node.locked("acq/a")
    assert not node.locked("acq/b")


def test_free_bytes_are_those_of_an_ordinary_user(root: Path) -> None:
    space = os.statvfs(root)
    free = make(root).free_bytes()
    assert free is not None
    assert abs(free - space.f_bavail * space.f_frsize) < 2**30


# --- settings ------------------------------------------------------------------------------------------


def configured(root: Path, **settings: Any) -> Node:
    return unmarked(root, io_config=json.dumps(settings))


def test_the_settings_of_a_node_and_what_holds_without(root: Path) -> None:
    plain = unmarked(root)
    assert (plain.reserved_bytes(100), plain.jobs, plain.local_method) == (200, None, Method.COPY)
    node = configured(root, reserve_factor=1.5, jobs=3, method="rsync")
    assert (node.reserved_bytes(100), node.jobs, node.local_method) == (150, 3, Method.RSYNC)
    assert configured(root, reserve_factor=1).reserved_bytes(10**15) == 10**15


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reserve_factor", 0.5),
        ("reserve_factor", 0),
        ("reserve_factor", -1),
        ("reserve_factor", "2"),
        ("reserve_factor", True),
        ("reserve_factor", None),
        ("reserve_factor", float("nan")),
        ("reserve_factor", float("inf")),
        ("reserve_factor", 1e308),
        ("jobs", 0),
        ("jobs", 1.5),
        ("jobs", True),
        ("jobs", "4"),
        ("method", "scp"),
        ("method", None),
        ("method", []),
        ("method", {}),
    ],
)
def test_a_wrong_setting_is_reported_with_the_remedy(root: Path, key: str, value: Any) -> None:
    with pytest.raises(StorageError) as told:
        configured(root, **{key: value})
    assert key in str(told.value)
    assert "alpenhorn node modify disk" in str(told.value)


@pytest.mark.parametrize("text", ["{", "[]", "3", '"x"', "null", "[" * 100_000, "{'a': 1}"])
def test_an_io_config_that_is_no_json_object_names_its_node(root: Path, text: str) -> None:
    with pytest.raises(StorageError, match="io_config of node disk is not"):
        unmarked(root, io_config=text)
    with pytest.raises(StorageError, match="io_config of group g is not"):
        group_io(GroupFact(1, "g", None, text), [])


# --- group and remote ----------------------------------------------------------------------------------

GROUP = GroupFact(20, "offsite", None, None)


def test_the_only_node_of_a_group_takes_files_that_fit() -> None:
    group = group_io(GROUP, [facts.node()])
    assert group.refuses(facts.source()) is None
    assert group.choose(facts.fact(size_b=7), Room(node2=7)) == facts.DESTINATION
    assert group.choose(facts.fact(size_b=8), Room(node2=7)) == Refusal("no room on node2")


def test_two_active_nodes_of_a_group_on_one_host_are_an_error_that_names_them() -> None:
    with pytest.raises(StorageError, match=r"offsite .*node2, node3"):
        group_io(GROUP, [facts.node(3), facts.node(2)])


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, ""),
        ({"host": None}, "no host (alpenhorn node modify node1 --host HOST)"),
        ({"root": None}, "no root (alpenhorn node modify node1 --root DIR)"),
        ({"address": None}, "host here has no address (alpenhorn host modify here --address ADDRESS)"),
        ({"username": ""}, "host here has no username (alpenhorn host modify here --username USERNAME)"),
        (
            {"address": None, "username": None},
            "host here has no address and no username"
            " (alpenhorn host modify here --address ADDRESS --username USERNAME)",
        ),
    ],
)
def test_a_remote_reports_what_is_missing_and_how_to_set_it(changes: dict[str, Any], missing: str) -> None:
    assert remote_io(facts.source(**changes)).unreachable() == missing
