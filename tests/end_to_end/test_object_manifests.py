"""Manifests of nodes with objects in whole runs: they lead to the same conclusions as those of directories."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.model.nodes import MANIFEST
from tests.end_to_end.test_manifest import known, listed
from tests.end_to_end.test_objects import objects, store
from tests.end_to_end.test_rebuild import lose
from tests.fixtures.archive import Archive, stand_in, wait_for
from tests.fixtures.rclone import Service, serving

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "service", "webdav") as running:
        yield running


def token(archive: Archive, node: str) -> str | None:
    found: str | None = archive.one(
        "SELECT s.manifest FROM sync_node s JOIN storagenode n ON n.id = s.node_id WHERE n.name = ?", node
    )
    return found


def suspects(archive: Archive, node: str) -> list[tuple[str, str]]:
    """Return the files that became suspect on a node, and why."""
    return sorted(
        archive.all(
            "SELECT f.name, e.why FROM sync_event e JOIN archivefile f ON f.id = e.file_id"
            " JOIN storagenode n ON n.id = e.node_id WHERE e.what = 'suspect' AND n.name = ?",
            node,
        )
    )


def checked(service: Service) -> int:
    """Return the exit status of the command in the manifest, which checks the objects by the manifest alone."""
    begin = "# To check them, with rclone: "
    lines = service.at(MANIFEST).read_text().splitlines()
    (command,) = [line.removeprefix(begin) for line in lines if line.startswith(begin)]
    argv = [*shlex.split(command), "--config", str(service.config)]
    return subprocess.run(argv, capture_output=True).returncode


def test_runs_keep_the_manifest_and_compare_the_copies_when_the_service_was_away(
    archive: Archive, service: Service
) -> None:
    archive.node("disk", archive=1)
    objects(archive, service)
    store(archive, service, "first", "é x")
    place = service.bucket / "place"
    assert listed(place) == known(archive, "store") and token(archive, "store")
    before = service.at(MANIFEST).stat()
    archive.synced()
    assert service.at(MANIFEST).stat().st_mtime_ns == before.st_mtime_ns
    (second,) = store(archive, service, "second")
    assert listed(place) == known(archive, "store") and len(listed(place)) == 3
    assert checked(service) == 0
    result = archive.run("node", "manifest", "store")
    assert result.status == 0 and f"Wrote store:bucket/place/{MANIFEST}: 3 files" in result.out, result
    service.stop()
    archive.sync()
    assert token(archive, "store") is None
    service.at("acq/second").unlink()
    service.start()
    assert checked(service) == 1
    archive.sync()
    assert [why for _, why in suspects(archive, "store")] == ["node store came back changed: it is missing"]
    assert archive.copy(second, "store") == "NY" and listed(place) == known(archive, "store")


def test_another_manifest_than_the_last_one_leads_to_a_comparison(archive: Archive, service: Service) -> None:
    """An earlier manifest is put back, and the copies on a directory and on a service are changed alike."""
    archive.node("disk", archive=1)
    archive.node("plain", archive=1)
    objects(archive, service)
    archive.requests(store(archive, service, "early"), "disk", "plain")
    archive.synced()
    places = (archive.root("plain"), service.bucket / "place")
    for place in places:
        shutil.copy2(place / MANIFEST, place / "earlier")
    files = [archive.file(f"acq/{name}", None, "disk") for name in ("same", "short", "gone")]
    for node in ("store", "plain"):
        archive.requests(files, "disk", node)
    archive.synced()
    for place in places:
        (place / "acq/short").write_bytes(b"sh")
        (place / "acq/gone").unlink()
        os.utime(place / "earlier")
        os.replace(place / "earlier", place / MANIFEST)
    service.restart()
    result = archive.sync()
    assert result.status == 1, result
    for node in ("store", "plain"):
        found = suspects(archive, node)
        assert [name for name, _ in found] == ["gone", "short"]
        assert [archive.copy(file, node) for file in files] == ["YY", "XY", "NY"]
    why = [
        [why.replace("plain", "store") for _, why in suspects(archive, node)] for node in ("store", "plain")
    ]
    assert why[0] == why[1]
    for place, node in zip(places, ("plain", "store"), strict=True):
        assert listed(place) == known(archive, node)
    archive.sync()
    assert len(suspects(archive, "store")) == 2


def second_upload(archive: Archive, service: Service, instead: str) -> int:
    """Request a second file for the node, whose manifest rclone then stores in this way."""
    script = f'case "$*" in "copy {archive.root("store")}"*) {instead};; esac\nexec rclone "$@"\n'
    program = stand_in(archive.base / "bin", "other-rclone", script)
    io_config = service.io_config(rclone=str(program))
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = 'store'", io_config)
    file = archive.file("acq/second", None, "disk")
    archive.request(file, "disk", "store")
    return file


def test_a_service_that_refuses_the_manifest_keeps_the_old_one_and_is_reported_once(
    archive: Archive, service: Service
) -> None:
    """A stand-in fails as rclone does when a service refuses an object."""
    archive.node("disk", archive=1)
    objects(archive, service)
    store(archive, service, "first")
    before = service.at(MANIFEST).read_bytes()
    line = f'{{"level": "error", "msg": "Failed to copy: 403 Forbidden", "object": "{MANIFEST}"}}'
    file = second_upload(archive, service, f"echo '{line}' >&2; exit 1")
    first, second = archive.sync(), archive.sync()
    assert (
        "403 Forbidden; make sure that rclone can store objects in store:bucket/place/.alpenhorn" in first.err
    )
    assert first.status == 0 and "403" not in second.err and archive.copy(file, "store") == "YY"
    assert service.at(MANIFEST).read_bytes() == before
    asked = archive.run("node", "manifest", "store")
    assert asked.status == 1 and "403 Forbidden" in asked.err
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = 'store'", service.io_config())
    archive.synced()
    assert listed(service.bucket / "place") == known(archive, "store") and not suspects(archive, "store")


def test_a_run_that_is_killed_during_the_upload_leaves_the_old_one(
    archive: Archive, service: Service
) -> None:
    archive.node("disk", archive=1)
    objects(archive, service)
    store(archive, service, "first")
    before = service.at(MANIFEST).read_bytes()
    file = second_upload(archive, service, 'rclone "$@"; exec sleep 60')
    run = archive.start("sync")
    incoming = service.at(".alpenhorn/incoming")
    wait_for(lambda: service.arriving("manifest.md5"), "a part of the manifest on the service")
    run.kill()
    run.wait_until_nothing_is_left()
    assert service.at(MANIFEST).read_bytes() == before and archive.copy(file, "store") == "YY"
    archive.do("UPDATE storagenode SET io_config = ? WHERE name = 'store'", service.io_config())
    archive.synced()
    assert listed(service.bucket / "place") == known(archive, "store") and not [*incoming.iterdir()]
    assert os.listdir(archive.root("store") / ".alpenhorn") == ["run.lock"]


def test_an_index_is_rebuilt_from_the_manifest_of_a_service(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    root = objects(archive, service)
    store(archive, service, "first", "second")
    before = known(archive, "store")
    place = service.settings()["remote"]
    argv = ["rclone", "--config", service.config, "copy", f"{place}/.alpenhorn", root / ".alpenhorn"]
    subprocess.run(argv, check=True, capture_output=True)
    lose(archive)
    refused = archive.run("db", "rebuild", str(root))
    assert refused.status != 0 and "create it first, as it was: alpenhorn node create store" in refused.err
    assert archive.run("host", "create", "here").status == 0
    settings = ("--class", "Rclone", "--io-var", f"remote={place}", "--io-var", f"config={service.config}")
    at = ("--host", "here", "--root", str(root))
    made = archive.run("node", "create", "store", "--create-group", "--activate", *at, *settings)
    assert made.status == 0, made
    rebuilt = archive.run("db", "rebuild", str(root))
    assert rebuilt.status == 0 and "2 suspect copies" in rebuilt.out, rebuilt
    archive.synced()
    assert known(archive, "store") == before
