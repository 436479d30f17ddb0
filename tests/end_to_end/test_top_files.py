"""Files directly in a root, which a node may take in as an acquisition: `--top-acq`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive

pytestmark = pytest.mark.one_engine

ODD = ("with space", "-dash", "new\nline", "q'uote\"", "*?[x]", "観測 e\u0301", "x" * 255)


@pytest.fixture
def field(archive: Archive) -> Path:
    """A node that takes in files at the top of its root, on a host whose runs need not wait for them to settle."""
    root = archive.node("field", auto_import=1)
    archive.node("safe", archive=1)
    assert archive.run("node", "modify", "field", "--top-acq", "loose").status == 0
    return root


def sync(archive: Archive, *arguments: str, settle: int = 0, **options: object) -> tuple[int, str]:
    archive.configure(sync={"import_settle": settle})
    result = archive.sync(*arguments, **options)
    assert "Traceback" not in result.err
    return result.status, result.err


def in_index(archive: Archive) -> dict[str, int]:
    """The paths of the good copies, and the lengths of their files."""
    rows = archive.all(
        "SELECT a.name, f.name, f.size_b FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " JOIN archiveacq a ON a.id = f.acq_id WHERE c.has_file = 'Y'"
    )
    return {f"{acq}/{name}": size_b for acq, name, size_b in rows}


def test_files_at_the_top_are_moved_and_imported(archive: Archive, field: Path) -> None:
    for name in ODD:
        (field / name).write_bytes(name.encode())
    (field / "acq").mkdir()
    (field / "acq/inner").write_bytes(b"inner")
    (field / ".dot").write_bytes(b"dot")
    (field / "link").symlink_to("acq/inner")
    (field / "bad\udcff").write_bytes(b"bad")
    status, said = sync(archive)
    assert status == 0 and "\\udcff" in said and "not valid UTF-8" in said
    assert in_index(archive) == {"acq/inner": 5, **{f"loose/{name}": len(name.encode()) for name in ODD}}
    assert set(os.listdir(field)) - {".alpenhorn", ".alpenhorn.lock", "ALPENHORN_NODE"} == {
        "acq", "loose", ".dot", "link", "bad\udcff"
    }  # fmt: skip
    assert sorted(os.listdir(field / "loose")) == sorted(ODD)
    events = archive.events("imported")
    moved = "moved from the top of the root into acquisition loose, and registered"
    whys = [why for (why,) in archive.all("SELECT why FROM sync_event WHERE what = 'imported'")]
    assert whys.count(moved) == len(ODD)
    # They are ordinary files: other nodes get them at the same path.
    for file_id, _ in events:
        archive.request(file_id, "field", "safe")
    assert sync(archive)[0] == 0
    assert set(archive.tree("safe")) == {"acq/inner", *(f"loose/{name}" for name in ODD)}
    assert archive.violations() == []
    # What is left is listed.
    result = archive.run("reconcile", "--min-age", "0", "--dry-run", "--json", "--node", "field")
    (node,) = json.loads(result.out)["nodes"]
    assert {one["path"] for one in node["dark"]} == {".dot", "link", "bad\udcff"}


def test_without_the_setting_they_are_left(archive: Archive, field: Path) -> None:
    (field / "a").write_bytes(b"a")
    assert archive.run("node", "modify", "field", "--top-acq", "").status == 0
    _, said = sync(archive)
    assert "it is not in an acquisition directory" in said
    assert archive.tree("field") == {"a": b"a"} and in_index(archive) == {}
    # The setting counts although the directory has not changed since.
    assert archive.run("node", "modify", "field", "--top-acq", "2026/loose").status == 0
    assert sync(archive) == (0, "")
    assert in_index(archive) == {"2026/loose/a": 1} and archive.tree("field") == {"2026/loose/a": b"a"}
    shown = archive.run("node", "show", "field").out
    assert "Files at the top: moved into 2026/loose" in shown


def test_an_unsettled_or_locked_file_is_left(archive: Archive, field: Path) -> None:
    (field / "a").write_bytes(b"a")
    assert sync(archive, settle=3600)[0] == 0
    assert archive.tree("field") == {"a": b"a"}
    (field / ".a.lock").touch()
    assert sync(archive)[0] == 0
    assert set(archive.tree("field")) == {"a", ".a.lock"}
    (field / ".a.lock").unlink()
    assert sync(archive) == (0, "")
    assert archive.tree("field") == {"loose/a": b"a"}


def test_nothing_is_replaced(archive: Archive, field: Path) -> None:
    """A file with another content is at the target, on the disk or in the index; or the directory cannot be made."""
    (field / "loose").mkdir()
    for name, top, there in (("known", b"new", b"old"), ("unknown", b"top", b"two")):
        (field / name).write_bytes(top)
        (field / "loose" / name).write_bytes(there)
    archive.file("loose/elsewhere", b"one", "safe")
    (field / "elsewhere").write_bytes(b"two")
    (field / "longer").write_bytes(b"longer")
    archive.file("loose/longer", b"one", "safe")
    archive.file("loose/known", b"old", "field")
    (field / "loose/known").write_bytes(b"old")
    (field / "loose/directory").mkdir()
    (field / "directory").write_bytes(b"file")
    before = archive.tree("field")
    status, said = sync(archive)
    assert status == 1 and archive.tree("field") == before
    for _ in range(2):
        said += sync(archive)[1]
        assert archive.tree("field") == before
    for name in ("known", "unknown", "elsewhere", "longer", "directory"):
        assert f"it cannot be moved: loose/{name} is taken by another file" in said, name
    assert in_index(archive)["loose/unknown"] == 3
    assert archive.violations() == []


def test_the_same_content_is_taken_in(archive: Archive, field: Path) -> None:
    archive.file("loose/a", b"content", "safe")
    (field / "a").write_bytes(b"content")
    assert sync(archive) == (0, "")
    assert archive.tree("field") == {"loose/a": b"content"}
    assert archive.one("SELECT COUNT(*) FROM archivefilecopy WHERE has_file = 'Y'") == 2


def test_a_file_named_as_the_acquisition_and_a_directory_elsewhere(archive: Archive, field: Path) -> None:
    (field / "loose").write_bytes(b"file")
    (field / "other").write_bytes(b"other")
    status, said = sync(archive)
    assert status == 1 and "its name is that of the directory loose" in said
    assert archive.tree("field") == {"loose": b"file", "other": b"other"}
    (field / "loose").unlink()
    outside = archive.base / "outside"
    outside.mkdir()
    (field / "loose").symlink_to(outside)
    status, said = sync(archive)
    assert status == 1 and "symbolic link" in said
    assert list(outside.iterdir()) == [] and (field / "other").is_file()
    (field / "loose").unlink()
    (field / "loose").mkdir()
    (field / "loose/ALPENHORN_NODE").write_text("another\n")
    status, said = sync(archive)
    assert status == 1 and "is the root of another node" in said
    assert (field / "other").is_file() and os.listdir(field / "loose") == ["ALPENHORN_NODE"]


def test_a_requested_file_is_moved_too(archive: Archive, field: Path) -> None:
    archive.do("UPDATE storagenode SET auto_import = 0")
    for name in ("a", "b", "c"):
        (field / name).write_bytes(name.encode())
    assert archive.run("file", "import", "a", "field", "--register-new").status == 0
    assert sync(archive) == (0, "")
    assert set(archive.tree("field")) == {"loose/a", "b", "c"}
    # A run that was killed has moved it already.
    assert archive.run("file", "import", "b", "field", "--register-new").status == 0
    (field / "b").rename(field / "loose/b")
    assert sync(archive) == (0, "")
    assert set(in_index(archive)) == {"loose/a", "loose/b"}


def test_a_run_that_is_killed_while_it_moves_is_finished_by_the_next(archive: Archive, field: Path) -> None:
    """Killed before a file is renamed, and after that before it is recorded."""
    (field / "loose").mkdir()
    conf = archive.configure(sync={"import_settle": 0})
    for number, call in enumerate(("renameat2", "fsync")):
        if number:  # then the patterns of the configuration do not match the new path
            conf.write_text(conf.read_text() + "[[import.pattern]]\npath = '(?P<acq>never)/.*'\n")
        name = f"loose/{number}"
        (field / str(number)).write_bytes(b"content")
        said = archive.base / "strace.said"
        prefix = ["strace", "-f", "-qq", "-o", str(said), f"--trace-path={field / 'loose'}"]
        prefix += ["-e", f"inject={call}:signal=KILL"]
        result = archive.start("sync", "--jobs", "1", prefix=prefix).result()
        assert "its worker ended with signal 9" in result.err and "killed by SIGKILL" in said.read_text()
        assert (name in archive.tree("field")) == (call == "fsync")
        assert list(archive.tree("field").values()) == [b"content"] * (number + 1)
        assert name not in in_index(archive)
        result = archive.sync()
        assert result.status == 0, result
        assert archive.tree("field")[name] == b"content" and len(archive.tree("field")) == number + 1
        assert in_index(archive)[name] == 7
