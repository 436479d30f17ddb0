"""Deletions with delete_evidence = "stat": keepers on other hosts are checked over ssh before each deletion."""

import shutil

import pytest

from alpenhorn.model.nodes import MARKER
from alpenhorn.record.copies import once_good
from tests.fixtures.archive import stand_in


class Hosts:
    """Node `field` on host `here`, and two archive nodes with its files on host `there`; `sessions` are counted."""

    def __init__(self, archive, sshd, number=3):
        self.archive = archive
        archive.host("there", address=sshd.address, username=sshd.username)
        archive.node("field")
        for name in ("safe1", "safe2"):
            archive.node(name, host="there", archive=1)
        self.paths = [f"acq/{i}" for i in range(number)]
        self.ids = [archive.file(path, None, "field", "safe1", "safe2") for path in self.paths]
        for id in self.ids:
            archive.set_copy(id, "field", "YN")
        self.counted = archive.base / "sessions"
        counting = stand_in(archive.base / "bin", "counting-ssh", f'echo >> {self.counted}; exec ssh "$@"')
        self.ssh = [str(counting), *sshd.ssh[1:]]
        self.configure()

    def configure(self, evidence="stat", ssh=None, **transfer):
        sync = {"jobs": 2} | ({"delete_evidence": evidence} if evidence else {})
        self.archive.configure(sync=sync, transfer={"ssh": ssh or self.ssh} | transfer)

    @property
    def sessions(self):
        return len(self.counted.read_text()) if self.counted.exists() else 0

    def states(self, node="field"):
        return [self.archive.copy(id, node) for id in self.ids]

    def assert_kept(self, result, *said):
        """Check that all copies stay, without blame, and that the reason is reported."""
        assert result.status == 1, result
        assert all(text in result.err for text in said), result.err
        assert self.states() == ["YN"] * len(self.ids)
        assert set(self.archive.tree("field")) == set(self.paths)
        assert self.states("safe1") == self.states("safe2") == ["YY"] * len(self.ids)
        assert self.archive.claims() == 0 and self.archive.events("suspect") == []

    def assert_deleted(self):
        """Check that all copies are deleted once nothing prevents it."""
        self.archive.forget_attempts()
        self.archive.synced()
        assert self.states() == ["NN"] * len(self.ids) and self.archive.tree("field") == {}
        assert self.archive.violations() == [] and self.archive.claims() == 0


@pytest.fixture
def hosts(archive, sshd):
    return Hosts(archive, sshd)


@pytest.fixture
def sqlite_hosts(sqlite_archive, sshd):
    return Hosts(sqlite_archive, sshd)


def test_copies_with_keepers_on_another_host_are_deleted_and_the_host_is_asked_once(sqlite_archive, sshd):
    hosts = Hosts(sqlite_archive, sshd, number=40)
    hosts.assert_deleted()
    assert hosts.sessions == 1


@pytest.mark.parametrize("evidence", ["", "index"])
def test_other_hosts_are_not_asked_unless_it_is_configured(sqlite_hosts, evidence):
    sqlite_hosts.configure(evidence)
    (sqlite_hosts.archive.root("safe2") / "acq" / "0").unlink()
    sqlite_hosts.archive.synced()
    assert sqlite_hosts.states() == ["NN"] * 3 and sqlite_hosts.sessions == 0


def remove(path):
    path.unlink()


def cut_short(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [remove, cut_short])
def test_a_keeper_changed_unnoticed_prevents_the_deletion_and_becomes_suspect(hosts, spoil):
    spoil(hosts.archive.root("safe2") / "acq" / "1")
    result = hosts.archive.sync()
    assert result.status == 1 and "acq/1: " in result.err and "safe2: its " in result.err
    assert hosts.states() == ["NN", "YN", "NN"] and set(hosts.archive.tree("field")) == {"acq/1"}
    assert hosts.states("safe2") == ["YY", "MY", "YY"] and hosts.states("safe1") == ["YY"] * 3
    assert hosts.archive.events("suspect") == [(hosts.ids[1], "safe2")]
    # From then on the index itself says that the copy cannot go, and no host is asked.
    hosts.archive.forget_attempts()
    hosts.archive.synced()
    assert hosts.states() == ["NN", "YN", "NN"] and hosts.sessions == 1


def test_a_wrong_keeper_that_is_not_needed_also_becomes_suspect(sqlite_hosts):
    archive = sqlite_hosts.archive
    archive.node("safe3", host="there", archive=1)
    for id, path in zip(sqlite_hosts.ids, sqlite_hosts.paths, strict=True):
        archive.put("safe3", path, path.encode())
        archive.set_copy(id, "safe3", "YY")
    (archive.root("safe2") / "acq" / "1").unlink()
    archive.synced()
    assert sqlite_hosts.states() == ["NN"] * 3
    assert sqlite_hosts.states("safe2") == ["YY", "MY", "YY"]


def test_a_node_not_mounted_on_the_other_host_prevents_the_deletion_without_blame(hosts):
    root = hosts.archive.root("safe2")
    root.rename(root.with_name("away"))
    root.mkdir()
    hosts.assert_kept(hosts.archive.sync(), "safe2: ", "not mounted on host there")
    root.rmdir()
    root.with_name("away").rename(root)
    hosts.assert_deleted()


def test_another_nodes_disk_on_the_other_host_prevents_the_deletion_without_blame(sqlite_hosts):
    root = sqlite_hosts.archive.root("safe2")
    shutil.rmtree(root / "acq")
    (root / MARKER).write_text("other\n")
    sqlite_hosts.assert_kept(sqlite_hosts.archive.sync(), "safe2: ", "host there belongs to node 'other'")


def test_without_an_ssh_server_the_copies_stay_without_blame(sqlite_hosts):
    sqlite_hosts.configure(ssh=[*sqlite_hosts.ssh, "-p", "1"])
    result = sqlite_hosts.archive.sync()
    sqlite_hosts.assert_kept(result, "safe1: host there cannot be reached", "refused")
    # Nothing is said, and no host asked, until the next attempt is due.
    before = sqlite_hosts.sessions
    sqlite_hosts.archive.synced()
    assert sqlite_hosts.sessions == before
    sqlite_hosts.configure()
    sqlite_hosts.assert_deleted()


@pytest.mark.parametrize("column", ["address", "username"])
def test_a_host_without_address_or_username_prevents_the_deletion_and_is_named(sqlite_hosts, column):
    sqlite_hosts.archive.do(f"UPDATE storagehost SET {column} = NULL WHERE name = 'there'")
    sqlite_hosts.assert_kept(sqlite_hosts.archive.sync(), f"host there has no {column}")
    assert sqlite_hosts.sessions == 0


@pytest.mark.slow
def test_a_host_that_never_answers_is_given_up_and_the_copies_stay(sqlite_hosts):
    """This holds however short the time limit of pulls is: a killed worker would leave the copies suspect."""
    archive = sqlite_hosts.archive
    pids = archive.base / "pids"
    hanging = stand_in(
        archive.base / "bin",
        "hanging",
        f"trap '' TERM; sleep 1000 & echo $$ $! >> {pids}; wait; sleep 1000",
    )
    sqlite_hosts.configure(ssh=[str(hanging)], pull_timeout_base=1)
    archive.node("other")
    archive.node("safe", archive=1)
    request = archive.request(archive.file("acq/more", None, "other"), "other", "safe")
    run = archive.start("sync")
    result = run.result(120)
    run.wait_until_nothing_is_left()
    assert len(pids.read_text().split()) == 2
    sqlite_hosts.assert_kept(result, "the session with host there failed", "did not end within 30")
    assert archive.state(request) == "done"


def test_two_keepers_that_are_one_file_there_count_once(sqlite_hosts):
    archive = sqlite_hosts.archive
    for path in sqlite_hosts.paths:
        (archive.root("safe2") / path).unlink()
        (archive.root("safe2") / path).hardlink_to(archive.root("safe1") / path)
    sqlite_hosts.assert_kept(archive.sync(), "safe2: copy is a hard link to that on safe1")


def test_the_keepers_of_a_corrupt_copy_must_have_the_files_length(sqlite_hosts):
    archive, file_id = sqlite_hosts.archive, sqlite_hosts.ids[0]
    archive.set_copy(file_id, "field", "XN")
    once_good(archive.index, archive.id("storagenode", "field"), [file_id])
    archive.put("field", "acq/0", b"spoilt, and known to be")
    cut_short(archive.root("safe2") / "acq" / "0")
    result = archive.sync()
    assert result.status == 1 and "safe2: its length is 0 bytes" in result.err
    assert archive.copy(file_id, "field") == "XN" and archive.copy(file_id, "safe2") == "MY"
    assert set(archive.tree("field")) == {"acq/0"}
