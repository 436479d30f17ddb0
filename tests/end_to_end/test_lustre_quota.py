"""Runs on a node whose free space is limited by a quota; `lfs` is a substitute."""

import json

import pytest

from tests.fixtures.archive import stand_in

PLENTY = 10**9  # KiB


@pytest.fixture
def quota(sqlite_archive):
    """An archive with a node on `lustre`, and a function that sets the columns that lfs reports."""
    archive = sqlite_archive
    archive.node("field")
    said, asked = archive.base / "columns", archive.base / "asked"
    lfs = stand_in(archive.base / "bin", "lfs", f'echo "$*" >> {asked}; echo " ${{@: -1}}"; cat {said}')
    settings = {"quota_id": "science", "quota_type": "group", "lfs": str(lfs)}
    archive.node("lustre", archive=1, io_class="LustreQuota", io_config=json.dumps(settings))
    archive.asked = asked

    def says(text):
        said.write_text(text)

    says(f"  1000 0 {PLENTY} - 12 0 0 -\n")
    return archive, says


def test_files_are_pulled_and_lfs_is_called_once_per_look_not_per_file(quota):
    archive, _ = quota
    archive.requests(archive.files(300, "field", 100), "field", "lustre")
    archive.synced()
    assert archive.pending() == 0
    asked = archive.asked.read_text().splitlines()
    assert set(asked) == {f"quota -q -g science {archive.root('lustre')}"}
    assert len(asked) < 10
    (avail,) = archive.all("SELECT avail_gb FROM storagenode WHERE name = 'lustre'")[0]
    assert 0 < avail <= PLENTY / 2**20


def test_file_larger_than_the_rest_of_the_quota_is_not_pulled_and_reported(quota):
    archive, says = quota
    says("  999 0 1000 - 12 0 0 -\n")
    request = archive.request(archive.file("acq/f", bytes(2000), "field"), "field", "lustre")
    result = archive.sync()
    assert result.status == 0 and "no room on lustre" in result.err
    assert archive.state(request) == "pending"


def test_while_the_quota_is_unknown_nothing_is_pulled_and_the_rest_is_done(quota):
    archive, says = quota
    says("rubbish\n")
    request = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "lustre")
    doubtful = archive.file("acq/doubtful", b"doubtful", "lustre")
    archive.set_copy(doubtful, "lustre", "MY")
    result = archive.sync()
    assert result.status == 0
    assert "the quota of node lustre cannot be read" in result.err and "unexpected output" in result.err
    assert archive.state(request) == "pending"
    assert archive.copy(doubtful, "lustre") == "YY"
    assert "the quota of node lustre cannot be read" in archive.run("plan").err + archive.run("plan").out


FAILURES = {
    "not installed": ("", {"lfs": "no-such-lfs"}, "no-such-lfs is not on PATH"),
    "hangs": ("exec sleep 1000", {"lfs_timeout": 0.5}, "did not end within 0.5 s"),
    "fails": ("echo 'quotactl failed: no such group' >&2; exit 3", {}, "no such group"),
    "no file system": ("echo 'Permission denied' >&2; exit 1", {}, "Permission denied"),
    "another path": ("echo '/elsewhere 1 0 5000 - 1 0 0 -'", {}, "unexpected output"),
    "cut short": ('echo "${@: -1} 1 0"', {}, "unexpected output"),
    "no bytes": ("", {}, "unexpected output"),
    "bytes": ("head -c 100000 /dev/urandom", {}, "cannot be read"),
    "talks on": ("while sleep 0.01; do echo more; done", {"lfs_timeout": 0.5}, "did not end within 0.5 s"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_lfs_does_a_run_reports_it_and_does_the_rest(quota, failure):
    archive, _ = quota
    script, changes, said = FAILURES[failure]
    lfs = stand_in(archive.base / "bin", "broken-lfs", script)
    settings = {"quota_id": "science", "quota_type": "group", "lfs": str(lfs), **changes}
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = 'lustre'", json.dumps(settings))
    archive.node("plain", archive=1)
    file_id = archive.file("acq/f", b"bytes", "field")
    onto, beside = (archive.request(file_id, "field", node) for node in ("lustre", "plain"))
    run = archive.start("sync")
    result = run.result(30)
    assert result.status == 0 and "the quota of node lustre cannot be read" in result.err, result
    assert said in result.err
    assert (archive.state(onto), archive.state(beside)) == ("pending", "done")
    run.wait_until_nothing_is_left()


def test_the_older_setting_works_and_is_reported(quota):
    archive, _ = quota
    lfs = str(archive.base / "bin" / "lfs")
    archive.do(
        "UPDATE storagenode SET io_config = ? WHERE name = 'lustre'",
        json.dumps({"quota_group": "science", "lfs": lfs}),
    )
    request = archive.request(archive.file("acq/f", b"bytes", "field"), "field", "lustre")
    result = archive.sync()
    assert result.status == 0 and "quota_group is outdated" in result.err
    assert archive.state(request) == "done"
