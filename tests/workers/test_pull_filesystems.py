"""Pull jobs onto file systems with missing features: FAT, exFAT and NTFS, through FUSE."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.errors import StorageError
from alpenhorn.fs import identity
from alpenhorn.fs.placing import Occupied
from alpenhorn.fs.tree_lock import TreeLock
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.searches import SearchJob
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.reasons import Code, code_of
from alpenhorn.workers.pull import pull
from alpenhorn.workers.search import search
from tests.fixtures.filesystems import LINKLESS, mounted
from tests.workers.test_pull import Report

LOCAL = [Method.LINK, Method.COPY, Method.RSYNC]


class Disk:
    """The node `disk` on a file system, and the node `home` whose files are pulled."""

    def __init__(self, kind: str, root: Path, home: Path) -> None:
        self.kind = kind
        self.root = root
        self.home = home
        home.mkdir()
        (home / "ALPENHORN_NODE").write_text("home\n")
        self.facts = [
            NodeFact(id, name, str(path), id, "here", None, None, True, False, None, None, None, 0.0, None)
            for id, name, path in ((1, "home", home), (2, "disk", root))
        ]
        self.node = DefaultNode(self.facts[1], {})
        self.node.initialise()

    def put(self, path: str, data: bytes, size_b: int | None = None) -> PullFile:
        where = self.home / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(data)
        number = abs(hash(path)) % 10**6
        return PullFile(number, number, path, size_b or len(data), hashlib.md5(data).hexdigest(), False)

    def pull(self, method: Method, *files: PullFile, stage: str = "s1") -> dict[str, PullResult]:
        job = PullJob(self.facts[0], self.facts[1], method, files)
        results = pull(job, self.node, stage, Transfer(), Report())
        return {result.file.path: result for result in results}


@pytest.fixture(params=LINKLESS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with mounted(request.param, tmp_path, tmp_path / "disk"):
        yield Disk(request.param, tmp_path / "disk", tmp_path / "home")


def why(results: dict[str, PullResult]) -> dict[str, Code | None]:
    """Return the code of each failure, None for pulled files; neither source nor node may be blamed."""
    assert all(result.blame in (None, Blame.UNKNOWN) for result in results.values()), results
    return {
        path: None if result.verdict is Verdict.PULLED else code_of(result.error)
        for path, result in results.items()
    }


@pytest.mark.parametrize("method", LOCAL)
def test_situation_08_files_come_whole_under_new_names_only(disk: Disk, method: Method) -> None:
    files = [disk.put(f"acq/deep/{number}", os.urandom(2000 + number)) for number in range(12)]
    files.append(disk.put("acq/big", os.urandom(2**21 + 5)))
    os.chmod(disk.home / "acq/deep/0", 0o440)
    os.chown(disk.home / "acq/deep/0", 1, 1)
    os.utime(disk.home / "acq/deep/1", (0, 0))  # before the first day of FAT, and after its last
    os.utime(disk.home / "acq/deep/2", (2**33, 2**33))
    results = disk.pull(method, *files)
    assert why(results) == dict.fromkeys(file.path for file in files)
    for file in files:
        assert (disk.root / file.path).read_bytes() == (disk.home / file.path).read_bytes()
    assert os.listdir(disk.root / ".alpenhorn") == []
    # Nothing that is there is ever replaced.
    (disk.root / "acq/deep/new").write_bytes(b"somebody else's")
    (result,) = disk.pull(method, disk.put("acq/deep/new", b"ours")).values()
    assert result.verdict is Verdict.OCCUPIED
    assert (disk.root / "acq/deep/new").read_bytes() == b"somebody else's"


def test_situation_08_a_name_reserved_before_a_crash_counts_as_free(disk: Disk) -> None:
    (disk.root / "acq").mkdir()
    (disk.root / "acq/f").touch()
    file = disk.put("acq/f", b"content")
    with disk.node.stage("s0") as stage:
        reserves = stage.abilities.reserves
        stage.clear()
    # The kernel's own FAT can rename without replacing, so that the empty file is somebody else's.
    assert reserves is (disk.kind == "exfat")
    (result,) = disk.pull(Method.COPY, file).values()
    assert result.verdict is (Verdict.PULLED if reserves else Verdict.OCCUPIED)
    assert (disk.root / "acq/f").read_bytes() == (b"content" if reserves else b"")
    # So is a marker.
    (disk.root / "ALPENHORN_NODE").write_bytes(b"")
    with pytest.raises(StorageError, match="belongs to node ''"):
        disk.node.check()
    if reserves:
        disk.node.initialise()
        disk.node.check()


def test_situation_08_of_many_processes_that_place_one_name_one_wins(disk: Disk) -> None:
    """The mutant is a plain rename: each process would succeed, and the last one's bytes stay."""
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            status = 9
            with disk.node.stage(f"s{number}") as stage:
                (Path(stage.path) / "f").write_bytes(b"%d" % number)
                (outcome,) = stage.place([("f", "acq/f", None)], TreeLock(disk.root))
                status = 0 if outcome is None else 1 if isinstance(outcome, Occupied) else 2
            os._exit(status)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(statuses) == [0, 1, 1, 1, 1, 1]
    assert (disk.root / "acq/f").read_bytes() == b"%d" % statuses.index(0)


def test_situation_08_a_reservation_goes_when_nothing_can_be_put_there(disk: Disk) -> None:
    with disk.node.stage("s1") as stage:
        (outcome,) = stage.place([("missing", "acq/f", None)], TreeLock(disk.root))
        assert isinstance(outcome, OSError) and os.listdir(disk.root / "acq") == []


def test_situation_08_directories_there_are_listed_in_each_search(disk: Disk) -> None:
    (disk.root / "acq").mkdir()
    (disk.root / "acq/f").write_bytes(b"data")
    for path in ("acq/f", "acq"):
        os.utime(disk.root / path, (1_500_000_000, 1_500_000_000))
    found = search(SearchJob(disk.facts[1], 1, ("acq", "acq/F")), disk.node)
    assert [(one.path, one.size_b) for one in found.files] == [("acq/f", 4)]
    assert [(one.path, one.mtime_ns) for one in found.stamps] == [("acq", 0)]
    assert [path for path, _ in found.declined] == ["acq/F"]


@pytest.mark.parametrize("method", LOCAL)
def test_situation_08_names_that_differ_in_case_are_not_one_file(disk: Disk, method: Method) -> None:
    if disk.kind == "vfat" and method is Method.LINK:
        method = Method.COPY
    upper, lower = disk.put("acq/F.h5", b"upper case"), disk.put("acq/f.h5", b"lower case")
    # In one job, in which they would meet in the stage; then when the other one is there; then in a directory.
    assert why(disk.pull(method, upper, lower)) == {"acq/F.h5": None, "acq/f.h5": Code.NAME_TAKEN}
    results = disk.pull(method, lower, disk.put("ACQ/x", b"x"), disk.put("acq/y", b"y"))
    assert why(results) == {"acq/f.h5": Code.NAME_TAKEN, "ACQ/x": Code.NAME_TAKEN, "acq/y": None}
    assert "'acq/F.h5'" in results["acq/f.h5"].error and "node disk" in results["acq/f.h5"].error
    assert (disk.root / "acq/F.h5").read_bytes() == b"upper case"
    assert sorted(os.listdir(disk.root / "acq")) == ["F.h5", "y"]


def test_situation_08_a_deletion_never_takes_the_file_of_another_name(disk: Disk) -> None:
    disk.pull(Method.COPY, disk.put("acq/F.h5", b"the same"))
    with disk.node.removal() as removal:
        with pytest.raises(Exception, match=r"under another name, 'acq/F\.h5'"):
            removal.remove("acq/f.h5", None)
        with pytest.raises(Exception, match="under another name"):
            removal.remove("ACQ/F.h5", None)
        assert (disk.root / "acq/F.h5").exists()
        removal.remove("acq/F.h5", 8)
        removal.flush(["acq/F.h5"])
    assert not (disk.root / "acq/F.h5").exists()


@pytest.mark.parametrize("method", LOCAL)
def test_situation_08_names_that_the_file_system_cannot_hold_fail_alone(disk: Disk, method: Method) -> None:
    bad = [
        disk.put(f"acq/{name}", b"data")
        for name in ("12:30", "what?", "a*", "back\\slash", "\udcff", "new\nline")
    ]
    bad.append(disk.put("a:b/plain", b"data"))
    good = [disk.put("acq/plain", b"data"), disk.put("acq/é ü", b"data")]
    results = disk.pull(method, *bad, *good)
    assert why(results) == dict.fromkeys((file.path for file in bad), Code.NAME_IMPOSSIBLE) | dict.fromkeys(
        file.path for file in good
    )
    assert "12:30" in results["acq/12:30"].error
    assert sorted(os.listdir(disk.root / "acq")) == sorted(["plain", "é ü"])


def test_situation_08_the_identity_is_written_and_moved(disk: Disk) -> None:
    known = identity.Identity(identity.new_id(), identity.new_id(), 1, identity.new_word())
    with disk.node.stage("s1") as stage:
        identity.create(stage, known)
        stage.clear()
    later = known._replace(generation=2, word=identity.new_word())
    identity.write(str(disk.root), later)
    assert identity.read(str(disk.root)) == later


def test_situation_08_fat_holds_no_file_of_four_gib(disk: Disk) -> None:
    large = disk.put("acq/large", b"", 2**32)
    os.truncate(disk.home / "acq/large", 2**32)
    if disk.kind != "vfat":
        return  # exFAT could hold it, and this disk has no room
    results = disk.pull(Method.COPY, large, disk.put("acq/small", b"data"))
    assert why(results) == {"acq/large": Code.FILE_TOO_LARGE, "acq/small": None}
    assert "node disk" in results["acq/large"].error and "4294967296" in results["acq/large"].error


def test_situation_08_a_limit_of_the_length_of_files_is_not_the_nodes_fault(tmp_path: Path) -> None:
    """As on a file system with an unknown limit."""
    import resource

    (tmp_path / "disk").mkdir()
    disk = Disk("", tmp_path / "disk", tmp_path / "home")
    files = [disk.put("acq/large", os.urandom(3 * 2**20)), disk.put("acq/small", b"data")]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, before[1]))
    try:
        results = disk.pull(Method.COPY, *files)
        parts = disk.pull(Method.COPY, files[0], stage="part-1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert why(results) == {"acq/large": Code.LARGER_THAN_POSSIBLE, "acq/small": None}
    assert why(parts) == {"acq/large": Code.LARGER_THAN_POSSIBLE}
    assert os.listdir(disk.root / ".alpenhorn") == []
