"""An index with a replica for reading: commands that only read work there; what would change the index does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.fixtures.archive import Archive
from tests.fixtures.index import running
from tests.fixtures.server import NetworkServer

pytestmark = pytest.mark.one_engine

DATABASE = "archive"
READER = "reader"  # without the privilege of root to write on a read-only server
PATH = "acq/0.dat"
# Commands that read, with a word of their output.
READING = {
    "status": "safe",
    "plan": "safe",
    "node list": "field",
    "node stats": "field",
    "node risk field": "field",
    "file list": PATH,
    f"file show {PATH} --all": "field",
    "file find": PATH,
    "acq list": "acq",
    "request list": PATH,
    "history": "",
    "host list": "here",
    "node sync field safe --check": "",
    "node clean field --check": "",
}
CHANGING = (
    "sync",
    "node modify field --notes new",
    f"file verify {PATH} field",
    f"file clean {PATH} --node field",
    "group create more",
    "reconcile --node field",
)


class Replicated(NamedTuple):
    archive: Archive
    primary: NetworkServer
    replica: NetworkServer

    def wait(self) -> None:
        """Wait until the replica has applied what was committed on the primary server."""
        (position,) = self.primary.row("SELECT @@gtid_binlog_pos")
        assert self.replica.row(f"SELECT MASTER_GTID_WAIT('{position}', 60)") == (0,)

    def at_replica(self, command: str):
        """Run a command whose configuration names the replica."""
        conf = self.archive.configure("here", database={"url": self.replica.tcp(DATABASE, READER)})
        return self.archive.run(*command.split(), conf=conf)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[NetworkServer, NetworkServer]]:
    """A primary server and its read-only replica."""
    with running(NetworkServer) as primary, running(NetworkServer) as replica:
        primary.run(
            f"CREATE DATABASE {DATABASE}",
            f"CREATE USER {READER}@localhost",
            f"GRANT ALL ON {DATABASE}.* TO {READER}@localhost",
            "CREATE USER copier@localhost",
            "GRANT REPLICATION SLAVE ON *.* TO copier@localhost",
        )
        replica.run(
            "SET GLOBAL server_id = 2",
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary.port}, MASTER_USER = 'copier',"
            " MASTER_USE_GTID = slave_pos",
            "START SLAVE",
            "SET GLOBAL read_only = ON",
        )
        yield primary, replica


@pytest.fixture
def replicated(tmp_path, servers) -> Iterator[Replicated]:
    """A file on one node, requested into the group of another; the replica has the index."""
    primary, replica = servers
    primary.run(f"DROP DATABASE {DATABASE}", f"CREATE DATABASE {DATABASE}")
    archive = Archive(tmp_path, primary.tcp(DATABASE))
    archive.node("field")
    archive.node("safe", archive=1)
    archive.request(archive.file(PATH, None, "field"), "field", "safe")
    made = Replicated(archive, primary, replica)
    made.wait()
    yield made
    archive.close()


def test_commands_that_only_read_work_at_a_replica(replicated: Replicated) -> None:
    for command, word in READING.items():
        result = replicated.at_replica(command)
        assert result.status == 0 and word in result.out, (command, result)


def test_nothing_is_changed_through_a_replica(replicated: Replicated) -> None:
    archive = replicated.archive
    disks = {node: archive.tree(node) for node in ("field", "safe")}
    before = archive.dump()
    for command in CHANGING:
        result = replicated.at_replica(command)
        assert result.status == 3 and "the server is read-only" in result.err, (command, result)
    assert archive.dump() == before
    assert {node: archive.tree(node) for node in disks} == disks


def test_what_a_run_did_is_seen_at_the_replica(replicated: Replicated) -> None:
    replicated.archive.synced()
    replicated.wait()
    result = replicated.at_replica(f"file show {PATH} --all")
    assert result.status == 0 and "safe" in result.out, result


def test_a_replica_is_named_as_such(replicated: Replicated) -> None:
    for command in ("db check", "doctor"):
        result = replicated.at_replica(command)
        assert result.status == 1 and "as replicas are" in result.out, (command, result)
