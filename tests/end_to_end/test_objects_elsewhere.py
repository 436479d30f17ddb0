"""Objects of another host's node: as sources of pulls to this host, and as keepers of its copies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive
from tests.fixtures.rclone import Service, serving

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]

SSH = ["/nonexistent/ssh"]


class Hosts:
    """Host `there` with the nodes `disk` and `store`, whose copies are objects; host `here` with the nodes `safe` and
    `near`.

    There is no ssh between them.  Both hosts have the same configuration of rclone in a file of their own: the node's
    setting `config` is not used, so that each host uses that of its user.
    """

    def __init__(self, archive: Archive, service: Service) -> None:
        self.archive = archive
        self.service = service
        archive.host("there", address="there.example.org", username="nobody")
        archive.host("here")
        archive.node("disk", host="there", archive=1)
        settings = {"remote": service.settings()["remote"]}
        self.root = archive.node(
            "store", host="there", made=False, io_class="Rclone", io_config=json.dumps(settings), archive=1
        )
        archive.do("DELETE FROM sync_medium WHERE node_id = ?", archive.id("storagenode", "store"))
        self.root.mkdir()
        archive.node("safe", archive=1)
        archive.node("near")
        self.homes = {host: archive.base / f"home-{host}" for host in ("here", "there")}
        for home in self.homes.values():
            (home / ".config/rclone").mkdir(parents=True)
            shutil.copy(service.config, home / ".config/rclone/rclone.conf")
        archive.configure("there")
        self.configure()
        self.there("node", "init", "store")
        self.synced_there()

    def configure(self, **sync: str) -> None:
        self.archive.configure(sync={"jobs": 2} | sync, transfer={"ssh": SSH})

    @property
    def config(self) -> Path:
        """The configuration of rclone on host `here`."""
        return self.homes["here"] / ".config/rclone/rclone.conf"

    def there(self, *arguments: str) -> None:
        result = self.archive.run(*arguments, host="there", environ={"HOME": str(self.homes["there"])})
        assert result.status == 0, result

    def synced_there(self) -> None:
        self.archive.synced(host="there", environ={"HOME": str(self.homes["there"])})

    def here(self, *arguments: str, path: str = ""):
        return self.archive.run(*arguments, environ={"HOME": str(self.homes["here"])}, path=path)

    def stored(self, *names: str, on: Sequence[str] = ()) -> list[int]:
        """Return files that are on `disk`, the nodes `on` and, as objects, `store`."""
        archive = self.archive
        files = [archive.file(f"acq/{name}", None, "disk", *on) for name in names]
        archive.requests(files, "disk", "store")
        self.synced_there()
        assert [archive.copy(file, "store") for file in files] == ["YY"] * len(files)
        return files

    def assert_nothing_concluded(self, files: list[int]) -> None:
        assert [self.archive.copy(file, "store") for file in files] == ["YY"] * len(files)
        assert self.archive.events("suspect") == []


@pytest.fixture
def hosts(sqlite_archive: Archive, tmp_path: Path):
    with serving(tmp_path / "service", "webdav") as service:
        yield Hosts(sqlite_archive, service)


def test_another_host_fetches_the_objects_itself_and_waits_without_the_remote(hosts: Hosts) -> None:
    archive = hosts.archive
    files = hosts.stored("a", "b c")
    archive.do("UPDATE storagenode SET active = 0 WHERE name = 'disk'")
    requests = archive.requests(files, "store", "safe")
    planned = hosts.here("plan")
    assert "pull  safe  store      2  12 B  objects" in planned.out, planned
    configured = hosts.config.read_text()
    hosts.config.write_text("")
    result = hosts.here("sync")
    said = "the objects of node store cannot be read on this host"
    assert result.status == 1 and said in result.err and "section in config file" in result.err, result
    assert "in its configuration as on host there" in result.err
    hosts.assert_nothing_concluded(files)
    assert archive.tree("safe") == {} and archive.stray("safe") == [] and archive.claims() == 0
    # It is a failure of the node on this host: no request is delayed by it, and none tries the node before its time.
    assert [archive.attempt(one) for one in requests] == [None, None]
    assert [(kind, tries) for kind, tries, _ in archive.held_back()] == [("node", 1)]
    assert said in hosts.here("doctor").out
    # Another source takes its place meanwhile.
    archive.put("near", "acq/a", b"acq/a")
    archive.set_copy(files[0], "near", "YY")
    result = hosts.here("sync")
    assert [archive.state(one) for one in requests] == ["done", "pending"], result
    waiting = hosts.here("plan", "--json").out
    assert "node store of host there could not be read: 1 failed attempts" in waiting, waiting
    hosts.config.write_text(configured)
    assert hosts.here("request", "retry", str(requests[1])).status == 0
    result = hosts.here("sync")
    assert result.status == 0 and result.silent, result
    assert archive.state(requests[1]) == "done" and archive.held_back() == []
    assert archive.tree("safe") == archive.tree("disk") and archive.stray("safe") == []
    assert "the objects of node store on host there can be read here" in hosts.here("doctor").out


def test_objects_of_another_host_are_looked_at_before_a_deletion(hosts: Hosts) -> None:
    archive = hosts.archive
    files = hosts.stored("good", "gone", "later", on=("safe", "near"))
    archive.do("UPDATE storagenode SET active = 0 WHERE name = 'disk'")
    for file in files:
        archive.set_copy(file, "near", "YN")
    hosts.service.at("acq/gone").unlink()
    hosts.service.restart()
    configured = hosts.config.read_text()
    hosts.config.write_text("")
    hosts.configure(delete_evidence="stat")
    result = hosts.here("sync", "--only", "delete")
    assert result.status == 1 and "the objects of node store cannot be read on this host" in result.err, (
        result
    )
    assert [archive.copy(file, "near") for file in files] == ["YN"] * 3
    hosts.assert_nothing_concluded(files)
    hosts.config.write_text(configured)
    archive.forget_attempts()
    assert hosts.here("sync", "--only", "delete").status == 1
    assert [archive.copy(file, "near") for file in files] == ["NN", "YN", "NN"]
    assert archive.tree("near").keys() == {"acq/gone"}
    assert [archive.copy(file, "store") for file in files] == ["YY", "MY", "YY"]
