from __future__ import annotations

import os
import shutil
import socket
from itertools import pairwise
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.nodes import MARKER
from alpenhorn.model.reconcile import (
    BACK,
    DARK,
    DIFFERING,
    MISSING,
    OTHER,
    UNREAD,
    DiskFinding,
    KnownCopy,
    ReconcileJob,
    ReconcileOutcome,
    TreePart,
)
from alpenhorn.workers.reconcile import ENOUGH, reconcile
from tests.io.nodes import Report, as_nobody, make, public_directory, put

PAST = "2001-09-09 01:46:40"  # 1,000,000,000
FUTURE = "2200-01-01 00:00:00"


@pytest.fixture
def node(tmp_path: Path) -> DirectoryNode:
    return make(tmp_path / "root")


def copy(
    name: str, size_b: int | None = 4, has: str = "Y", since: object = FUTURE, copy_id: int = 1
) -> KnownCopy:
    return (1, name, size_b, copy_id, has, since)


def outcome(
    node: DirectoryNode, *parts: TreePart, min_age: float = 0, report: Report | None = None
) -> ReconcileOutcome:
    return reconcile(ReconcileJob(node.node, parts, min_age), node, report or Report())


def found(result: ReconcileOutcome, kind: str) -> dict[str, str]:
    return {one.path: one.why for one in result.found if one.kind == kind}


def kinds(result: ReconcileOutcome) -> set[str]:
    return {one.kind for one in result.found}


def test_a_tree_that_agrees_with_the_index_gives_no_findings(node: DirectoryNode) -> None:
    root = Path(node.root)
    for path in ("acq/f", "acq/sub/f", "acq/sub/deep/f", "other/f"):
        put(root, path, b"four")
    parts = [
        TreePart("acq", (copy("f"), copy("sub/f"), copy("sub/deep/f", None))),
        TreePart("other", (copy("f"),)),
        TreePart("", excluded=frozenset({"acq", "other"})),
    ]
    report = Report()
    assert outcome(node, *parts, report=report) == ReconcileOutcome(looked=4)
    assert report.files == 4


def test_every_difference_is_reported(node: DirectoryNode) -> None:
    root = Path(node.root)
    for name in ("same", "short", "unknown", "under/f"):
        put(root, f"acq/{name}", b"four")
    (root / "acq/link").symlink_to("same")
    (root / "acq/dir").mkdir()
    (root / "acq/by").symlink_to("under")
    (root / "acq/file").write_bytes(b"")
    names = ["same", "link", "dir", "none", "by/f", "file/f", "under/f", "under/none", "gone/f"]
    known = (*map(copy, names), copy("short", 5), copy("unknown", None))
    result = outcome(node, TreePart("acq", known))
    assert result.looked == len(known)
    differing = found(result, DIFFERING)
    assert "'by' is a symbolic link" in differing.pop("acq/by/f")
    assert differing == {
        "acq/short": "length is 4 bytes, the index says 5",
        "acq/link": "not a regular file",
        "acq/dir": "not a regular file",
    }
    assert found(result, MISSING) == {
        "acq/none": "no such file",
        "acq/under/none": "no such file",
        "acq/file/f": "no such directory",
        "acq/gone/f": "no such directory",
    }
    # What stands in the way of copies is no copy.
    assert set(found(result, DARK)) == {"acq/by", "acq/file"}


def times(at: Path, mtime: int) -> None:
    os.utime(at, (mtime, mtime))


def test_a_file_written_to_since_it_was_last_read_differs_whatever_its_length(node: DirectoryNode) -> None:
    at = Path(node.root) / "acq/f"
    put(Path(node.root), "acq/f", b"four")
    times(at, 1_000_000_002)
    result = outcome(node, TreePart("acq", (copy("f", since=PAST),)))
    assert found(result, DIFFERING) == {"acq/f": f"modified after {PAST} UTC, when it was last verified"}
    # In the second in which it was read, and before.
    for mtime in (1_000_000_000, 999_999_999):
        times(at, mtime)
        assert outcome(node, TreePart("acq", (copy("f", since=PAST),))).found == ()


@pytest.mark.parametrize("since", [None, "garbled"])
def test_times_are_ignored_for_a_file_that_was_never_read(node: DirectoryNode, since: object) -> None:
    put(Path(node.root), "acq/f", b"four")
    assert outcome(node, TreePart("acq", (copy("f", since=since),))).found == ()


def test_a_time_that_its_source_gave_it_is_no_change(node: DirectoryNode) -> None:
    """Its status changed before it was read; only its modification time is in the future."""
    at = Path(node.root) / "acq/f"
    put(Path(node.root), "acq/f", b"four")
    os.utime(at, ns=(9 * 10**18, 9 * 10**18))
    assert outcome(node, TreePart("acq", (copy("f", since=FUTURE),))).found == ()


def test_copies_recorded_as_gone_that_exist_are_reported(node: DirectoryNode) -> None:
    root = Path(node.root)
    for name in ("back", "other", "newer", "unknown", "suspect", "corrupt"):
        put(root, f"acq/{name}", b"four")
        times(root / f"acq/{name}", 999_999_999)  # as a copy that keeps times
    known = (
        copy("back", has="N", copy_id=7),
        copy("other", 5, "N"),
        copy("newer", has="N", since=PAST),
        copy("unknown", has="N", since=None),
        copy("never", has="N"),
        copy("suspect", 5, "M"),
        copy("corrupt", 5, "X"),
        copy("away", 5, "M"),
    )
    result = outcome(node, TreePart("acq", known))
    assert result.looked == 0
    assert [(one.path, one.copy_id) for one in result.found if one.kind == BACK] == [("acq/back", 7)]
    # What lies at their paths may be anybody's.
    assert found(result, DARK) == {
        "acq/other": "the copy at this path is recorded as gone, and this is another file:"
        " length is 4 bytes, the index says 5",
        "acq/newer": "the copy at this path is recorded as gone, and this is another file:"
        f" it appeared after {PAST} UTC, when the copy was recorded as gone",
        "acq/unknown": "the copy at this path is recorded as gone, and this is another file:"
        " it appeared after None UTC, when the copy was recorded as gone",
    }


def test_every_unknown_object_is_reported_with_its_kind(
    node: DirectoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(node.root)
    for path in ("acq/f", "acq/unknown", "acq/.hidden", "acq/.alpenhorn/x", "top", "free/deep/f", ".cache/x"):
        put(root, path, b"four")
    (root / "acq/empty").mkdir()
    (root / "link").symlink_to(root / "acq")
    os.mkfifo(root / "acq/fifo")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(root)  # a socket's path is short
        server.bind("socket")
    for path in (".alpenhorn/manifest.md5", ".alpenhorn-old/x", f".{MARKER}.abc"):
        put(root, path)
    result = outcome(node, TreePart("acq", (copy("f"),)), TreePart("", excluded=frozenset({"acq"})))
    assert {one.path: one.what for one in result.found if one.kind == DARK} == {
        "acq/unknown": "file",
        "acq/.hidden": "file",
        "acq/.alpenhorn/x": "file",
        "acq/fifo": "fifo",
        "top": "file",
        "free/deep/f": "file",
        ".cache/x": "file",
        "link": "symbolic link",
        "socket": "socket",
    }
    assert kinds(result) == {DARK} and result.looked == 1


def test_names_that_are_not_text_are_returned_unchanged(node: DirectoryNode) -> None:
    root = os.fsencode(node.root)
    os.mkdir(root + b"/acq")
    names = [b"bad\xff", b"new\nline", b"esc\x1b"]
    for name in names:
        os.close(os.open(root + b"/acq/" + name, os.O_CREAT | os.O_WRONLY))
    result = outcome(node, TreePart("acq"))
    assert {os.fsencode(one.path) for one in result.found} == {b"acq/" + name for name in names}


def test_young_unknown_files_are_only_counted_by_the_storages_clock(node: DirectoryNode) -> None:
    root = Path(node.root)
    put(root, "acq/new", b"four")
    put(root, "acq/future", b"four")
    put(root, "acq/mine", b"four")
    put(root, ".alpenhorn/x")
    os.utime(root / "acq/future", (2**34, 2**34))
    os.utime(root / "acq/new", (10**9, 10**9))  # as a copy that keeps times
    part = TreePart("acq", (copy("mine", 5),))
    result = outcome(node, part, min_age=3600)
    assert (result.young, kinds(result)) == (2, {DIFFERING})
    result = outcome(node, part, min_age=0)
    assert result.young == 0 and set(found(result, DARK)) == {"acq/new", "acq/future"}


def test_another_nodes_root_is_reported_and_not_searched(node: DirectoryNode) -> None:
    root = Path(node.root)
    for path in ("inner/" + MARKER, "inner/f", "inner/sub/f", "inner/sub/known", "beside/f"):
        put(root, path, b"four")
    result = outcome(node, TreePart(""))
    assert found(result, OTHER) == {"inner": "root of another node"}
    assert set(found(result, DARK)) == {"beside/f"}
    # A copy in there is looked at all the same.
    result = outcome(node, TreePart("inner", (copy("sub/known"), copy("sub/none"))))
    assert (set(found(result, OTHER)), set(found(result, MISSING))) == ({"inner"}, {"inner/sub/none"})
    assert set(found(result, DARK)) == set()


def test_a_directory_that_cannot_be_listed_is_not_reported_as_lost() -> None:
    with public_directory() as root:
        node = make(root)
        for path in ("acq/closed/f", "acq/closed/g", "acq/open/f", "dark/f"):
            put(root, path, b"four")
        part = TreePart("acq", (copy("closed/f"), copy("closed/g"), copy("closed/deep/f"), copy("open/f")))
        for path in ("acq/closed", "dark"):
            (root / path).chmod(0)
        with as_nobody():
            result = outcome(node, part, TreePart("", excluded=frozenset({"acq"})))
        (root / "acq/closed").chmod(0o444)  # its names can be read, and nothing else
        with as_nobody():
            listed = outcome(node, part)
        for path in ("acq/closed", "dark"):
            (root / path).chmod(0o755)
    assert kinds(result) == kinds(listed) == {UNREAD}
    told = {(one.path, one.copies) for one in result.found}
    assert told == {("acq/closed", 2), ("acq/closed/deep", 1), ("dark", 0)}
    assert all("Permission denied" in one.why for one in (*result.found, *listed.found))
    assert (result.looked, listed.looked) == (1, 1)


def test_files_of_the_file_system_itself_are_not_reported() -> None:
    with public_directory() as root:
        node = make(root)
        (root / "lost+found").mkdir(0)
        with as_nobody():
            assert outcome(node, TreePart("")).found == ()


@pytest.mark.parametrize("name", ["../f", "sub/../f", "..", "", "a//b", "nul\0"])
def test_a_path_that_no_file_can_have_is_not_lost(node: DirectoryNode, name: str) -> None:
    put(Path(node.root), "f", b"four")
    put(Path(node.root), "acq/f", b"four")
    result = outcome(node, TreePart("acq", (copy(name), copy("f"))))
    assert kinds(result) == {UNREAD} and sum(one.copies for one in result.found) == 1
    assert result.looked == 2  # nothing of it is left to be looked at


@pytest.mark.parametrize("name", ["x" * 256, "x" * 256 + "/f"])
def test_a_file_whose_name_is_too_long_is_not_there(node: DirectoryNode, name: str) -> None:
    put(Path(node.root), "acq/f", b"four")
    assert set(found(outcome(node, TreePart("acq", (copy(name), copy("f")))), MISSING)) == {f"acq/{name}"}


def test_two_copies_at_one_path_are_both_looked_at(node: DirectoryNode) -> None:
    put(Path(node.root), "2026/log/day.txt", b"four")
    there = (copy("day.txt", copy_id=1), copy("day.txt", 5, copy_id=2))
    result = outcome(node, TreePart("2026/log", (*there, copy("none", copy_id=3), copy("none", copy_id=4))))
    assert {(one.kind, one.copy_id) for one in result.found} == {(DIFFERING, 2), (MISSING, 3), (MISSING, 4)}
    assert result.looked == 4


def test_files_of_other_parts_are_left_to_them(node: DirectoryNode) -> None:
    root = Path(node.root)
    for path in ("2026/f", "2026/log/day.txt", "2026/logs/f"):
        put(root, path)
    assert set(found(outcome(node, TreePart("2026", excluded=frozenset({"2026/log"}))), DARK)) == {
        "2026/f",
        "2026/logs/f",
    }


def test_ranges_of_one_directory_are_together_the_whole(node: DirectoryNode) -> None:
    names = ["a", "b", "b-/c", "d/a", "d/bad", "d/z", "d-", "d0", "é", "z/y"]
    for name in names:
        put(Path(node.root), f"acq/{name}", b"four")
    bounds = [None, "acq/b", "acq/d-", "acq/d/k", "acq/d/z", "acq/é", None]
    seen: list[str] = []
    for after, until in pairwise(bounds):
        result = outcome(node, TreePart("acq", after=after, until=until))
        seen += [one.path for one in result.found]
    assert sorted(seen) == sorted(f"acq/{name}" for name in names)


def test_a_large_tree_of_unknown_files_is_looked_at_in_pieces(node: DirectoryNode) -> None:
    each = 100
    paths = {f"acq/{directory:03}/{name}" for directory in range(ENOUGH // each + 2) for name in range(each)}
    for path in paths:
        put(Path(node.root), path, b"")
    todo, seen = [TreePart("acq", (copy("000/0", 0), copy("001/1", 0)))], set()
    looked = jobs = 0
    while todo:
        result = outcome(node, *todo)
        jobs += 1
        looked += result.looked
        seen |= {one.path for one in result.found}
        todo = list(result.remaining)
    assert seen == paths - {"acq/000/0", "acq/001/1"} and (looked, jobs) == (2, 2)


def test_an_absent_node_gives_no_results(node: DirectoryNode) -> None:
    put(Path(node.root), "acq/f", b"four")
    (Path(node.root) / MARKER).unlink()
    with pytest.raises(StorageError):
        outcome(node, TreePart("acq", (copy("f"), copy("none"))))


def test_a_node_that_appears_meanwhile_gives_no_results(node: DirectoryNode) -> None:
    class Mounting(Report):
        def begin(self, path: str) -> None:
            pass

        def fail(self) -> None:
            pass

        def progress(self, files: int, bytes: int) -> None:
            put(Path(node.root), MARKER, b"disk\n")

    (Path(node.root) / MARKER).unlink()
    with pytest.raises(StorageError):
        outcome(node, TreePart("acq", (copy("none"),)), report=Mounting())


def test_a_node_that_disappears_meanwhile_gives_no_results(node: DirectoryNode) -> None:
    class Unmounting(Report):
        def begin(self, path: str) -> None:
            pass

        def fail(self) -> None:
            pass

        def progress(self, files: int, bytes: int) -> None:
            shutil.rmtree(node.root, ignore_errors=True)

    put(Path(node.root), "acq/f", b"four")
    with pytest.raises(StorageError):
        outcome(node, TreePart("acq", (copy("f"), copy("sub/none"))), report=Unmounting())


def test_nothing_is_read_or_changed(node: DirectoryNode) -> None:
    at = Path(node.root) / "acq/f"
    put(Path(node.root), "acq/f", b"four")
    os.utime(at, ns=(10**18, 10**18))
    before = at.stat()
    assert found(outcome(node, TreePart("acq", (copy("f", 5),))), DIFFERING)
    after = at.stat()
    assert (after.st_atime_ns, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_atime_ns,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


def test_a_stopped_run_returns_its_findings_so_far(node: DirectoryNode) -> None:
    class Stopping(Report):
        def stopping(self) -> bool:
            return self.files > 0

    put(Path(node.root), "acq/f", b"four")
    put(Path(node.root), "acq/sub/f", b"four")
    parts = TreePart("acq", (copy("f", 5), copy("sub/f", 5))), TreePart("other", (copy("f"),))
    result = outcome(node, *parts, report=Stopping())
    assert result.stopped and result.looked == 1
    assert [one.path for one in result.found] == ["acq/f"]


def test_a_finding_describes_what_is_on_the_disk(node: DirectoryNode) -> None:
    at = Path(node.root) / "acq/f"
    put(Path(node.root), "acq/f", b"four")
    os.utime(at, ns=(10**18, 10**18))
    (one,) = outcome(node, TreePart("acq")).found
    assert one == DiskFinding(DARK, "acq/f", 0, "file", 4, 10**18)
