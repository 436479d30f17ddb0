"""Manifests that cannot be written, or whose writing is interrupted."""

import signal
import subprocess
from contextlib import suppress

import pytest

from alpenhorn.fs import manifest
from alpenhorn.model.nodes import MANIFEST
from tests.end_to_end.test_manifest import known, listed, md5sum, suspects, token
from tests.faults.test_disks import mounted, root  # noqa: F401
from tests.fixtures.archive import wait_for
from tests.fixtures.seen import mark_seen

MANY = 25_000  # more than stand in one part


@pytest.fixture
def truck(sqlite_archive):
    sqlite_archive.node("telescope")
    sqlite_archive.group("truck", io_class="Transport")
    sqlite_archive.node("disk", group="truck", made=False)
    return sqlite_archive


def fill(at):
    """Fill the free space."""
    with pytest.raises(OSError), (at / "hog").open("wb", buffering=0) as hog:
        while True:
            hog.write(bytes(4096))


@pytest.mark.usefixtures("root")
def test_a_disk_too_full_for_a_manifest_is_reported_with_the_remedy(truck):
    with mounted(truck, "disk", "size=1m") as at:
        ids = truck.files(40, "disk")
        mark_seen(truck.index, truck.id("storagenode", "disk"), at)
        fill(at)
        for _ in range(2):
            result = truck.sync()
            assert result.status == 0, result
            for part in (
                "the manifest of node disk could not be written: No space left",
                "alpenhorn node modify disk --min-avail",
            ):
                assert part in result.err
            assert not (at / MANIFEST).exists() and truck.stray("disk") == []
        # It was compared all the same, and need not be again.
        assert (truck.base / "here.log").read_text().count("node disk was compared") == 1
        assert {truck.copy(file_id, "disk") for file_id in ids} == {"YY"} and suspects(truck) == []
        (at / "hog").unlink()
        truck.synced()
        assert listed(at) == known(truck, "disk")
        assert (truck.base / "here.log").read_text().count("node disk was compared") == 1


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("old", [False, True])
def test_a_node_that_does_not_travel_and_is_too_full_is_reported_once(sqlite_archive, old):
    archive = sqlite_archive
    archive.node("plain", made=False)
    with mounted(archive, "plain", "size=1m") as at:
        archive.files(40, "plain")
        mark_seen(archive.index, archive.id("storagenode", "plain"), at)
        if old:
            archive.synced()
            archive.do("UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N' WHERE file_id = 1")
        fill(at)
        result = archive.sync()
        assert result.status == 0 and result.err.count("the manifest of node plain could not be written") == 1
        archive.synced()
        archive.synced()
        assert (at / MANIFEST).exists() is old and archive.stray("plain") == []
        (at / "hog").unlink()
        archive.synced()
        assert listed(at) == known(archive, "plain")
        assert "was compared" not in (archive.base / "here.log").read_text()


@pytest.mark.usefixtures("root")
def test_on_a_full_disk_the_old_one_stays_until_there_is_room(truck):
    with mounted(truck, "disk", "size=1m") as at:
        ids = truck.files(40, "disk")
        truck.synced()
        before, old = (at / MANIFEST).read_bytes(), token(truck, "disk")
        truck.do("UPDATE archivefilecopy SET has_file = 'X' WHERE file_id = ?", ids[0])
        fill(at)
        assert "could not be written" in truck.sync().err
        result = truck.run("node", "manifest", "disk")
        assert result.status == 1 and "failed: the manifest of node disk could not be written" in result.err
        assert (at / MANIFEST).read_bytes() == before and token(truck, "disk") == old
        assert md5sum(at, "--quiet", "--strict").returncode == 0
        (at / "hog").unlink()
        truck.synced()
        assert len(listed(at)) == 39 and listed(at) == known(truck, "disk")


@pytest.mark.usefixtures("root")
def test_a_disk_that_is_read_only_is_reported_and_not_worked_on(truck):
    with mounted(truck, "disk", "size=1m") as at:
        truck.files(5, "disk")
        truck.synced()
        subprocess.run(["mount", "-o", "remount,ro", at], check=True)
        try:
            assert "disk" in truck.run("node", "manifest", "disk").err
            assert listed(at) == known(truck, "disk")
        finally:
            subprocess.run(["mount", "-o", "remount,rw", at], check=True)


@pytest.fixture
def many(sqlite_archive):
    """A node with so many files that its manifest is written in parts."""
    sqlite_archive.node("field")
    sqlite_archive.files(MANY, "field")
    assert sqlite_archive.run("node", "manifest", "field").status == 0
    return sqlite_archive


def whole(archive):
    """Return the number of files in the manifest."""
    with (archive.root("field") / MANIFEST).open("rb") as file:
        return sum(1 for _ in manifest.entries(file))


def wait_until_written_aside(archive, run, size_b):
    """Wait until this much of a new manifest has been written, or the run has ended."""
    private = archive.root("field") / ".alpenhorn"

    def written():
        with suppress(FileNotFoundError):
            return any(path.stat().st_size >= size_b for path in private.glob("run-*/manifest.md5"))

    wait_for(lambda: written() or run.process.poll() is not None, "that it is being written")


@pytest.mark.parametrize("victim", ["run", "workers", "stop"])
def test_a_run_that_is_cut_short_while_it_writes_leaves_the_old_one_whole(many, victim):
    statuses = []
    for size_b in (0, 500_000):
        run = many.start("node", "manifest", "field")
        wait_until_written_aside(many, run, size_b)
        match victim:
            case "run":
                run.kill()
            case "stop":
                run.process.send_signal(signal.SIGINT)
            case "workers":
                for worker in run.workers():
                    worker.kill()
        statuses.append(run.result().status)
        run.wait_until_nothing_is_left()
        assert whole(many) == MANY
        many.synced()
        assert many.stray("field") == [] and suspects(many) == []
    assert set(statuses) & {-9, 1} and set(statuses) <= {-9, 1, 0}
    assert listed(many.root("field")) == known(many, "field")


def test_a_run_that_was_killed_before_it_could_write_leaves_that_to_the_next(archive):
    """Its pulls are in the index and in the history, but not in the manifest."""
    archive.node("field")
    archive.node("safe")
    ids = archive.files(30, "field")
    assert archive.run("node", "manifest", "safe").status == 0
    archive.requests(ids, "field", "safe")
    archive.synced()
    old = (archive.root("safe") / MANIFEST).read_bytes()
    safe = archive.id("storagenode", "safe")
    row = archive.one("SELECT event_id, files FROM sync_node WHERE node_id = ?", safe)
    more = archive.files(20, "field", acq="more")
    archive.requests(more, "field", "safe")
    archive.synced()
    # As if that run had been killed after its last pull.
    (archive.root("safe") / MANIFEST).write_bytes(old)
    archive.do(
        "UPDATE sync_node SET event_id = ?, files = ?, manifest = ? WHERE node_id = ?",
        *(*row, manifest.token_in(old), safe),
    )
    archive.synced()
    assert listed(archive.root("safe")) == known(archive, "safe") and len(known(archive, "safe")) == 50
