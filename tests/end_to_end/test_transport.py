"""Files carried on disks between two hosts that cannot reach each other."""

import os
import shlex

import pytest

from alpenhorn.model.nodes import GIB
from tests.fixtures.archive import stand_in, wait_for
from tests.fixtures.manual import blocks, page, section
from tests.fixtures.packages import Package, install

pytestmark = pytest.mark.one_engine

SIZE = 100 * 1024
FITTING = 10  # files on a disk
ROOM = (FITTING * SIZE + SIZE // 2) / GIB


def disks(two, *names, **columns):
    two.group("travel", io_class="Transport")
    for name in names:
        two.node(name, group="travel", host="field", **{"max_total_gb": ROOM, **columns})


@pytest.fixture
def two(archive):
    """A host with a node, and another with two archive nodes; neither has an address."""
    archive.node("telescope", host="field")
    for name in ("safe", "vault"):
        archive.node(name, host="site", archive=1)
    return archive


def command(archive, host, *arguments):
    result = archive.run(*arguments, host=host)
    assert result.status == 0, result
    return result.out


def test_a_disk_is_filled_carried_emptied_into_the_archive_and_cleaned(two):
    disks(two, "disk1", "disk2")
    ids = [two.file(f"acq/{number:02}", os.urandom(SIZE), "telescope") for number in range(FITTING + 5)]
    command(two, "field", "node", "sync", "telescope", "travel", "--force")
    two.synced(host="field")
    assert two.pending() == 0
    assert [len(two.tree(disk)) for disk in ("disk1", "disk2")] == [FITTING, 5]

    command(two, "field", "node", "deactivate", "disk1")
    carried = two.base / "site" / "mnt"
    carried.parent.mkdir()
    two.root("disk1").rename(carried)
    command(two, "site", "node", "activate", "disk1", "--host", "site", "--root", str(carried))
    for group in ("safe", "vault"):
        command(two, "site", "node", "sync", "disk1", group, "--force")
    two.synced(host="site")
    assert two.pending() == 0
    first = [file_id for file_id in ids if two.copy(file_id, "disk1") == "YY"]
    assert len(first) == FITTING
    assert [len(two.tree(node)) for node in ("safe", "vault")] == [FITTING, FITTING]

    command(two, "site", "node", "clean", "disk1", "--now", "--target", "safe", "--force")
    two.synced("--allow-mass-delete", host="site")
    assert {two.copy(file_id, "disk1") for file_id in first} == {"NN"}
    assert [name for name in os.listdir(carried) if not name.startswith(".")] == ["ALPENHORN_NODE"]
    for node in ("safe", "vault"):
        assert {two.copy(file_id, node) for file_id in first} == {"YY"}
    assert all(two.copy(file_id, "telescope") == "YY" for file_id in ids)
    # The rest is on the disk that is still on the first host.
    assert [two.copy(file_id, "disk2") for file_id in ids if file_id not in first] == ["YY"] * 5
    carried.rename(two.root("disk1"))
    assert two.violations() == []


def journey():
    """Return the commands of the manual: those on the first host, and those on the second."""
    found = blocks(section(page("storage-classes"), "Transport"))
    return [[shlex.split(line)[1:] for line in block.lines] for block in found]


def test_the_journey_that_the_manual_shows_does_what_it_says(archive):
    archive.node("dish", host="field")
    for name in ("vault", "vault2"):
        archive.node(name, host="archive", archive=1)
    ids = archive.files(1001, "dish")
    disk = archive.root("disk1")
    disk.mkdir()
    for host, commands in zip(("field", "archive"), journey(), strict=True):
        for words in commands:
            asks = words[:2] in (["node", "sync"], ["node", "clean"])
            arguments = [str(disk) if word == "/mnt/disk1" else word for word in words]
            command(archive, host, *arguments, *(["--force"] if asks else []))
        if host == "field":
            assert len(archive.tree("disk1")) == len(ids)
            carried = archive.base / "carried"
            disk.rename(carried)
            disk = carried
    assert [name for name in os.listdir(disk) if not name.startswith(".")] == ["ALPENHORN_NODE"]
    assert {archive.copy(file_id, "disk1") for file_id in ids} == {"NN"}
    assert archive.tree("vault") == archive.tree("vault2") == archive.tree("dish")
    assert archive.pending() == 0 and archive.violations() == []


def test_requests_from_another_hosts_node_wait_and_nothing_is_printed(two):
    disks(two, "disk1")
    request = two.request(two.file("acq/f", b"bytes", "safe"), "safe", "travel")
    two.synced(host="field")
    two.synced(host="site")
    assert two.state(request) == "pending"
    assert "accepts files from nodes on its own host only" in two.run("plan", host="field").out
    assert "accepts files from nodes on its own host only" in command(
        two, "field", "request", "show", str(request)
    )


def test_an_archive_node_in_the_group_takes_nothing_and_is_named(two):
    disks(two, "disk1", archive=1)
    disks(two, "disk2")
    file_id = two.file("acq/f", b"bytes", "telescope")
    two.request(file_id, "telescope", "travel")
    result = two.sync(host="field")
    assert result.status == 0 and "archive node disk1 receives no files" in result.err
    assert (two.copy(file_id, "disk1"), two.copy(file_id, "disk2")) == (None, "YY")


def test_a_disk_deactivated_during_a_run_leaves_the_rest_to_the_next_run(two):
    disks(two, "disk1", io_config='{"method": "rsync", "jobs": 1}', max_total_gb=1.0)
    disks(two, "disk2", io_config='{"method": "rsync", "jobs": 1}', max_total_gb=2.0)
    gate, begun = two.base / "gate", two.base / "begun"
    os.mkfifo(gate)
    rsync = stand_in(
        two.base / "bin",
        "my-rsync",
        f'[ -e {begun} ] || {{ touch {begun}; read < {gate}; }}; exec rsync "$@"',
    )
    two.configure("field", sync={"jobs": 1}, transfer={"rsync": str(rsync)})
    # Each too big to share a job with another, and more than a run plans ahead.
    ids = [two.file(f"acq/{number}", bytes(65 * 2**20), "telescope") for number in range(5)]
    two.requests(ids, "telescope", "travel")
    run = two.start("sync", host="field")
    wait_for(begun.exists, "the first pull")
    command(two, "field", "node", "deactivate", "disk1")
    wait_for(
        lambda: "it was deactivated or taken off" in (two.base / "field.log").read_text(),
        "that the run noticed",
    )
    with gate.open("w") as opened:
        opened.write("go\n")
    assert run.result().status == 0
    assert len(two.tree("disk1")) == 1 and len(two.tree("disk2")) == 4
    assert two.pending() == 0 and two.claims() == 0 and two.violations() == []


def test_several_disks_are_filled_in_one_run_fullest_first_and_files_that_do_not_fit_wait(two):
    disks(two, "disk1", "disk2", "disk3")
    # What is there counts: disk2 is the one to go on with, and disk3 the last by name.
    for number in range(FITTING - 2):
        two.file(f"old/{number}", os.urandom(SIZE), "disk2")
    ids = [
        two.file(f"acq/{number:02}", os.urandom(SIZE), "telescope") for number in range(2 + 2 * FITTING + 3)
    ]
    requests = two.requests(ids, "telescope", "travel")
    result = two.sync(host="field")
    assert result.status == 0 and "max_total" in result.err
    on = {
        disk: [file_id for file_id in ids if two.copy(file_id, disk) == "YY"]
        for disk in ("disk1", "disk2", "disk3")
    }
    assert on == {"disk2": ids[:2], "disk1": ids[2:12], "disk3": ids[12:22]}
    assert [two.state(request) for request in requests] == ["done"] * 22 + ["pending"] * 3
    assert two.claims() == 0 and two.violations() == []


UNTOLD = """
from alpenhorn.io.base import StorageClass
from alpenhorn.io.default import DefaultNode

class Untold(DefaultNode):
    def free_bytes(self):
        return None

    def reserved_bytes(self, size_b):
        return 0

UNTOLD = StorageClass(Untold, None, None)
"""


def test_a_disk_with_unknown_free_space_is_filled_last(two, tmp_path):
    """The disk belongs to a class of a package that accepts everything; Default would accept nothing."""
    environ = {
        "PYTHONPATH": str(
            install(tmp_path, Package("untold", UNTOLD, {"alpenhorn.io": {"Untold": "UNTOLD"}}))
        )
    }
    disks(two, "disk1", io_class="Untold", max_total_gb=None)
    disks(two, "disk2")
    ids = [two.file(f"acq/{number:02}", os.urandom(SIZE), "telescope") for number in range(FITTING + 3)]
    two.requests(ids, "telescope", "travel")
    two.synced(host="field", environ=environ)
    assert [two.copy(file_id, "disk2") for file_id in ids] == ["YY"] * FITTING + [None] * 3
    assert [two.copy(file_id, "disk1") for file_id in ids] == [None] * FITTING + ["YY"] * 3


def test_a_disk_whose_quota_cannot_be_read_gets_nothing_and_the_next_one_does(two):
    settings = '{"quota_id": "x", "quota_type": "user", "lfs": "no-such-lfs"}'
    disks(two, "disk1", io_class="LustreQuota", io_config=settings)
    disks(two, "disk2")
    file_id = two.file("acq/f", b"bytes", "telescope")
    two.request(file_id, "telescope", "travel")
    result = two.sync(host="field")
    assert result.status == 0 and "no-such-lfs is not on PATH" in result.err
    assert (two.copy(file_id, "disk1"), two.copy(file_id, "disk2")) == (None, "YY")


def test_copies_on_a_carried_disk_never_allow_a_deletion(two):
    """Two good archive copies are required; a copy on an inactive node does not count."""
    disks(two, "disk1")
    two.node("shelf", host="site", archive=1)
    file_id = two.file("acq/f", b"bytes", "telescope", "disk1", "safe", "shelf")
    command(two, "field", "node", "clean", "telescope", "--now", "--target", "shelf", "--force")
    for node in ("disk1", "shelf"):
        command(two, "field", "node", "deactivate", node)
    two.synced(host="field")
    assert two.copy(file_id, "telescope") == "YN" and "acq/f" in two.tree("telescope")
    assert "has 1" in two.run("plan", host="field").out
    command(two, "field", "node", "activate", "disk1")
    two.synced(host="field")
    assert two.copy(file_id, "telescope") == "YN"
    command(two, "site", "node", "activate", "shelf")
    two.synced(host="field")
    assert two.copy(file_id, "telescope") == "NN"


def test_autosync_fills_disks_as_files_come(two):
    disks(two, "disk1")
    command(two, "field", "group", "autosync", "travel", "telescope")
    two.put("telescope", "acq/new", b"new")
    command(two, "field", "file", "import", "acq/new", "telescope", "--register-new")
    two.synced(host="field")
    assert two.tree("disk1") == {"acq/new": b"new"}
