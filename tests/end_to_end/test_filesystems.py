"""The whole life of files on each file system that can be mounted here."""

import os

import pytest

from alpenhorn.model import MANIFEST
from tests.end_to_end.test_rebuild import lose, rebuild
from tests.fixtures.filesystems import ALL, mounted

GOOD = "SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file = 'Y'"


@pytest.fixture(params=ALL)
def disk(request, sqlite_archive, tmp_path):
    """An archive with the node `disk` on that file system, not initialised, and `home` beside it."""
    with mounted(request.param, tmp_path, tmp_path / "disk"):
        sqlite_archive.kind = request.param
        sqlite_archive.node("home", archive=1)
        sqlite_archive.node("disk", archive=1, made=False)
        yield sqlite_archive


def initialise(archive):
    result = archive.run("node", "init", "disk")
    assert result.status == 0, result
    archive.synced()


def test_situation_08_the_whole_life_on_it(disk):
    initialise(disk)
    # Pulls, of one file and of many, which are flushed in two ways; one is larger than is copied at once.
    ids = [disk.file(f"acq/deep/{number:02}.dat", os.urandom(3000), "home") for number in range(20)]
    big = disk.file("acq/big", os.urandom(3 * 2**20), "home")
    for id_ in ids:
        disk.request(id_, "home", "disk")
    disk.synced()
    disk.request(big, "home", "disk")
    disk.synced()
    assert disk.pending() == 0
    assert {disk.copy(id_, "disk") for id_ in (*ids, big)} == {"YY"}
    assert disk.violations() == [] and disk.stray("disk") == []
    # The same with rsync, as a pull from another host has it.
    disk.do("UPDATE storagenode SET io_config = ? WHERE name = 'disk'", '{"method": "rsync"}')
    fetched = [disk.file(f"acq/rsync/{number}", os.urandom(3000), "home") for number in range(3)]
    for id_ in fetched:
        disk.request(id_, "home", "disk")
    disk.synced()
    assert {disk.copy(id_, "disk") for id_ in fetched} == {"YY"}, disk.attempt(1)
    # Files that arrived on it.
    disk.put("disk", "acq/new/found", b"found")
    assert disk.run("node", "scan", "disk", "--register-new").status == 0
    disk.synced()
    found = disk.one("SELECT id FROM archivefile WHERE name = 'new/found'")
    assert disk.copy(found, "disk") == "YY"
    # A check finds what was damaged.
    path = disk.root("disk") / "acq/deep/00.dat"
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(bytes(3000))
    assert disk.run("file", "verify", "acq/deep/00.dat", "disk").status == 0
    assert disk.sync().status == 1
    assert disk.copy(ids[0], "disk") == "XY"
    # A pull replaces it.
    disk.request(ids[0], "home", "disk")
    disk.synced()
    assert disk.copy(ids[0], "disk") == "YY" and path.read_bytes() == content
    # A deletion.
    third = disk.node("third", archive=1)
    for id_ in ids[1:3]:
        name = disk.one("SELECT name FROM archivefile WHERE id = ?", id_)
        disk.put("third", f"acq/{name}", (disk.root("home") / f"acq/{name}").read_bytes())
        disk.set_copy(id_, "third", "YY")
        disk.set_copy(id_, "disk", "YN")
    assert third.is_dir()
    disk.synced()
    assert {disk.copy(id_, "disk") for id_ in ids[1:3]} == {"NN"}
    assert not (disk.root("disk") / "acq/deep/01.dat").exists()
    # The comparison of the index with it.
    (disk.root("disk") / "acq/deep/03.dat").unlink()
    disk.put("disk", "acq/dark", b"dark")
    result = disk.run("reconcile", "--node", "disk", "--min-age", "0", "--json")
    assert result.out, result
    assert [item["path"] for item in result.json["nodes"][0]["missing"]] == ["acq/deep/03.dat"]
    assert [item["path"] for item in result.json["nodes"][0]["dark"]] == ["acq/dark"]
    # Its manifest, from which an index is filled again.
    disk.sync()
    disk.sync()
    assert (disk.root("disk") / MANIFEST).is_file()
    good = disk.one(GOOD, disk.id("storagenode", "disk"))
    lose(disk)
    assert rebuild(disk, "disk").status == 0
    disk.synced()
    assert good == disk.one("SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y'")
    assert disk.violations() == []
    assert disk.run("doctor").status in (0, 1)
