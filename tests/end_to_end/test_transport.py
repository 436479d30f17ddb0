"""Files that travel on disks between two hosts that cannot reach each other."""

import os

import pytest

from alpenhorn.model import GIB
from tests.fixtures.archive import stand_in, wait_for

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


def test_requests_from_another_hosts_node_wait_and_cron_is_told_nothing(two):
    disks(two, "disk1")
    request = two.request(two.file("acq/f", b"bytes", "safe"), "safe", "travel")
    two.synced(host="field")
    two.synced(host="site")
    assert two.state(request) == "pending"
    assert "takes files from its own host's nodes only" in two.run("plan", host="field").out
    assert "takes files from its own host's nodes only" in command(
        two, "field", "request", "show", str(request)
    )


def test_an_archive_node_in_the_group_takes_nothing_and_is_named(two):
    disks(two, "disk1", archive=1)
    disks(two, "disk2")
    file_id = two.file("acq/f", b"bytes", "telescope")
    two.request(file_id, "telescope", "travel")
    result = two.sync(host="field")
    assert result.status == 0 and "nothing is put onto archive node disk1" in result.err
    assert (two.copy(file_id, "disk1"), two.copy(file_id, "disk2")) == (None, "YY")


def test_a_disk_that_is_taken_off_in_the_middle_of_a_run_leaves_the_rest_to_the_next(two):
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
    wait_for(lambda: "it was taken off" in (two.base / "field.log").read_text(), "that the run noticed")
    with gate.open("w") as opened:
        opened.write("go\n")
    assert run.result().status == 0
    assert len(two.tree("disk1")) == 1 and len(two.tree("disk2")) == 4
    assert two.pending() == 0 and two.claims() == 0 and two.violations() == []
