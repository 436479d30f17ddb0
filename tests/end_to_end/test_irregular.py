"""Situation 11: an object that is not a regular file is at the path of a copy."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from tests.fixtures.archive import Archive

KINDS = ("link", "dangling", "socket", "fifo", "device", "directory", "full")


def plant(kind: str, path: Path, outside: Path) -> None:
    if kind == "link":
        path.symlink_to(outside)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            os.chdir(path.parent)  # its whole path may be too long for a socket's name
            one.bind(path.name)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(240, 99))  # no driver has that one
    else:
        path.mkdir()
        if kind == "full":
            (path / "precious").write_bytes(b"found")


def planted(archive: Archive, once_good: bool) -> dict[str, int]:
    """Register a file for each kind, with a good copy on `field` and an object of that kind at its path on `safe`."""
    archive.node("field")
    safe = archive.node("safe", archive=1)
    outside = archive.base / "outside"
    outside.write_bytes(b"link")
    here = Path.cwd()
    ids = {}
    try:
        for kind in KINDS:
            on = ("field", "safe") if once_good else ("field",)
            ids[kind] = archive.file(f"acq/{kind}", kind.encode(), *on)
            path = safe / "acq" / kind
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            plant(kind, path, outside)
    finally:
        os.chdir(here)
    return ids


def test_situation_11_an_object_that_is_not_a_file_is_corrupt_and_repaired(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    ids = planted(archive, once_good=True)
    archive.do(
        "UPDATE archivefilecopy SET has_file = 'M' WHERE node_id = ?", archive.id("storagenode", "safe")
    )
    for file_id in ids.values():
        archive.once_good(file_id, "safe")
    result = archive.sync()
    assert result.status == 1 and "not a regular file" in result.err
    assert {archive.copy(file_id, "safe") for file_id in ids.values()} == {"XY"}
    assert archive.run("repair", "--force").status == 0
    result = archive.sync()
    assert result.status == 1 and "move it away" in result.err
    good = {kind for kind, file_id in ids.items() if archive.copy(file_id, "safe") == "YY"}
    assert good == set(KINDS) - {"full"}
    for kind in good:
        path = archive.root("safe") / "acq" / kind
        assert path.is_file() and not path.is_symlink() and path.read_bytes() == kind.encode()
    assert (archive.root("safe") / "acq/full/precious").read_bytes() == b"found"
    assert (archive.base / "outside").read_bytes() == b"link"
    # With the way cleared, the last one comes too.
    (archive.root("safe") / "acq/full").rename(archive.base / "full")
    archive.forget_attempts()
    archive.synced()
    assert archive.copy(ids["full"], "safe") == "YY"


def test_situation_11_an_object_that_was_never_a_good_copy_is_left(sqlite_archive: Archive) -> None:
    archive = sqlite_archive
    ids = planted(archive, once_good=False)
    archive.requests(ids.values(), "field", "safe")
    before = archive.everything("safe")
    for _ in range(2):
        archive.forget_attempts()
        assert "something else is at its path" in archive.sync().err
    assert {archive.copy(file_id, "safe") for file_id in ids.values()} == {"XY"}
    below = str(archive.root("safe") / "acq/")
    kept = {path: one for path, one in before.items() if path.startswith(below)}
    assert len(kept) > len(KINDS)
    assert {path: one for path, one in archive.everything("safe").items() if path.startswith(below)} == kept
    why = archive.run("plan").out
    assert "something else is at its path on safe" in " ".join(why.split())
