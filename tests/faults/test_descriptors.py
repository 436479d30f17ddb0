"""Situation 28: a low limit of open files."""

import errno
import os

import pytest

from alpenhorn.fs import descriptors
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code, code_of
from alpenhorn.transfer.blame import destination_failed, source_failed

MAIN = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
runpy.run_module("alpenhorn", run_name="__main__", alter_sys=True)
"""


def limited(archive, soft, hard):
    archive.program = ("-c", MAIN.format(soft=soft, hard=hard))


@pytest.mark.parametrize("archived", [0, 1], ids=["linked", "copied"])
def test_situation_28_all_work_is_done_with_64_open_files(sqlite_archive, archived):
    archive = sqlite_archive
    archive.configure(sync={"jobs": 50})
    archive.node("source", archive=archived)
    archive.node("disk")
    deep = "/".join("abcdefghijklmnopqrst")
    ids = [archive.file(f"acq/{number}/{deep}/f", b"content", "source") for number in range(60)]
    requests = archive.requests(ids, "source", "disk")
    limited(archive, 64, 64)
    result = archive.sync()
    assert result.status == 0 and result.silent, result
    assert "of 50 workers: too many open files" in (archive.base / "here.log").read_text()
    assert {archive.state(id_) for id_ in requests} == {"done"}
    assert archive.violations() == [] and not archive.all("SELECT * FROM sync_attempt")
    names = {(archive.root("disk") / f"acq/{number}/{deep}/f").stat().st_nlink for number in range(60)}
    assert names == {1 if archived else 2}
    # Whatever else looks at the nodes does so too.
    assert "Too many open files" not in archive.run("doctor").out


def test_situation_28_a_soft_limit_is_raised(sqlite_archive):
    archive = sqlite_archive
    archive.configure(sync={"jobs": 20})
    archive.node("source", archive=1)
    archive.node("disk")
    archive.requests([archive.file("acq/f", b"content", "source")], "source", "disk")
    limited(archive, 64, 2000)
    archive.synced()
    assert archive.violations() == [] and archive.pending() == 0


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_situation_28_no_node_is_blamed(number):
    error = OSError(number, os.strerror(number))
    for failed in (source_failed(error), destination_failed(error)):
        assert failed.blame is Blame.UNKNOWN and code_of(failed.error) is Code.TOO_MANY_OPEN_FILES


def test_the_share_of_a_low_limit_leaves_room_for_others():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for limit, expected in ((64, 16), (1024, 200), (20, 1)):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            assert descriptors.share(200) == expected
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
