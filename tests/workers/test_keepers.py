"""The check of the other copies on this host just before one is removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from alpenhorn.config import Transfer
from alpenhorn.extensions.registry import node_io
from alpenhorn.model.deletions import DeleteFile, DeleteJob, DeleteOutcome, DeleteResult
from alpenhorn.model.nodes import MARKER, NodeFact
from alpenhorn.model.tasks import Verdict
from alpenhorn.workers.delete import delete
from tests.io.nodes import Report, put
from tests.plan.facts import node as node_fact

PATH = "acq/dir/f"
FIRST, SECOND, FOREIGN = 11, 12, 99


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Node `disk` with the copy to be deleted, and nodes `v1` and `v2` that keep theirs."""
    for name in ("disk", "v1", "v2"):
        put(tmp_path, f"{name}/{PATH}")
        (tmp_path / name / MARKER).write_text(f"{name}\n")
    return tmp_path


def fact(base: Path, name: str, node_id: int, **columns: object) -> NodeFact:
    return node_fact(node_id, name=name, root=str(base / name), **columns)


def outcome(
    base: Path,
    *files: DeleteFile,
    report: Report | None = None,
    expires: float | None = None,
    keepers: tuple[NodeFact, ...] | None = None,
) -> DeleteOutcome:
    disk = fact(base, "disk", 10)
    if keepers is None:
        keepers = (fact(base, "v1", FIRST), fact(base, "v2", SECOND))
    return delete(DeleteJob(disk, files, keepers, expires), node_io(disk), report or Report(), Transfer())


def file(
    path: str = PATH,
    keepers: tuple[int, ...] = (FIRST, SECOND),
    spare: int = 0,
    size_b: int | None = 7,
    length: int | None = None,
) -> DeleteFile:
    return DeleteFile(1, 2, path, size_b, "Y", keepers=keepers, spare=spare, length=length)


def result(base: Path, of: DeleteFile, keepers: tuple[NodeFact, ...] | None = None) -> DeleteResult:
    found = outcome(base, of, keepers=keepers)
    assert found.error == "" and not found.expired
    (one,) = found.results
    assert (base / "disk" / of.path).exists() is (one.verdict is not Verdict.DELETED)
    return one


def test_a_copy_is_deleted_if_its_keepers_are_as_recorded(base: Path) -> None:
    found = result(base, file())
    assert found.verdict is Verdict.DELETED and found.wrong == () and found.error == ""


def gone(at: Path) -> None:
    at.unlink()


def directory_gone(at: Path) -> None:
    shutil.rmtree(at.parent)


def directory_is_a_file(at: Path) -> None:
    shutil.rmtree(at.parent)
    at.parent.write_bytes(b"content")


def link(at: Path) -> None:
    """A symbolic link to the right bytes."""
    at.rename(at.with_name("aside"))
    at.symlink_to("aside")


def linked_directory(at: Path) -> None:
    """A linked directory, as after moving data to another disk or to another node's root."""
    elsewhere = at.parents[3] / "elsewhere"
    at.parent.rename(elsewhere)
    at.parent.symlink_to(elsewhere)


def directory(at: Path) -> None:
    at.unlink()
    at.mkdir()


def fifo(at: Path) -> None:
    at.unlink()
    os.mkfifo(at)


def empty(at: Path) -> None:
    at.write_bytes(b"")


def longer(at: Path) -> None:
    at.write_bytes(b"content!")


WRONG = (gone, directory_gone, directory_is_a_file, link, linked_directory, directory, fifo, empty, longer)


@pytest.mark.parametrize("spoil", WRONG)
def test_a_copy_stays_when_a_keeper_is_wrong(base: Path, spoil: Callable[[Path], None]) -> None:
    spoil(base / "v2" / PATH)
    found = result(base, file())
    assert found.verdict is Verdict.KEPT and found.file.has_file == "Y"
    assert "v2: " in found.error and "v1" not in found.error
    ((node_id, why),) = found.wrong
    assert node_id == SECOND and why in found.error


@pytest.mark.parametrize("spoil", WRONG)
def test_a_wrong_keeper_that_is_not_needed_is_also_reported(
    base: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(base / "v2" / PATH)
    found = result(base, file(spare=1))
    assert found.verdict is Verdict.DELETED and [node_id for node_id, _ in found.wrong] == [SECOND]


def test_no_more_keepers_fail_than_can_be_spared(base: Path) -> None:
    gone(base / "v1" / PATH)
    empty(base / "v2" / PATH)
    found = result(base, file(spare=1))
    assert found.verdict is Verdict.KEPT
    assert [node_id for node_id, _ in found.wrong] == [FIRST, SECOND]
    assert "v1: its copy is missing" in found.error
    assert "v2: its length is 0 bytes, the index says 7" in found.error


def test_the_length_of_a_keeper_is_the_files_where_the_copy_itself_may_have_any(base: Path) -> None:
    (base / "disk" / PATH).write_bytes(b"spoilt, and known to be")
    empty(base / "v1" / PATH)
    assert result(base, file(size_b=None, length=7)).verdict is Verdict.KEPT
    (base / "v1" / PATH).write_bytes(b"content")
    assert result(base, file(size_b=None, length=7)).verdict is Verdict.DELETED


def test_two_keepers_with_one_file_count_once(base: Path) -> None:
    gone(base / "v2" / PATH)
    os.link(base / "v1" / PATH, base / "v2" / PATH)
    found = result(base, file())
    assert found.verdict is Verdict.KEPT and "v2: copy is a hard link to that on v1" in found.error
    # Each of them has the right bytes: nothing is to be read because of that.
    assert found.wrong == ()
    assert result(base, file(spare=1)).verdict is Verdict.DELETED


def test_a_keeper_named_twice_counts_once(base: Path) -> None:
    assert result(base, file(keepers=(FIRST, FIRST))).verdict is Verdict.KEPT


def test_another_name_of_the_file_itself_counts_since_its_bytes_stay(base: Path) -> None:
    gone(base / "v1" / PATH)
    os.link(base / "disk" / PATH, base / "v1" / PATH)
    assert result(base, file()).verdict is Verdict.DELETED
    assert (base / "v1" / PATH).read_bytes() == b"content"


def tape(base: Path, name: str, node_id: int, before: str = "") -> NodeFact:
    """A LustreHSM node, which needs no marker; its lfs runs `before` and reports a mounted file system."""
    lfs = base / f"lfs-{name}"
    lfs.write_text(f'#!/bin/bash\n{before}\nfor path; do :; done\necho "$path 1 0 100 - 1 0 0 -"\n')
    lfs.chmod(0o755)
    config = f'{{"quota_id": "x", "quota_type": "user", "headroom": 1, "lfs": "{lfs}"}}'
    return fact(base, name, node_id, io_class="LustreHSM", io_config=config)


@pytest.mark.parametrize("more_names", [False, True])
def test_the_same_name_by_another_way_does_not_count(base: Path, more_names: bool) -> None:
    """Nodes without a marker can share a root, and a root can be a symbolic link to another one."""
    if more_names:
        os.link(base / "disk" / PATH, base / "disk" / "another")
    shutil.rmtree(base / "v1")
    (base / "v1").symlink_to(base / "disk")
    (base / "disk" / MARKER).unlink()
    disk, keepers = tape(base, "disk", 10), (tape(base, "v1", FIRST), fact(base, "v2", SECOND))
    (found,) = delete(DeleteJob(disk, (file(),), keepers), node_io(disk), Report(), Transfer()).results
    assert found.verdict is Verdict.KEPT and (base / "disk" / PATH).exists()
    assert "v1: copy is the same file as the one to delete" in found.error and found.wrong == ()


def unmounted(base: Path) -> None:
    shutil.rmtree(base / "v2")
    (base / "v2").mkdir()


def not_there(base: Path) -> None:
    shutil.rmtree(base / "v2")


def of_another_node(base: Path) -> None:
    (base / "v2" / MARKER).write_text("another\n")


@pytest.mark.parametrize("go", [unmounted, not_there, of_another_node])
def test_a_keeper_whose_node_is_not_there_fails_and_is_not_called_wrong(
    base: Path, go: Callable[[Path], None]
) -> None:
    put(base, "disk/acq/g")
    put(base, "v1/acq/g")
    go(base)
    found = outcome(base, file(), file("acq/g"))
    assert [one.verdict for one in found.results] == [Verdict.KEPT] * 2
    assert all(one.wrong == () and "v2: " in one.error for one in found.results)
    assert result(base, file(spare=1)).verdict is Verdict.DELETED


class AfterFirst(Report):
    """Calls a function once the first file is done."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act

    def begin(self, path: str) -> None:
        pass

    def fail(self) -> None:
        pass

    def progress(self, files: int, bytes: int) -> None:
        super().progress(files, bytes)
        if self.files == 1:
            self.act()


def test_a_keepers_node_that_goes_away_meanwhile_is_not_called_wrong(base: Path) -> None:
    for name in ("disk", "v1", "v2"):
        put(base, f"{name}/acq/a")

    def lose() -> None:
        # What a disk looks like that gives nothing but errors.
        (base / "v2" / MARKER).unlink()
        (base / "v2" / PATH).unlink()

    found = outcome(base, file("acq/a"), file(), report=AfterFirst(lose))
    assert [one.verdict for one in found.results] == [Verdict.DELETED, Verdict.KEPT]
    assert found.results[1].wrong == () and "v2: " in found.results[1].error


def test_keepers_are_looked_at_on_the_disk_whose_marker_was_read(base: Path) -> None:
    """Another object at the path of the root afterwards proves nothing."""
    for name in ("disk", "v1", "v2"):
        put(base, f"{name}/acq/a")

    def swap() -> None:
        (base / "v2").rename(base / "away")
        put(base, f"v2/{PATH}", b"of another")

    found = outcome(base, file("acq/a"), file(), report=AfterFirst(swap))
    assert [one.verdict for one in found.results] == [Verdict.DELETED] * 2


def test_a_keeper_on_a_node_of_which_nothing_is_known_fails(base: Path) -> None:
    found = result(base, file(keepers=(FIRST, SECOND, FOREIGN)))
    assert found.verdict is Verdict.KEPT and found.wrong == () and str(FOREIGN) in found.error


def test_a_keeper_whose_settings_are_wrong_fails(base: Path) -> None:
    spoilt = fact(base, "v2", SECOND, io_config='{"jobs": -1}')
    found = result(base, file(), keepers=(fact(base, "v1", FIRST), spoilt))
    assert found.verdict is Verdict.KEPT and found.wrong == () and "jobs" in found.error


def test_a_missing_copy_or_another_file_needs_no_keepers(base: Path) -> None:
    shutil.rmtree(base / "v1")
    shutil.rmtree(base / "v2")
    (base / "disk" / PATH).write_bytes(b"another")
    assert result(base, file(size_b=9)).verdict is Verdict.CORRUPT
    found = outcome(base, file("acq/none"))
    assert [one.verdict for one in found.results] == [Verdict.MISSING]


def test_each_file_is_decided_for_itself(base: Path) -> None:
    for name in ("disk", "v1", "v2"):
        put(base, f"{name}/acq/a")
        put(base, f"{name}/acq/b")
    gone(base / "v1" / "acq" / "a")
    found = outcome(base, file("acq/a"), file("acq/b"))
    assert [one.verdict for one in found.results] == [Verdict.KEPT, Verdict.DELETED]


# --- the age of the claim ------------------------------------------------------------------------------


def boottime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def test_nothing_is_removed_on_a_claim_that_is_too_old(base: Path) -> None:
    found = outcome(base, file(), expires=boottime() - 1)
    assert found == DeleteOutcome((), "", True)
    assert (base / "disk" / PATH).exists()


def test_a_claim_that_is_young_enough_is_acted_on(base: Path) -> None:
    found = outcome(base, file(), expires=boottime() + 600)
    assert [one.verdict for one in found.results] == [Verdict.DELETED] and not found.expired


def test_removals_before_the_claim_became_too_old_are_reported(base: Path) -> None:
    for name in ("disk", "v1", "v2"):
        put(base, f"{name}/acq/a")
    expires = boottime() + 1

    def wait() -> None:
        while boottime() <= expires:
            os.sched_yield()

    found = outcome(base, file("acq/a"), file(), report=AfterFirst(wait), expires=expires)
    assert [one.file.path for one in found.results] == ["acq/a"] and found.expired
    assert (base / "disk" / PATH).exists()


def test_the_age_of_a_claim_is_checked_after_slow_keepers(base: Path) -> None:
    slow = tape(base, "v2", SECOND, "sleep 1.2")
    found = outcome(base, file(), keepers=(fact(base, "v1", FIRST), slow), expires=boottime() + 1)
    assert found == DeleteOutcome((), "", True)
    assert (base / "disk" / PATH).exists()


def test_a_file_that_is_replaced_while_keepers_are_looked_at_stays(base: Path) -> None:
    at = base / "disk" / PATH
    slow = tape(base, "v2", SECOND, f"echo another > {at}.new; mv {at}.new {at}")
    found = outcome(base, file(size_b=None, length=7), keepers=(fact(base, "v1", FIRST), slow))
    assert [one.verdict for one in found.results] == [Verdict.CORRUPT]
    assert at.read_bytes() == b"another\n"


def test_a_keeper_that_is_released_to_tape_counts(base: Path) -> None:
    """It has the length of the file but no bytes, and is not read."""
    (base / "v2" / PATH).write_bytes(b"")
    os.truncate(base / "v2" / PATH, 7)
    (base / "v2" / PATH).chmod(0)
    found = result(base, file(), keepers=(fact(base, "v1", FIRST), tape(base, "v2", SECOND)))
    assert found.verdict is Verdict.DELETED
