"""Findings of doctor about roots, locks and links that other users could use against a node."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpenhorn.doctor.dangers import dangers
from alpenhorn.fs.own import PRIVATE
from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.fs.tree_lock import LOCK_NAME, probe_locks
from tests.fixtures.archive import Archive


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root in the state in which runs leave it."""
    tmp_path.chmod(0o755)
    probe_locks(tmp_path)
    with RunLock(tmp_path / RUN_LOCK):
        pass
    assert dangers(str(tmp_path)) == ()
    return tmp_path


@pytest.mark.parametrize(("mode", "sticky"), [(0o777, False), (0o1777, True)])
def test_a_world_writable_root_is_reported(root: Path, mode: int, sticky: bool) -> None:
    root.chmod(mode)
    (found,) = dangers(str(root))
    assert found.text.startswith(f"every user of this host can create files in {root}")
    assert ("sticky" in found.text) is sticky
    assert found.remedy.startswith(f"chmod o-w {root}") and not found.refused


@pytest.mark.parametrize("name", [LOCK_NAME, RUN_LOCK])
def test_situation_22_a_lock_that_another_user_can_hold_is_reported_and_corrected(
    root: Path, name: str
) -> None:
    for root_mode, mode, right in ((0o755, 0o644, "600"), (0o775, 0o664, "660")):
        root.chmod(root_mode)
        (root / name).chmod(mode)
        (found,) = dangers(str(root))
        assert f"other users can open {root}/{name}" in found.text and not found.refused
        assert found.remedy.endswith(f"chmod {right} {root}/{name}")
        probe_locks(root)
        with RunLock(root / RUN_LOCK):
            pass
        assert dangers(str(root)) == ()


@pytest.mark.parametrize("name", [LOCK_NAME, RUN_LOCK, PRIVATE])
def test_situation_23_a_link_and_another_users_file_are_reported(root: Path, name: str) -> None:
    before = os.stat(root / name)
    os.chown(root / name, 54321, 54321)
    (found,) = dangers(str(root))
    assert f"{root}/{name} belongs to user 54321" in found.text and found.refused and "chown" in found.remedy
    os.chown(root / name, before.st_uid, before.st_gid)
    (root / name).rename(root / "aside")
    (root / name).symlink_to(root / "aside")
    (found,) = dangers(str(root))
    assert (
        f"{root}/{name} is a symbolic link" in found.text and found.refused and "move it away" in found.remedy
    )


def test_doctor_reports_each_with_its_remedy(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    for name in ("open", "linked"):
        archive.node(name)
    archive.synced()
    archive.root("open").chmod(0o777)
    lock = archive.root("linked") / LOCK_NAME
    probe_locks(archive.root("linked"))
    (archive.root("linked") / "second").hardlink_to(lock)
    before = lock.stat()
    result = archive.run("doctor")
    assert result.status == 1
    told = result.out.splitlines()
    (place,) = (number for number, line in enumerate(told) if line.startswith("warn  node open: every user"))
    assert told[place + 1].strip().startswith(f"chmod o-w {archive.root('open')}")
    assert any(line.startswith("pass  node open: ") for line in told)
    (place,) = (number for number, line in enumerate(told) if line.startswith("fail  node linked: "))
    assert f"{lock} has 2 names (hard links)" in told[place]
    assert f"rm {lock}" in told[place + 1]
    assert lock.stat() == before
