"""Nodes whose copies are objects of a service, with rclone and real services."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.reasons import Code
from tests.fixtures.archive import Archive, wait_for
from tests.fixtures.rclone import MOTO, Moto, Service, serving

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]


@pytest.fixture
def buckets(tmp_path: Path) -> Iterator[Service]:
    """Return a service that stores whole objects at once, and has MD5 sums."""
    with serving(tmp_path / "service", "s3") as running:
        yield running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a service that stores no whole objects at once, and has no MD5 sums: the least that a service can do."""
    with serving(tmp_path / "service", "webdav") as running:
        yield running


@pytest.fixture(params=["s3", MOTO])
def any_s3(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    with serving(tmp_path / "service", request.param) as running:
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


def test_files_are_stored_checked_fetched_and_deleted(archive: Archive, any_s3: Service) -> None:
    service = any_s3
    archive.node("disk", archive=1)
    archive.node("back", archive=1)
    objects(archive, service)
    files = [archive.file(f"acq/{name}", None, "disk") for name in ("a", "b c", "-d", "dir/é%[x]*")]
    requests = archive.requests(files, "disk", "store")
    archive.synced()
    assert [archive.state(one) for one in requests] == ["done"] * 4
    assert service.objects() == {"acq/a", "acq/b c", "acq/-d", "acq/dir/é%[x]*"}
    assert "no run has worked on" not in archive.run("status").out
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


def test_an_object_of_another_sum_is_corrupt_for_amazon_s3_as_well(
    sqlite_archive: Archive, tmp_path: Path
) -> None:
    archive = sqlite_archive
    archive.node("disk", archive=1)
    with serving(tmp_path / "service", MOTO) as service:
        assert isinstance(service, Moto)
        objects(archive, service)
        wrong, gone, right = store(archive, service, "wrong", "gone", "right")
        service.rclone("rcat", "store:bucket/place/acq/wrong", stdin=b"ACQ/WRONG")  # of the same length
        service.rclone("deletefile", "store:bucket/place/acq/gone")
        for file in (wrong, gone, right):
            archive.set_copy(file, "store", "MY")
        assert archive.sync("--only", "check").status == 1
        assert [archive.copy(file, "store") for file in (wrong, gone, right)] == ["XY", "NY", "YY"]


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
    assert result.status == 1 and "too few of the other copies" in result.err
    assert archive.tree("disk").keys() == {"acq/short", "acq/gone"}
    assert archive.copy(good, "disk") == "NN"
    # The next run finds out what the copies are.
    archive.sync()
    assert (archive.copy(short, "store"), archive.copy(gone, "store")) == ("XY", "NY")
    assert archive.tree("disk").keys() == {"acq/short", "acq/gone"}


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


def test_commands_know_what_such_a_node_cannot_do(archive: Archive, service: Service) -> None:
    archive.configure()
    archive.node("disk", archive=1)
    archive.node("far", host="there")
    (archive.base / "store").mkdir()
    options = ("--io-var", f"remote={service.settings()['remote']}", "--io-var", f"config={service.config}")
    made = archive.run(
        *(
            "node",
            "create",
            "store",
            "--create-group",
            "--host",
            "here",
            "--root",
            str(archive.base / "store"),
        ),
        *("--class", "Rclone", *options, "--archive", "--init", "--activate"),
    )
    assert made.status == 0, made
    archive.synced()
    kept, lost = store(archive, service, "kept", "lost")
    there = archive.run("node", "retire", "store", "--lost")
    assert there.status != 0 and f"its medium is there: {service.settings()['remote']}" in there.err, there
    archive.request(archive.file("acq/next", None, "disk"), "disk", "store")
    planned = archive.run("plan")
    assert planned.status == 0 and "objects" in planned.out, planned
    state = archive.run("file", "state", "acq/kept", "store", "--set", "Absent")
    assert state.status != 0 and archive.copy(kept, "store") == "YY", state
    copied = archive.run("file", "modify", "acq/kept", "--from-copy", "store", "--force")
    assert "keeps objects" in copied.err, copied
    doctor = archive.run("doctor")
    assert "node store: " in doctor.out and "FAIL" not in doctor.out, doctor
    service.at("acq/lost").unlink()
    service.restart()
    found = archive.run("reconcile", "--node", "store")
    assert "acq/lost" in found.out + found.err and archive.copy(lost, "store") == "MY", found
    assert archive.copy(kept, "store") == "YY"
    far = archive.file("acq/far", b"far", "far")
    archive.request(far, "far", "store")
    archive.do("UPDATE storagenode SET auto_import = 1 WHERE name = 'store'")
    result = archive.sync()
    assert Code.OBJECTS_NOT_SEARCHED(node="store") in result.err
    assert "host there has no address" in result.err
    refused = archive.run("node", "modify", "store", "--io-var", "remote=:s3,secret_access_key=SECRET:bucket")
    assert refused.status != 0 and "remote" in refused.err


def test_an_edited_remote_is_another_place(archive: Archive, service: Service) -> None:
    """Also if it looks right, as a copy of the whole storage does: nothing is recorded of a run that began before."""
    archive.node("disk", archive=1)
    objects(archive, service)
    (file,) = store(archive, service, "file")
    io_config = service.io_config("bucket/elsewhere")
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = 'store'", io_config)
    doctor = archive.run("doctor")
    assert "bucket/elsewhere has no object ALPENHORN_NODE" in doctor.out and doctor.status != 0
    result = archive.sync()
    assert result.status == 0 and "bucket/elsewhere has no object ALPENHORN_NODE" in result.err
    assert archive.copy(file, "store") == "YY"
    assert archive.one(
        "SELECT wrong FROM sync_medium m JOIN storagenode n ON n.id = m.node_id WHERE n.name = 'store'"
    )


def test_a_run_that_is_killed_while_it_stores_a_file_is_continued(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    objects(archive, service)
    content = os.urandom(2**20)
    file = archive.file("acq/big", content, "disk")
    request = archive.request(file, "disk", "store")
    archive.configure(transfer={"bwlimit": 200_000})
    run = archive.start("sync")
    incoming = service.at(".alpenhorn/incoming")
    wait_for(lambda: service.arriving("big"), "a part on the service")
    run.kill()
    run.wait_until_nothing_is_left()
    assert archive.copy(file, "store") is None and not service.objects()
    archive.configure()
    archive.sync()
    assert archive.state(request) == "done" and service.at("acq/big").read_bytes() == content
    assert not [*incoming.iterdir()]


def test_a_service_restored_to_an_earlier_state_is_compared_before_its_copies_count(
    archive: Archive, service: Service
) -> None:
    archive.node("disk", archive=1)
    objects(archive, service)
    (early,) = store(archive, service, "early")
    saved = archive.base / "saved"
    shutil.copytree(service.bucket, saved)
    (late,) = store(archive, service, "late")
    service.stop()
    shutil.rmtree(service.bucket)
    saved.rename(service.bucket)
    service.start()
    result = archive.sync("--only", "delete")
    assert Code.MEDIUM_BEHIND(node="store", standing="restored or cloned")[:20] in result.err, result
    assert (archive.copy(early, "store"), archive.copy(late, "store")) == ("YY", "MY")
    archive.sync("--only", "check")
    assert archive.copy(late, "store") == "NY"
