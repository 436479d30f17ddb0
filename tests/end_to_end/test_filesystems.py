"""Import, pull, check and delete files on each file system that can be mounted here."""

import os
from contextlib import ExitStack

import pytest

from alpenhorn.model.nodes import MANIFEST
from tests.end_to_end.test_rebuild import lose, rebuild
from tests.fixtures.filesystems import ALL, mounted
from tests.fixtures.uml import run_inside

GOOD = "SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file = 'Y'"


KINDS = [kind for kind in ALL if kind != "ext4"]  # which all other tests are run on


@pytest.fixture
def disks(sqlite_archive, tmp_path):
    """An archive with a node on each file system, not initialised, and `home` beside them."""
    sqlite_archive.node("home", archive=1)
    with ExitStack() as stack:
        for kind in KINDS:
            stack.enter_context(mounted(kind, tmp_path, tmp_path / kind))
            sqlite_archive.node(kind, archive=1, made=False)
        yield sqlite_archive


def copies(archive, file_id):
    return {kind: archive.copy(file_id, kind) for kind in KINDS}


def everywhere(state):
    return dict.fromkeys(KINDS, state)


def pull(archive, ids):
    for kind in KINDS:
        archive.requests(ids, "home", kind)
    archive.synced()
    for id_ in ids:
        assert copies(archive, id_) == everywhere("YY")
    assert archive.violations() == []
    assert {kind: archive.stray(kind) for kind in KINDS} == everywhere([])


def test_situation_08_the_whole_life_on_each_file_system(disks):
    for kind in KINDS:
        result = disks.run("node", "init", kind)
        assert result.status == 0, result
    # Pulls, of many files, which are flushed with one call, and of one that is larger than is copied at once; mode and
    # owner are kept where there are such things.
    ids = [disks.file(f"acq/deep/{number:02}.dat", os.urandom(3000), "home") for number in range(12)]
    ids.append(disks.file("acq/big", os.urandom(3 * 2**20), "home"))
    (disks.root("home") / "acq/big").chmod(0o440)
    os.chown(disks.root("home") / "acq/big", 1, 1)
    pull(disks, ids)
    # The same with rsync, as a pull from another host has it; and a file that arrived there by itself.
    disks.do("UPDATE storagenode SET io_config = ? WHERE name <> 'home'", '{"method": "rsync"}')
    for kind in KINDS:
        disks.put(kind, "acq/new/found", b"found")
        assert disks.run("node", "scan", kind, "--register-new").status == 0
    pull(disks, [disks.file(f"acq/rsync/{number}", os.urandom(3000), "home") for number in range(3)])
    found = disks.one("SELECT id FROM archivefile WHERE name = 'new/found'")
    assert copies(disks, found) == everywhere("YY")
    # A check finds what was damaged, and a deletion is done, in one run; then the damage is mended.
    content = (disks.root("home") / "acq/deep/00.dat").read_bytes()
    for kind in KINDS:
        disks.put(kind, "acq/deep/00.dat", bytes(3000))
        disks.set_copy(ids[0], kind, "MY")
        disks.set_copy(ids[1], kind, "YN")
    disks.node("third", archive=1)
    disks.put("third", "acq/deep/01.dat", (disks.root("home") / "acq/deep/01.dat").read_bytes())
    disks.set_copy(ids[1], "third", "YY")
    assert disks.sync().status == 1
    assert copies(disks, ids[0]) == everywhere("XY") and copies(disks, ids[1]) == everywhere("NN")
    assert not [kind for kind in KINDS if (disks.root(kind) / "acq/deep/01.dat").exists()]
    pull(disks, [ids[0]])
    assert {kind: (disks.root(kind) / "acq/deep/00.dat").read_bytes() for kind in KINDS} == everywhere(
        content
    )
    # The comparison of the index with it.
    for kind in KINDS:
        (disks.root(kind) / "acq/deep/03.dat").unlink()
        disks.put(kind, "acq/dark", b"dark")
    document = disks.run("reconcile", "--min-age", "0", "--json").json
    nodes = {node["node"]: node for node in document["nodes"]}
    for key, path in (("missing", "acq/deep/03.dat"), ("dark", "acq/dark")):
        assert {kind: [item["path"] for item in nodes[kind][key]] for kind in KINDS} == everywhere([path])
    # Its manifest, from which an index is filled again.
    disks.sync()
    assert {kind: (disks.root(kind) / MANIFEST).is_file() for kind in KINDS} == everywhere(True)
    good = {kind: disks.one(GOOD, disks.id("storagenode", kind)) for kind in KINDS}
    lose(disks)
    assert rebuild(disks, *KINDS).status == 0
    disks.synced()
    assert good == {kind: disks.one(GOOD, disks.id("storagenode", kind)) for kind in KINDS}
    assert disks.violations() == []


@pytest.mark.slow
@pytest.mark.ci
def test_situation_08_the_same_under_a_kernel_with_other_drivers(tmp_path):
    files = ("tests/end_to_end/test_filesystems.py", "tests/workers/test_pull_filesystems.py")
    # Each process costs much there: of the ways to bring files the one that is ours.
    chosen = "not other_drivers and not vfat-rsync and not vfat-hard"
    status, output = run_inside(("vfat", "nfs"), tmp_path, "-k", chosen, *files)
    assert status == 0, output
    assert "passed" in output and "failed" not in output
