from __future__ import annotations

import os
import shutil
from errno import ENOSPC
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.fs import manifest
from alpenhorn.io.base import DirectoryNode
from alpenhorn.model.manifests import (
    CompareFile,
    CompareJob,
    ManifestFile,
    ManifestJob,
    ManifestOutcome,
)
from alpenhorn.model.nodes import MANIFEST, MARKER, ProbeJob
from alpenhorn.workers.manifest import compare, write
from alpenhorn.workers.nodes import probe
from tests.io.nodes import Report, make, put

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
TOKENS = ["a" * 32, "b" * 32]


@pytest.fixture
def node(tmp_path: Path) -> DirectoryNode:
    return make(tmp_path / "root")


def job(
    node: DirectoryNode, *paths: str, token: str = TOKENS[0], anew: bool = True, **changes: object
) -> ManifestJob:
    files = tuple(ManifestFile(path, 1, MD5, 1) for path in paths)
    plain = ManifestJob(node.node, token, ("heading",), frozenset(), files, anew, first=True, last=True)
    return plain._replace(**changes)  # type: ignore[arg-type]


def written(node: DirectoryNode, wanted: ManifestJob, stage: str = "stage") -> ManifestOutcome:
    return write(wanted, node, stage, Report())


def paths(node: DirectoryNode) -> list[str]:
    with open(Path(node.root) / MANIFEST, "rb") as file:
        return [os.fsdecode(one.key) for one in manifest.entries(file)]


def token(node: DirectoryNode) -> str:
    return probe(ProbeJob(node.node), node).manifest


def left(node: DirectoryNode) -> list[str]:
    return sorted(os.listdir(Path(node.root) / ".alpenhorn"))


class Stopping(Report):
    def stopping(self) -> bool:
        return True


def test_a_written_manifest_is_complete_and_nothing_is_left_beside_it(node: DirectoryNode) -> None:
    assert token(node) == ""
    assert written(node, job(node, "a/1", "a/2")) == ManifestOutcome(2, 2)
    assert paths(node) == ["a/1", "a/2"] and token(node) == TOKENS[0]
    assert left(node) == ["manifest.md5"]
    assert b"# heading\n" in (Path(node.root) / MANIFEST).read_bytes()


def test_parts_are_joined_and_only_the_last_one_puts_the_manifest_into_place(node: DirectoryNode) -> None:
    written(node, job(node, "old/1"))
    first = written(node, job(node, "a/1", token=TOKENS[1], last=False))
    assert (first, paths(node)) == (ManifestOutcome(1, 1), ["old/1"])
    second = written(node, job(node, "a/2", first=False, last=False, before=(1, 1), heading=()))
    assert (second, paths(node)) == (ManifestOutcome(2, 2), ["old/1"])
    assert written(node, job(node, first=False, before=(2, 2), heading=())) == ManifestOutcome(2, 2)
    assert paths(node) == ["a/1", "a/2"] and token(node) == TOKENS[1] and left(node) == ["manifest.md5"]


def test_changes_remove_and_add_entries(node: DirectoryNode) -> None:
    written(node, job(node, "a/1", "a/new\nline", "a/3"))
    forget = frozenset({"a/new\nline", "a/3", "a/never"})
    outcome = written(node, job(node, "a/3", "a/4", token=TOKENS[1], anew=False, forget=forget))
    assert outcome == ManifestOutcome(3, 3, forgotten=2)
    assert paths(node) == ["a/1", "a/3", "a/4"] and token(node) == TOKENS[1]


@pytest.mark.parametrize("content", [None, b"", b"garbage\n", manifest.heading(TOKENS[0], ())])
def test_changes_of_a_missing_or_garbled_manifest_are_refused(
    node: DirectoryNode, content: bytes | None
) -> None:
    at = Path(node.root) / MANIFEST
    if content is not None:
        at.parent.mkdir()
        at.write_bytes(content)
    outcome = written(node, job(node, "a/1", anew=False))
    assert outcome.unusable and outcome.error
    assert (at.read_bytes() if at.exists() else None) == content
    assert left(node) == ([] if content is None else ["manifest.md5"])
    assert token(node) == {None: "", b"": "?", b"garbage\n": "?"}.get(content, TOKENS[0])


def test_leftovers_are_never_resumed(node: DirectoryNode) -> None:
    """The leftovers are of a killed run, under a name that was used again."""
    written(node, job(node, "a/1", last=False))
    outcome = written(node, job(node, "b/1"))
    assert outcome.error and not outcome.unusable
    assert not (Path(node.root) / MANIFEST).exists()
    node.tidy()
    assert written(node, job(node, "b/1")).error == "" and paths(node) == ["b/1"]


def test_a_full_disk_is_reported_as_such_and_the_old_manifest_stays(tmp_path: Path) -> None:
    """/dev/full replaces the file to be written."""
    node = make(tmp_path / "root")
    written(node, job(node, "a/1"))
    stage = Path(node.root) / ".alpenhorn/stage"
    stage.mkdir()
    (stage / "manifest.md5").symlink_to("/dev/full")
    outcome = written(node, job(node, "a/2", first=False, before=(1, 1)))
    assert outcome.error and outcome.errno  # a link is not written through
    assert paths(node) == ["a/1"] and left(node) == ["manifest.md5"]
    if os.geteuid():
        pytest.fail("this test makes a device: run it as root")
    stage.mkdir()
    os.mknod(stage / "manifest.md5", 0o600 | 0o020000, os.makedev(1, 7))
    outcome = written(node, job(node, "a/2", first=False, before=(1, 1)))
    assert outcome.errno == ENOSPC and paths(node) == ["a/1"] and left(node) == ["manifest.md5"]


def test_a_run_that_is_asked_to_stop_leaves_the_old_one(node: DirectoryNode) -> None:
    written(node, job(node, "a/1"))
    for anew in (True, False):
        assert write(job(node, "a/2", anew=anew), node, "stage", Stopping()).error
        assert paths(node) == ["a/1"] and left(node) == ["manifest.md5"]


def test_links_are_not_followed(node: DirectoryNode, tmp_path: Path) -> None:
    root, victim = Path(node.root), tmp_path / "victim"
    victim.mkdir()
    (root / ".alpenhorn").symlink_to(victim)
    with pytest.raises(StorageError):
        written(node, job(node, "a/1"))
    # Its identity cannot be read there either, so that the node is left out.
    assert "symbolic link" in probe(ProbeJob(node.node), node).error and os.listdir(victim) == []
    (root / ".alpenhorn").unlink()
    (root / ".alpenhorn").mkdir()
    (victim / "file").write_bytes(manifest.heading(TOKENS[0], ()) + manifest.end(0, 0))
    (root / MANIFEST).symlink_to(victim / "file")
    assert token(node) == "?"
    assert written(node, job(node, "a/1", anew=False)).unusable
    assert written(node, job(node, "a/1")).error == "" and not (root / MANIFEST).is_symlink()


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_an_invalid_manifest_is_distinguished_from_a_missing_one(node: DirectoryNode, kind: str) -> None:
    at = Path(node.root) / MANIFEST
    at.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(at)
    else:
        at.mkdir()
    assert token(node) == "?"
    node.tidy()
    assert written(node, job(node, "a/1")).error == "" and paths(node) == ["a/1"]


def test_nothing_is_written_onto_another_nodes_disk(node: DirectoryNode) -> None:
    (Path(node.root) / MARKER).write_text("other\n")
    with pytest.raises(StorageError):
        written(node, job(node, "a/1"))
    assert not (Path(node.root) / ".alpenhorn").exists()


# --- comparing -----------------------------------------------------------------------------------------


def compared(node: DirectoryNode, **sizes: int | None) -> dict[str, str]:
    """Return the reasons for differences by name; __ in a name stands for a slash."""
    files = [
        CompareFile(number, number, f"acq/{name.replace('__', '/')}", size)
        for number, (name, size) in enumerate(sizes.items())
    ]
    found = compare(CompareJob(node.node, tuple(files)), node, Report())
    return {one.file.path.removeprefix("acq/"): one.why for one in found}


def test_unchanged_files_are_not_reported(node: DirectoryNode) -> None:
    put(Path(node.root), "acq/f", b"four")
    put(Path(node.root), "acq/sub/f", b"four")
    assert compared(node, f=4, sub__f=4) == {}
    written(node, job(node))
    assert compared(node, f=4, sub__f=4) == {}


def test_every_difference_is_reported(node: DirectoryNode) -> None:
    root = Path(node.root)
    for name in ("same", "short", "unknown", "under/f"):
        put(root, f"acq/{name}", b"four")
    (root / "acq/link").symlink_to("same")
    (root / "acq/dir").mkdir()
    (root / "acq/by").symlink_to("under")
    (root / "acq/file").write_bytes(b"")
    found = compared(
        node, same=4, short=5, unknown=None, link=4, dir=4, none=4, by__f=4, file__f=4, under__none=4
    )
    assert "length is 4 bytes, the index says 5" in found.pop("short")
    assert "'by' is a symbolic link" in found.pop("by/f")
    assert found == {
        "link": "it is not a regular file",
        "dir": "it is not a regular file",
        "none": "it is missing",
        "file/f": "it is missing",
        "under/none": "it is missing",
    }


def test_a_file_written_to_after_the_manifest_is_reported_whatever_its_length(node: DirectoryNode) -> None:
    at = Path(node.root) / "acq/f"
    put(Path(node.root), "acq/f", b"four")
    written(node, job(node))
    at.write_bytes(b"FOUR")
    assert compared(node, f=4) == {"f": "it was modified after the manifest was written"}
    written(node, job(node))
    assert compared(node, f=4) == {}


def test_a_time_that_its_source_gave_it_and_a_link_to_it_are_no_changes(node: DirectoryNode) -> None:
    at = Path(node.root) / "acq/f"
    put(Path(node.root), "acq/f", b"four")
    future = 4_000_000_000 * 10**9
    os.utime(at, ns=(future, future))
    written(node, job(node))
    assert compared(node, f=4) == {}
    past = 1_000_000_000 * 10**9
    os.utime(at, ns=(past, past))
    os.link(at, at.with_name("other"))
    os.chmod(at, 0o400)
    assert compared(node, f=4) == {}


def test_a_whole_copy_that_keeps_times_is_no_change(node: DirectoryNode, tmp_path: Path) -> None:
    put(Path(node.root), "acq/f", b"four")
    written(node, job(node))
    shutil.copytree(node.root, tmp_path / "copy")
    assert compared(make(tmp_path / "copy"), f=4) == {}


def test_an_absent_node_gives_no_results(node: DirectoryNode) -> None:
    put(Path(node.root), "acq/f", b"four")
    (Path(node.root) / MARKER).unlink()
    with pytest.raises(StorageError):
        compared(node, f=4, none=4)


def test_a_node_that_disappears_meanwhile_gives_no_results(node: DirectoryNode) -> None:
    class Unmounting(Report):
        def begin(self, path: str) -> None:
            pass

        def fail(self) -> None:
            pass

        def progress(self, files: int, bytes: int) -> None:
            shutil.rmtree(node.root, ignore_errors=True)

    files = tuple(CompareFile(number, number, f"acq/{number}", 4) for number in range(3))
    with pytest.raises(StorageError):
        compare(CompareJob(node.node, files), node, Unmounting())


def test_nothing_is_read(node: DirectoryNode) -> None:
    """Reading would restore files from tape."""
    at = Path(node.root) / "acq/f"
    put(Path(node.root), "acq/f", b"four")
    os.utime(at, ns=(10**18, 10**18))
    before = at.stat().st_atime_ns
    assert compared(node, f=5) != {} and at.stat().st_atime_ns == before


def test_a_run_that_is_asked_to_stop_looks_at_no_more(node: DirectoryNode) -> None:
    files = (CompareFile(1, 1, "acq/none", 4),)
    assert compare(CompareJob(node.node, files), node, Stopping()) == ()
