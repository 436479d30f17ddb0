"""The identity file: written values are read back, and damaged ones are never trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.fs import identity
from alpenhorn.fs.placing import Stage
from alpenhorn.model.nodes import Identity

INDEX, MEDIUM, OTHER = "a" * 32, "b" * 32, "c" * 32
FIRST = Identity(INDEX, MEDIUM, 1, "1" * 16)
SECOND = Identity(INDEX, MEDIUM, 2, "2" * 16)
THIRD = Identity(INDEX, MEDIUM, 3, "3" * 16)


@pytest.fixture
def root(tmp_path: Path) -> str:
    create(str(tmp_path), FIRST)
    return str(tmp_path)


def create(root: str, one: Identity) -> None:
    with Stage(root, "stage") as aside:
        identity.create(aside, one)
        aside.clear()


def file(root: str) -> Path:
    return Path(root, identity.PATH)


def test_a_missing_file_gives_no_identity(tmp_path: Path) -> None:
    assert identity.read(str(tmp_path)) is None


def test_each_generation_is_read_back_and_the_file_keeps_its_length_and_inode(root: str) -> None:
    assert identity.read(root) == FIRST
    before = file(root).stat()
    for one in (SECOND, THIRD):
        identity.write(root, one)
        assert identity.read(root) == one
    after = file(root).stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert os.listdir(Path(root, ".alpenhorn")) == ["identity"]


@pytest.mark.parametrize("kept", [0, 1, 100, 180, 200, 511])
@pytest.mark.parametrize("older", [FIRST, SECOND])
def test_a_write_that_was_cut_off_leaves_the_generation_before(root: str, older: Identity, kept: int) -> None:
    if older is SECOND:
        identity.write(root, SECOND)
    before = file(root).read_bytes()
    identity.write(root, older._replace(generation=9, word="9" * 16))
    after = file(root).read_bytes()
    start = 0 if before[:512] != after[:512] else 512
    file(root).write_bytes(before[:start] + after[start : start + kept] + before[start + kept :])
    found = identity.read(root)
    # The padding behind the checksum says nothing: with all else written, the new one holds.
    whole = kept >= len(after[start : start + 512].rstrip())
    assert found == (older._replace(generation=9, word="9" * 16) if whole else older)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes"),
        (b"garbage", "7 bytes"),
        (b"\0" * 1024, "checksums"),
        (b" " * 1024, "checksums"),
        (b"x" * 5000, "1025 bytes"),
    ],
)
def test_a_damaged_file_is_refused_with_a_remedy(root: str, content: bytes, why: str) -> None:
    file(root).write_bytes(content)
    with pytest.raises(StorageError, match=f"(?s){why}.*delete it"):
        identity.read(root)
    with pytest.raises(StorageError):
        identity.write(root, SECOND)
    assert file(root).read_bytes() == content


def test_a_file_that_is_cut_short_is_damaged(root: str) -> None:
    file(root).write_bytes(file(root).read_bytes()[:600])
    with pytest.raises(StorageError, match="600 bytes"):
        identity.read(root)


def test_a_changed_letter_is_noticed(root: str) -> None:
    raw = file(root).read_bytes()
    file(root).write_bytes(raw.replace(b"generation=1", b"generation=7"))
    with pytest.raises(StorageError, match="checksums"):
        identity.read(root)


def test_a_file_mixed_from_two_media_is_refused(root: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = str(tmp_path_factory.mktemp("other"))
    create(other, FIRST._replace(medium=OTHER))
    file(root).write_bytes(file(root).read_bytes()[:512] + file(other).read_bytes()[:512])
    with pytest.raises(StorageError, match="different media"):
        identity.read(root)


def test_a_newer_version_is_named_and_left(root: str) -> None:
    raw = file(root).read_bytes().replace(b"alpenhorn identity 1 ", b"alpenhorn identity 2 ")
    file(root).write_bytes(raw + b"and more of it")
    with pytest.raises(StorageError, match=r"version 2.*install a newer alpenhorn"):
        identity.read(root)
    with pytest.raises(StorageError):
        identity.write(root, SECOND)
    assert file(root).read_bytes() == raw + b"and more of it"


@pytest.mark.parametrize("made", ["directory", "fifo", "link", "private link"])
def test_an_irregular_file_is_not_followed(root: str, tmp_path: Path, made: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(file(root).read_bytes())
    before = elsewhere.read_bytes()
    file(root).unlink()
    if made == "directory":
        file(root).mkdir()
    elif made == "fifo":
        os.mkfifo(file(root))
    elif made == "link":
        file(root).symlink_to(elsewhere)
    else:
        (tmp_path / "moved").mkdir()
        (tmp_path / "moved" / "identity").write_bytes(before)
        file(root).parent.rmdir()
        file(root).parent.symlink_to(tmp_path / "moved")
    with pytest.raises(StorageError, match="damaged"):
        identity.read(root)
    with pytest.raises((StorageError, OSError)):
        identity.write(root, SECOND)
    assert elsewhere.read_bytes() == before


def test_another_medium_that_was_mounted_meanwhile_is_not_written_to(root: str) -> None:
    raw = file(root).read_bytes()
    with pytest.raises(StorageError, match="another medium"):
        identity.write(root, SECOND._replace(medium=OTHER))
    with pytest.raises(StorageError, match="another medium"):
        identity.write(root, SECOND._replace(index_id=OTHER))
    assert file(root).read_bytes() == raw


def test_ids_and_words_are_random_and_fit() -> None:
    assert identity.new_id() != identity.new_id() and len(identity.new_id()) == 32
    assert identity.new_word() != identity.new_word() and len(identity.new_word()) == 16
