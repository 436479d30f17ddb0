"""An index that is lost with all its backups is rebuilt from the disks."""

import hashlib
import os
import shutil

import pytest

from alpenhorn.coordinator.rebuild import read_disks
from alpenhorn.fs import manifest
from alpenhorn.index.tables import ALPENHORN_TABLES, SYNC_TABLES
from alpenhorn.model.manifests import ManifestFile
from alpenhorn.model.nodes import MANIFEST, MARKER

FILES = (
    "SELECT a.name, f.name, f.size_b, f.md5sum FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id"
    " ORDER BY a.name, f.name"
)
COPIES = (
    "SELECT n.name, n.root, h.name, g.name, a.name, f.name, c.has_file, c.wants_file FROM archivefilecopy c"
    " JOIN archivefile f ON f.id = c.file_id JOIN archiveacq a ON a.id = f.acq_id"
    " JOIN storagenode n ON n.id = c.node_id JOIN storagehost h ON h.id = n.host_id"
    " JOIN storagegroup g ON g.id = n.group_id WHERE c.has_file <> 'N' ORDER BY 1, 5, 6"
)


def lose(archive):
    """Remove the index and create an empty one."""
    for table in (*reversed(ALPENHORN_TABLES), *SYNC_TABLES):
        archive.do(f"DROP TABLE {table._meta.table_name}")
    assert archive.run("db", "init").status == 0


def rebuild(archive, *nodes, options=()):
    return archive.run("db", "rebuild", *(str(archive.root(node)) for node in nodes), *options)


@pytest.fixture
def two(archive):
    """Two nodes with manifests, with names of all kinds and an acquisition of two path elements."""
    archive.node("vault", archive=1)
    archive.node("other")
    for path in ("acq/plain", "acq/deep/er/name", "acq/new\nline", "back\\slash/x", "ü/ö"):
        archive.file(path, path.encode(), "vault", "other")
    only = archive.file("acq/only on vault", b"only", "vault")
    row = archive.insert("archiveacq", name="2026/log")
    content = b"of two elements"
    inner = archive.insert(
        "archivefile",
        acq_id=row,
        name="day.txt",
        size_b=len(content),
        md5sum=hashlib.md5(content).hexdigest(),
        registered="2026-01-02 03:04:05",
    )
    archive.put("vault", "2026/log/day.txt", content)
    archive.set_copy(inner, "vault", "YY")
    archive.set_copy(only, "other", "NN")
    archive.synced()
    return archive


def test_the_rebuilt_index_equals_the_lost_one(two):
    files, copies = two.all(FILES), two.all(COPIES)
    assert len(files) == 7 and len(copies) == 12
    lose(two)
    result = rebuild(two, "vault", "other")
    assert result.status == 0 and result.err == "", result
    assert "Filled the index: 7 files in 4 acquisitions, 12 suspect copies." in result.out
    assert two.all(FILES) == files
    assert two.all(COPIES) == [(*row[:-2], "M", "Y") for row in copies]
    two.synced()  # its disks are those that the index expects
    assert two.all(COPIES) == copies and two.violations() == []
    two.synced()
    assert two.one("SELECT COUNT(*) FROM sync_index WHERE name = 'restored'") == 0
    assert two.run("db", "check").status == 0


def test_damaged_files_are_not_recorded_as_good(two):
    (two.root("vault") / "acq/plain").write_bytes(b"ACQ/PLAIN")
    (two.root("other") / "acq/deep/er/name").unlink()
    lose(two)
    assert rebuild(two, "vault", "other").status == 0
    assert two.sync().status == 1
    states = {(row[0], row[5]): row[6] for row in two.all(COPIES)}
    assert states["vault", "plain"] == "X" and ("other", "deep/er/name") not in states
    assert states["other", "plain"] == states["vault", "deep/er/name"] == "Y"


def test_files_about_which_manifests_differ_are_left_out_and_listed(two):
    at = two.root("other") / MANIFEST
    digest = hashlib.md5(b"acq/plain").hexdigest().encode()
    at.write_bytes(at.read_bytes().replace(digest + b"  acq/plain", b"0" * 32 + b"  acq/plain"))
    lose(two)
    result = rebuild(two, "vault", "other")
    assert result.status == 1
    (line,) = [line for line in result.err.splitlines() if "manifests differ" in line]
    assert "acq/plain: manifests differ: vault: 9 bytes, MD5 sum " + digest.decode() in line
    assert "; other: 9 bytes, MD5 sum " + "0" * 32 in line
    assert ("acq", "plain") not in [row[:2] for row in two.all(FILES)]
    assert len(two.all(FILES)) == 6 and len(two.all(COPIES)) == 10
    assert two.one("SELECT COUNT(*) FROM archivefilecopy") == 10


@pytest.mark.parametrize("spoil", ["cut", "garbled", "none", "unmarked", "link"])
def test_a_disk_that_cannot_be_used_is_left_out_with_one_message(two, spoil):
    at = two.root("other") / MANIFEST
    if spoil == "cut":
        at.write_bytes(at.read_bytes()[:-20])
    elif spoil == "garbled":
        at.write_bytes(b"garbage\n" + at.read_bytes())
    elif spoil == "none":
        at.unlink()
    elif spoil == "unmarked":
        (two.root("other") / MARKER).unlink()
    else:
        shutil.copy(at, two.base / "elsewhere")
        at.unlink()
        at.symlink_to(two.base / "elsewhere")
    files = two.all(FILES)
    lose(two)
    result = rebuild(two, "other", "vault")
    assert result.status == 1 and result.err.count("\n") == 1 and str(two.root("other")) in result.err, result
    assert two.all(FILES) == files
    assert {row[0] for row in two.all(COPIES)} == {"vault"}
    lose(two)
    result = rebuild(two, "other")
    assert result.status == 1 and "none of these disks can be used" in result.err
    assert two.one("SELECT COUNT(*) FROM storagenode") == 0


def test_two_roots_of_one_node_are_refused(two):
    shutil.copytree(two.root("vault"), two.base / "clone")
    lose(two)
    result = rebuild(two, "vault", "clone", "other")
    assert result.status == 1 and "more than one root has its marker" in result.err
    assert {row[0] for row in two.all(COPIES)} == {"other"}


def test_an_index_that_has_files_is_not_touched(two):
    before = two.dump()
    result = rebuild(two, "vault")
    assert result.status == 1 and "not empty: has 7 files and 13 copies" in result.err, result
    assert two.dump() == before


def test_a_node_that_the_index_has_elsewhere_is_not_taken_over(two):
    lose(two)
    two.node("vault", host="there", made=False)
    before = two.dump()
    result = rebuild(two, "vault")
    assert result.status == 1 and "node vault: exists already, on host there" in result.err
    assert two.dump() == before


def test_a_manifest_of_version_1_gives_the_first_directory_unless_another_disk_or_a_pattern_differs(two):
    for node in ("vault", "other"):
        at = two.root(node) / MANIFEST
        lines = at.read_bytes().replace(b"manifest 2 ", b"manifest 1 ").splitlines(keepends=True)
        old = [line.rsplit(b" ", 1)[0] + b"\n" if line.startswith(b"# size") else line for line in lines]
        if node == "vault":
            at.write_bytes(b"".join(old))
    files = two.all(FILES)
    lose(two)
    assert rebuild(two, "vault").status == 0
    assert ("2026", "log/day.txt") in [row[:2] for row in two.all(FILES)]
    lose(two)
    two.do("DELETE FROM archivefilecopy")
    two.configure(**{"import": {}})
    conf = two.base / "here.toml"
    conf.write_text(conf.read_text() + "[[import.pattern]]\npath = '(?P<acq>2026/log|[^/]+)/(?s:.+)'\n")
    result = two.run("db", "rebuild", str(two.root("vault")), conf=conf)
    assert result.status == 0, result
    assert two.all(FILES) == files


def test_the_group_can_be_given(two):
    lose(two)
    result = rebuild(two, "vault", "other", options=("--group", "truck"))
    assert result.status == 1 and "can have one active node on a host" in result.err
    assert rebuild(two, "vault", options=("--group", "truck")).status == 0
    assert {row[3] for row in two.all(COPIES)} == {"truck"}


def test_a_name_that_is_not_utf_8_is_left_out_and_listed(sqlite_archive):
    archive = sqlite_archive
    archive.node("vault")
    archive.file("acq/plain", b"x", "vault")
    archive.synced()
    at = archive.root("vault") / MANIFEST
    at.write_bytes(at.read_bytes().replace(b"acq/plain", b"acq/p\xffain"))
    lose(archive)
    result = archive.run("db", "rebuild", os.fsdecode(archive.root("vault")))
    assert result.status == 1 and "is not valid UTF-8" in result.err
    assert archive.all(FILES) == []


@pytest.mark.one_engine
def test_the_manifests_are_read_in_pages_with_their_progress(two, tmp_path):
    roots = []
    for name, files in (("a", 12_000), ("b", 3), ("c", 0)):
        root = tmp_path / name
        (root / MANIFEST).parent.mkdir(parents=True)
        (root / MARKER).write_text(f"{name}\n")
        listed = [
            ManifestFile(path=f"acq/{number:05}", acq=3, size_b=1, md5sum="0" * 32) for number in range(files)
        ]
        (root / MANIFEST).write_bytes(
            manifest.heading("0" * 32, ())
            + b"".join(map(manifest.entry, listed))
            + manifest.end(files, files)
        )
        roots.append(str(root))
    (tmp_path / "c" / MANIFEST).write_bytes(b"damaged")
    seen = []
    disks, faults = read_disks(roots, lambda done, of: seen.append((done, of)))
    assert len(disks) == 2 and len(faults) == 1
    of = sum((tmp_path / name / MANIFEST).stat().st_size for name in "abc")
    assert len(seen) == 4 and {one for _, one in seen} == {of}
    assert seen == sorted(seen) and seen[0][0] < of / 2 and seen[-1][0] <= of
