"""`alpenhorn file state --set` on the host of the node, with real files."""

from __future__ import annotations

import shlex

import pytest

from tests.fixtures.archive import Archive, Result

pytestmark = pytest.mark.one_engine


def set_to(archive: Archive, state: str, *more: str) -> Result:
    return archive.run("file", "state", "acq/a file", "disk", "--set", state, *more)


def test_a_file_that_is_on_the_disk_is_not_recorded_as_gone(archive: Archive) -> None:
    archive.node("disk", archive=1)
    file_id = archive.file("acq/a file", b"bytes", "disk")
    at = archive.root("disk") / "acq/a file"
    for state in ("Absent", "Missing", "absent"):
        result = set_to(archive, state)
        assert result.status == 1 and "the file is on the disk; nothing was changed" in result.err
        assert archive.copy(file_id, "disk") == "YY"
    # Both commands that it names can be typed.
    for words in ("file clean 'acq/a file' --node disk --now --archive-ok", "file verify 'acq/a file' disk"):
        assert f": alpenhorn {words}; " in result.err
        assert archive.run(*shlex.split(words)).status == 0
        archive.set_copy(file_id, "disk", "YY")
    for instead in (lambda: at.symlink_to("nowhere"), at.mkdir):
        at.unlink()
        instead()
        assert set_to(archive, "Absent").status == 1, "something else is there"
        at.unlink() if at.is_symlink() else at.rmdir()
        at.touch()
    assert set_to(archive, "Absent", "--force").status == 0
    assert archive.copy(file_id, "disk") == "NN" and at.exists()
    # Other states are a matter of what is in the file, which only a run reads.
    assert set_to(archive, "Healthy") == (0, "State changed.\n", "")
    at.unlink()
    assert set_to(archive, "Missing") == (0, "State changed.\n", "")
    assert set_to(archive, "Absent") == (0, "State changed.\n", "")
    assert archive.run("file", "state", "acq/a file", "disk", "--force").status == 2


@pytest.mark.parametrize("why", ["not mounted", "no root", "of another node", "on another host"])
def test_a_disk_that_cannot_be_looked_at_is_not_waited_for_but_it_is_said(archive: Archive, why: str) -> None:
    archive.node("disk")
    file_id = archive.file("acq/a file", b"bytes", "disk")
    marker = archive.root("disk") / "ALPENHORN_NODE"
    if why == "not mounted":
        marker.unlink()
    elif why == "no root":
        archive.do("UPDATE storagenode SET root = ''")
    elif why == "of another node":
        marker.write_text("other\n")
    else:
        archive.do("UPDATE storagenode SET host_id = ?", archive.host("there"))
    result = set_to(archive, "Absent")
    assert result.status == 0 and "the disk was not looked at" in result.err and result.err.count("\n") == 1
    assert archive.copy(file_id, "disk") == "NN"
