"""Corrupt copies are found, and replaced from a good copy."""

import random

import pytest

pytestmark = pytest.mark.one_engine

GOOD = random.Random(1).randbytes(5 * 2**20)
ROTTEN = GOOD[: 2**20] + b"rotten" + GOOD[2**20 + 6 :]


@pytest.fixture
def local(archive):
    """Node `near` with good copies, node `safe` with a changed one; all on this host."""
    return rotted(archive, "here")


@pytest.fixture(params=["here", "there"])
def either(request, archive, sshd):
    """The same, and with the good copies on another host."""
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.configure(transfer={"ssh": sshd.ssh})
    archive.source_host = request.param
    return rotted(archive, request.param)


def rotted(archive, source_host):
    archive.node("near", host=source_host)
    archive.node("safe", archive=1)
    archive.others = [archive.file(f"acq/dir/{i}", None, "near", "safe") for i in range(10)]
    archive.bad = archive.file("acq/dir/bad", GOOD, "near", "safe")
    archive.put("safe", "acq/dir/bad", ROTTEN)
    return archive


def found(archive):
    """Run the check that finds the corrupt copy."""
    assert archive.run("file", "verify", "acq/dir/bad", "safe").status == 0
    result = archive.sync("--only", "check")
    assert result.status == 1 and "corrupt on safe" in result.err, result
    assert archive.copy(archive.bad, "safe") == "XY"


def watched_sync(archive):
    """Run `sync` while the place of the corrupt file is watched."""
    place = archive.root("safe") / "acq/dir/bad"
    seen = []
    run = archive.start("sync")
    while run.process.poll() is None:
        content = place.read_bytes()
        if not seen or seen[-1] != content:
            seen.append(content)
    result = run.result()
    assert result.status == 0 and result.silent, result
    return seen


def test_a_corrupt_copy_is_repaired_and_stays_in_place_until_the_new_one_is_complete(either):
    archive = either
    before = archive.tree("near")
    found(archive)
    result = archive.run("repair", "--force")
    assert result.status == 0 and "Requested 1 file." in result.out, result
    place = archive.root("safe") / "acq/dir/bad"
    with place.open("rb") as old:
        assert watched_sync(archive) in ([ROTTEN, GOOD], [ROTTEN])
        # It was put aside by the rename of another file over it, and never written into.
        assert old.read() == ROTTEN
    assert archive.tree("safe") == archive.tree("near") == before
    assert archive.copy(archive.bad, "safe") == "YY" and archive.pending() == 0
    assert archive.violations() == [] and archive.stray("safe") == []
    assert "No corrupt or missing copies" in archive.run("repair").out


def test_a_corrupt_copy_stays_if_the_source_is_corrupt_too(either):
    archive = either
    archive.put("near", "acq/dir/bad", GOOD[:-1] + b"!")
    found(archive)
    assert archive.run("repair", "--force").status == 0
    assert archive.sync().status == 1
    archive.sync(host=archive.source_host)
    assert archive.copy(archive.bad, "near") == "XY"
    assert archive.copy(archive.bad, "safe") == "XY"
    assert (archive.root("safe") / "acq/dir/bad").read_bytes() == ROTTEN
    archive.forget_attempts()
    archive.sync()
    assert archive.pending() == 0
    result = archive.run("repair", "--force")
    assert result.status == 1 and "no other node has a good copy" in result.out
    assert archive.stray("safe") == []


def test_missing_copies_are_restored(local):
    ids = local.others
    for number in range(len(ids)):
        (local.root("safe") / f"acq/dir/{number}").unlink()
        local.set_copy(ids[number], "safe", "NY")
    result = local.run("repair", "--node", "safe", "--force")
    assert result.status == 0 and "Requested 10 files." in result.out
    local.synced()
    assert {local.copy(file_id, "safe") for file_id in ids} == {"YY"}
    assert set(local.tree("safe")) == set(local.tree("near"))


def test_a_source_that_is_about_to_be_deleted_is_kept_until_it_has_served(local):
    found(local)
    local.set_copy(local.bad, "near", "YN")
    assert local.run("repair", "--force").status == 0
    local.synced("--only", "pull")
    assert local.copy(local.bad, "safe") == "YY"
    assert (local.root("safe") / "acq/dir/bad").read_bytes() == GOOD


def test_a_bad_copy_is_not_repaired_if_its_group_has_a_good_one(archive):
    archive.node("safe", group="both", archive=1)
    archive.node("idle", group="both", host="there", archive=1)
    archive.node("near")
    bad = archive.file("acq/f", b"bytes", "near", "safe", "idle")
    archive.set_copy(bad, "safe", "NY")
    (archive.root("safe") / "acq" / "f").unlink()
    result = archive.run("repair", "--force")
    assert result.status == 1 and "its group has a good copy on idle" in result.out
    assert archive.pending() == 0
    assert archive.run("file", "state", "acq/f", "safe", "--set", "Absent").status == 0
    assert "No corrupt or missing copies" in archive.run("repair").out
