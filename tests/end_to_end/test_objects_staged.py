"""Runs that store files of other hosts, and objects of other services, as objects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.test_objects import objects
from tests.fixtures.archive import Archive, wait_for
from tests.fixtures.rclone import Service, serving
from tests.fixtures.sshd import Sshd

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "service", "webdav") as running:
        yield running


@pytest.fixture
def hosts(archive: Archive, sshd: Sshd, service: Service) -> Archive:
    """Return an archive whose host `there` has the node `far`, and whose host `here` has `store`."""
    archive.host("there", address=sshd.address, username=sshd.username)
    archive.node("far", host="there")
    objects(archive, service)
    archive.configure(transfer={"ssh": sshd.ssh})
    return archive


def left_in_stages(archive: Archive) -> list[str]:
    return [path for path in archive.stray("store") if not path.startswith("room")]


def test_files_of_another_host_become_objects_and_those_objects_of_another_node(
    hosts: Archive, service: Service
) -> None:
    archive = hosts
    files = [archive.file(f"acq/{name}", None, "far") for name in ("a", "b c", "-d")]
    content = os.urandom(2 * 2**20)  # too long for the tar stream
    files.append(archive.file("acq/long", content, "far"))
    requests = archive.requests(files, "far", "store")
    planned = archive.run("plan")
    assert planned.status == 0, planned
    assert "tar over ssh" in planned.out and "rsync over ssh" in planned.out, planned
    archive.synced()
    assert [archive.state(one) for one in requests] == ["done"] * 4
    assert service.objects() == {"acq/a", "acq/b c", "acq/-d", "acq/long"}
    assert service.at("acq/long").read_bytes() == content
    assert archive.claims() == 0 and left_in_stages(archive) == []
    io_config = service.io_config("bucket/twin")
    root = archive.node("twin", made=False, io_class="Rclone", io_config=io_config, archive=1)
    root.mkdir()
    archive.run("node", "init", "twin")
    requests = archive.requests(files, "store", "twin")
    archive.synced()
    assert [archive.state(one) for one in requests] == ["done"] * 4
    assert (service.bucket / "twin/acq/long").read_bytes() == content
    assert [path for path in archive.stray("twin") if not path.startswith("room")] == []


def test_a_run_that_is_killed_records_nothing_and_the_next_one_goes_on(
    hosts: Archive, service: Service, sshd: Sshd
) -> None:
    """Nothing is left in the stage either."""
    archive = hosts
    content = os.urandom(2**20)
    file = archive.file("acq/big", content, "far")
    request = archive.request(file, "far", "store")
    transfer = {"ssh": sshd.ssh, "tar": False}
    archive.configure(transfer=transfer | {"bwlimit": 700_000})
    run = archive.start("sync")
    wait_for(lambda: [*service.at(".alpenhorn/incoming").rglob("*big*")], "a part on the service")
    run.kill()
    run.wait_until_nothing_is_left()
    assert archive.copy(file, "store") is None and not service.objects()
    archive.configure(transfer=transfer)
    archive.sync()
    assert archive.state(request) == "done" and archive.copy(file, "store") == "YY"
    assert service.at("acq/big").read_bytes() == content
    assert left_in_stages(archive) == [] and not [*service.at(".alpenhorn/incoming").iterdir()]
