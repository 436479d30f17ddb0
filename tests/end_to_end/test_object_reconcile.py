"""Nodes with objects compared with the index by whole runs: the same is found as in a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alpenhorn.model.nodes import MANIFEST
from alpenhorn.reasons import Code
from tests.end_to_end.test_objects import objects, store
from tests.end_to_end.test_reconcile import distrust, found, gone, reconciled, trust
from tests.fixtures.archive import Archive
from tests.fixtures.rclone import MOTO, Moto, Service, serving

pytestmark = [pytest.mark.one_engine, pytest.mark.ci]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "service", "webdav") as running:
        yield running


def test_the_same_is_found_as_in_a_directory(archive: Archive, service: Service) -> None:
    archive.node("disk", archive=1)
    archive.node("plain", archive=1)
    objects(archive, service)
    names = ("same", "short", "missing", "sub/back")
    same, short, missing, back = files = store(archive, service, *names)
    archive.requests(files, "disk", "plain")
    archive.synced()
    for place in (archive.root("plain"), service.bucket / "place"):
        (place / "acq/short").write_bytes(b"sh")
        (place / "acq/missing").unlink()
        (place / "acq/sub/dark").write_bytes(b"dark")
        (place / "unknown").mkdir()
        (place / "unknown/é x").write_bytes(b"dark")
        (place / "top").write_bytes(b"dark")
    service.restart()
    for node in ("plain", "store"):
        gone(archive, back, node, "N")
        distrust(archive, node)
    here = {
        "missing": ["acq/missing"],
        "differing": ["acq/short"],
        "back": ["acq/sub/back"],
        "dark": ["acq/sub/dark", "top", "unknown/é x"],
    }
    dry = reconciled(archive, "--dry-run", "--node", "store", status=1)
    assert found(dry) == here and archive.copy(missing, "store") == "YY"
    document = reconciled(archive, "--node", "store", "--node", "plain", status=1)
    assert [found(document, node) for node in (0, 1)] == [here, here]
    for node in ("plain", "store"):
        assert [archive.copy(file, node) for file in (same, short, missing, back)] == ["YY", "MY", "MY", "MN"]
        assert trust(archive, node)[0] is None
    (place / "acq/sub/dark").unlink()
    (place / "unknown/é x").unlink()
    (place / "top").unlink()
    service.restart()
    archive.sync()
    assert found(reconciled(archive, "--node", "store")) == {}


def test_young_objects_are_counted_and_alpenhorns_own_left_out_on_amazon_s3(
    archive: Archive, tmp_path: Path
) -> None:
    archive.node("disk", archive=1)
    with serving(tmp_path / "service", MOTO) as service:
        assert isinstance(service, Moto)
        objects(archive, service)
        store(archive, service, "first")
        manifest = f"store:bucket/place/{MANIFEST}"
        before = service.rclone("cat", manifest)
        archive.synced()
        assert service.rclone("cat", manifest) == before  # an idle run stores none
        store(archive, service, "second")
        assert b"  acq/second\n" in service.rclone("cat", manifest)
        service.rclone("rcat", "store:bucket/place/acq/dark", stdin=b"dark")
        result = archive.run("reconcile", "--node", "store", "--json")
        assert result.status == 0 and result.json["nodes"][0]["young"] == 1 and found(result.json) == {}
        assert found(reconciled(archive, "--node", "store", status=1)) == {"dark": ["acq/dark"]}


def test_an_unknown_object_is_not_imported(archive: Archive, service: Service) -> None:
    objects(archive, service)
    service.at("acq").mkdir()
    service.at("acq/dark").write_bytes(b"dark")
    for arguments in (("file", "import", "acq/dark", "store"), ("node", "scan", "store")):
        refused = archive.run(*arguments, "--register-new")
        what = "an import" if arguments[0] == "file" else "a search"
        assert refused.status != 0 and Code.NODE_WITHOUT_DIRECTORY(node="store", what=what) in refused.err
    assert not archive.all("SELECT id FROM archivefileimportrequest WHERE completed = 0")
