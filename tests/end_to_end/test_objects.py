"""Nodes whose copies are objects of a service, with rclone and real services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.reasons import Code
from tests.fixtures.archive import Archive
from tests.fixtures.rclone import KINDS, Service, serving

pytestmark = pytest.mark.one_engine


@pytest.fixture(params=KINDS)
def each_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "service", request.param) as running:
        yield running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a service that stores no whole objects at once, and has no MD5 sums: the least that a service can do."""
    with serving(tmp_path / "service", "webdav") as running:
        yield running


def objects(archive: Archive, service: Service, **columns: object) -> Path:
    """Create the node `store` with objects, and initialise it."""
    archive.configure()
    root = archive.node(
        "store", made=False, io_class="Rclone", io_config=service.io_config(), archive=1, **columns
    )
    root.mkdir()
    archive.run("node", "init", "store")
    archive.synced()
    return root


def test_files_are_stored_checked_fetched_and_deleted(archive: Archive, each_service: Service) -> None:
    service = each_service
    archive.node("disk", archive=1)
    archive.node("back", archive=1)
    objects(archive, service)
    files = [archive.file(f"acq/{name}", None, "disk") for name in ("a", "b c", "-d", "dir/é%[x]*")]
    requests = archive.requests(files, "disk", "store")
    archive.synced()
    assert [archive.state(one) for one in requests] == ["done"] * 4
    assert service.objects() == {"acq/a", "acq/b c", "acq/-d", "acq/dir/é%[x]*"}
    for file in files:
        archive.set_copy(file, "store", "MY")
    archive.synced()
    assert {archive.copy(file, "store") for file in files} == {"YY"}
    requests = archive.requests(files, "store", "back")
    archive.synced()
    assert [archive.state(one) for one in requests] == ["done"] * 4
    assert set(archive.tree("back")) == {"acq/a", "acq/b c", "acq/-d", "acq/dir/é%[x]*"}
    for file in files:
        archive.set_copy(file, "store", "YN")
    archive.synced()
    assert {archive.copy(file, "store") for file in files} == {"NN"} and not service.objects()


def store(archive: Archive, service: Service, *names: str) -> list[int]:
    """Pull files from the archive node `disk` to `store`."""
    files = [archive.file(f"acq/{name}", None, "disk") for name in names]
    archive.requests(files, "disk", "store")
    archive.synced()
    assert [archive.copy(file, "store") for file in files] == ["YY"] * len(files)
    return files


def test_an_object_is_a_keeper_only_while_it_looks_right(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    archive.node("other", archive=1)
    objects(archive, service)
    good, short, gone = store(archive, service, "good", "short", "gone")
    for file in (good, short, gone):
        name = archive.one("SELECT name FROM archivefile WHERE id = ?", file)
        archive.put("other", f"acq/{name}", f"acq/{name}".encode())
        archive.set_copy(file, "other", "YY")
        archive.set_copy(file, "disk", "YN")
    service.at("acq/short").write_bytes(b"sh")
    service.at("acq/gone").unlink()
    service.restart()
    result = archive.sync("--only", "delete")
    assert archive.tree("disk").keys() == {"acq/short", "acq/gone"}
    assert archive.copy(good, "disk") == "NN"
    assert result.status == 1 and Code.KEEPER_MISSING() in result.err
    # The next run finds out what the copies are.
    archive.sync()
    assert (archive.copy(short, "store"), archive.copy(gone, "store")) == ("XY", "NY")
    assert archive.tree("disk").keys() == {"acq/short", "acq/gone"}


def test_objects_are_deleted_if_other_copies_remain(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    archive.node("other", archive=1)
    objects(archive, service)
    two, one, changed = store(archive, service, "two", "one", "changed")
    for file, name in ((two, "two"), (changed, "changed")):
        archive.put("other", f"acq/{name}", f"acq/{name}".encode())
        archive.set_copy(file, "other", "YY")
    for file in (two, one, changed):
        archive.set_copy(file, "store", "YN")
    service.at("acq/changed").write_bytes(b"another length")
    service.restart()
    archive.sync("--only", "delete")
    assert service.objects() == {"acq/one", "acq/changed"}
    assert archive.copy(two, "store") == "NN"
    assert archive.copy(one, "store") == "YN"
    assert archive.copy(changed, "store") in ("MN", "XN")


def test_other_bytes_of_the_same_length_are_found_and_replaced(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    objects(archive, service)
    (file,) = store(archive, service, "file")
    at = service.at("acq/file")
    times = at.stat().st_atime_ns, at.stat().st_mtime_ns
    at.write_bytes(b"FCQ/file")
    os.utime(at, ns=times)
    service.restart()
    archive.set_copy(file, "store", "MY")
    archive.sync("--only", "check")
    assert archive.copy(file, "store") == "XY"
    archive.request(file, "disk", "store")
    archive.sync("--only", "pull")
    assert at.read_bytes() == b"acq/file" and archive.copy(file, "store") == "YY"


def test_a_wrong_object_is_not_pulled_from(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    archive.node("back")
    objects(archive, service)
    (file,) = store(archive, service, "file")
    archive.set_copy(file, "disk", "NN")
    service.at("acq/file").write_bytes(b"FCQ/file")
    service.restart()
    request = archive.request(file, "store", "back")
    archive.sync("--only", "pull")
    assert archive.state(request) == "pending" and archive.tree("back") == {}
    assert archive.copy(file, "store") == "MY"


def test_an_unknown_object_is_never_replaced(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    objects(archive, service)
    at = service.at("acq/file")
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(b"somebody else's")
    service.restart()
    file = archive.file("acq/file", None, "disk")
    request = archive.request(file, "disk", "store")
    archive.sync()
    archive.sync()
    assert at.read_bytes() == b"somebody else's"
    assert archive.state(request) == "pending" and archive.copy(file, "store") == "XY"


def test_a_complete_object_that_was_not_recorded_is_found(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    objects(archive, service)
    at = service.at("acq/file")
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(b"acq/file")
    service.restart()
    file = archive.file("acq/file", None, "disk")
    request = archive.request(file, "disk", "store")
    archive.sync()
    assert archive.state(request) == "cancelled" and archive.copy(file, "store") == "YY"
