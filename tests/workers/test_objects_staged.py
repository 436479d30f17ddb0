"""Files that become objects, and are fetched from other hosts or other services into a stage of this host before."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.model.pulls import Method, PullFile, PullJob, PullResult
from alpenhorn.model.tasks import Blame, Verdict
from alpenhorn.reasons import Code, code_of
from alpenhorn.workers.objects.pull import OUT, pull_from
from tests.fixtures.archive import wait_for
from tests.fixtures.rclone import Service
from tests.fixtures.sshd import Sshd
from tests.io.nodes import Report, make, put
from tests.workers.object_store import CONTENT, MD5, Store

pytestmark = pytest.mark.ci

STAGE = "stage"
BIG = os.urandom(3 * 2**20)
BIG_FILE = PullFile(99, 99, "acq/big", len(BIG), hashlib.md5(BIG).hexdigest())
PART = "part-99-big"


def wanted(*paths: str, **columns: bool) -> tuple[PullFile, ...]:
    return tuple(
        PullFile(number, number, path, len(CONTENT), MD5, **columns) for number, path in enumerate(paths)
    )


class Staged(Store):
    """The node `store` with objects on this host, and the node `far` with a directory on another one."""

    def __init__(self, base: Path, service: Service, sshd: Sshd) -> None:
        super().__init__(base, service)
        self.far = base / "far"
        made = make(self.far, "far")
        self.far_fact: NodeFact = made.node._replace(
            host="there", address=sshd.address, username=sshd.username
        )
        self.transfer = Transfer(ssh=tuple(sshd.ssh))

    def brought(
        self,
        *files: PullFile,
        source: NodeFact | None = None,
        method: Method = Method.TAR,
        stage: str = STAGE,
        rate: int = 0,
    ) -> dict[str, PullResult]:
        job = PullJob(source or self.far_fact, self.fact, method, files, rate, staged=True)
        results = pull_from(job, self.node, stage, self.transfer, Report(), 300.0, set())
        return {one.file.path: one for one in results}

    def staged(self) -> list[str]:
        """Return the files in stages."""
        private = self.root / ".alpenhorn"
        found = (str(path.relative_to(private)) for path in private.rglob("*") if path.is_file())
        return sorted(path for path in found if path != "room/lock")


@pytest.fixture
def store(tmp_path: Path, webdav: Service, sshd: Sshd) -> Staged:
    return Staged(tmp_path, webdav, sshd)


@pytest.mark.parametrize("method", [Method.TAR, Method.RSYNC_SSH])
def test_files_of_another_host_are_stored_and_leave_the_stage(store: Staged, method: Method) -> None:
    names = ("acq/file", "acq/-x", "acq/sub/é ; $(x)", "#acq/*", "acq/taken")
    for name in (*names, "acq/wrong"):
        put(store.far, name, CONTENT)
    (store.far / "acq/wrong").write_bytes(CONTENT.upper())
    store.at("acq").mkdir(parents=True, exist_ok=True)
    store.at("acq/taken").write_bytes(b"altered")
    store.service.restart()
    results = store.brought(*wanted(*names, "acq/wrong", "acq/absent", "acq/new\nline"), method=method)
    for name in names[:-1]:
        assert (results[name].verdict, results[name].method) == (Verdict.PULLED, method)
        assert store.at(name).read_bytes() == CONTENT
    assert results["acq/taken"].verdict is Verdict.OCCUPIED
    assert [results[name].blame for name in ("acq/wrong", "acq/absent")] == [Blame.SOURCE] * 2
    assert code_of(results["acq/new\nline"].error) is Code.NAME_NOT_FOR_RCLONE
    assert not store.at("acq/wrong").exists() and store.at("acq/taken").read_bytes() == b"altered"
    assert store.staged() == []


def test_a_corrupt_copy_that_was_good_is_replaced(store: Staged) -> None:
    put(store.far, "acq/file", CONTENT)
    assert store.brought(*wanted("acq/file"))["acq/file"].verdict is Verdict.PULLED
    store.at("acq/file").write_bytes(b"altered")
    store.service.restart()
    assert store.brought(*wanted("acq/file", replace=True))["acq/file"].verdict is Verdict.PULLED
    assert store.at("acq/file").read_bytes() == CONTENT


def test_objects_are_copied_from_one_node_to_another(store: Staged, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    cloud = Store(other, store.service)
    cloud.stored("acq/file", "acq/wrong", "acq/gone")
    cloud.at("acq/wrong").write_bytes(CONTENT.upper())
    cloud.at("acq/gone").unlink()
    cloud.service.restart()
    for source in (cloud.fact, cloud.fact._replace(host="there", root="/nonexistent")):
        results = store.brought(
            *wanted("acq/file", "acq/wrong", "acq/gone"), source=source, method=Method.OBJECTS
        )
        assert results["acq/file"].verdict in (Verdict.PULLED, Verdict.OCCUPIED)
        assert [results[name].blame for name in ("acq/wrong", "acq/gone")] == [Blame.SOURCE] * 2
        assert store.at("acq/file").read_bytes() == CONTENT and not store.at("acq/wrong").exists()
        assert store.staged() == []


def test_a_storage_that_is_not_mounted_on_the_other_host_is_not_to_blame(store: Staged) -> None:
    (store.far / MARKER).unlink()
    (result,) = store.brought(*wanted("acq/file")).values()
    assert (result.blame, result.unmounted) == (Blame.NETWORK, True)


def test_a_big_file_that_could_not_be_stored_stays_in_the_stage(store: Staged) -> None:
    put(store.far, "acq/big", BIG)

    def interrupt() -> None:
        wait_for(lambda: [*store.at(".alpenhorn/incoming").rglob("big*")], "a part on the service")
        store.service.stop()

    breaking = threading.Thread(target=interrupt)
    breaking.start()
    (result,) = store.brought(BIG_FILE, method=Method.RSYNC_SSH, stage=PART, rate=2_000_000).values()
    breaking.join()
    assert result.verdict is Verdict.FAILED and not store.at("acq/big").exists()
    assert store.staged() == [f"{PART}/acq/big"]
    before = (store.root / ".alpenhorn" / PART / "acq/big").stat().st_ino
    store.service.start()
    assert not store.probed().error  # it tidies, and leaves the part
    assert (store.root / ".alpenhorn" / PART / "acq/big").stat().st_ino == before
    (result,) = store.brought(BIG_FILE, method=Method.RSYNC_SSH, stage=PART).values()
    assert result.verdict is Verdict.PULLED and store.at("acq/big").read_bytes() == BIG
    assert store.staged() == []


def test_what_a_killed_worker_has_left_is_neither_stored_nor_kept(store: Staged) -> None:
    put(store.far, "acq/big", BIG)
    stage = store.root / ".alpenhorn" / PART
    put(stage / OUT, "acq/big", b"an altered file of a killed worker")
    put(stage, "acq/big", BIG[: 2**20] + b"altered")
    put(store.root / ".alpenhorn/room", f"{STAGE}.b", b"")
    put(store.root / ".alpenhorn" / STAGE, "acq/other", CONTENT)
    assert not store.probed().error
    assert {path.split("/")[0] for path in store.staged()} == {PART}
    (store.far / "acq/big").rename(store.far / "away")
    (result,) = store.brought(BIG_FILE, method=Method.RSYNC_SSH, stage=PART).values()
    assert result.blame is Blame.SOURCE and store.staged() == [f"{PART}/acq/big"]
    (store.far / "away").rename(store.far / "acq/big")
    (result,) = store.brought(BIG_FILE, method=Method.RSYNC_SSH, stage=PART).values()
    assert result.verdict is Verdict.PULLED and store.at("acq/big").read_bytes() == BIG
    assert store.staged() == []


@pytest.fixture
def small(store: Staged) -> Iterator[Staged]:
    """Return the archive with the root of `store` on a file system of 4 MiB."""
    if os.geteuid():
        pytest.fail("this test mounts a small tmpfs: run it as root, as CI does")
    marker = (store.root / MARKER).read_bytes()
    shutil.rmtree(store.root)
    store.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(store.root)], check=True)
    try:
        (store.root / MARKER).write_bytes(marker)
        yield store
    finally:
        subprocess.run(["umount", str(store.root)], check=True)


def test_files_that_do_not_fit_together_come_one_after_the_other(small: Staged) -> None:
    files = [BIG_FILE._replace(request_id=number, file_id=number, path=f"acq/{number}") for number in (1, 2)]
    large = PullFile(3, 3, "acq/large", 5 * 2**20, MD5)
    for file in files:
        put(small.far, file.path, BIG)
    results = small.brought(files[0], large, files[1], method=Method.RSYNC_SSH)
    assert [results[file.path].verdict for file in files] == [Verdict.PULLED] * 2
    assert code_of(results["acq/large"].error) is Code.STAGE_TOO_SMALL
    assert results["acq/large"].blame is Blame.UNKNOWN and str(small.root) in results["acq/large"].error
    assert small.staged() == []


def test_a_disk_that_others_fill_meanwhile_fails_the_rest(small: Staged) -> None:
    """Nothing is recorded of it, and it is no fault of the source."""
    put(small.far, "acq/big", BIG)

    def fill() -> None:
        wait_for(lambda: [*(small.root / ".alpenhorn" / PART).rglob("big*")], "a part")
        with (small.root / "filler").open("wb") as filler:
            filler.truncate(0)
            os.posix_fallocate(filler.fileno(), 0, _free(small.root))

    filling = threading.Thread(target=fill)
    filling.start()
    (result,) = small.brought(BIG_FILE, method=Method.RSYNC_SSH, stage=PART, rate=1_500_000).values()
    filling.join()
    assert (result.verdict, result.blame) == (Verdict.FAILED, Blame.DESTINATION)
    assert code_of(result.error) is Code.STAGE_FULL and str(small.root) in result.error
    assert small.staged() == [] and not small.at("acq/big").exists()


def _free(at: Path) -> int:
    status = os.statvfs(at)
    return status.f_bavail * status.f_frsize
