from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alpenhorn.fs.remembered import Memory, entry_of, fields, stamp, write
from alpenhorn.model.searches import Stamp

PATHS = ["", "acq", "acq/new\nline", "acq/\udcff", "acq/with blank", "ü", "-x", "a" * 255]
STAMPS = [Stamp(path, number, 10**18 + number, "a/b c/\udcfe") for number, path in enumerate(PATHS)]


def wrote(root: Path, stamps: list[Stamp], heading: str = "heading") -> Path:
    path = root / ".alpenhorn" / "searched"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        write(file.fileno(), heading, map(entry_of, stamps))
    return path


def read(root: Path) -> list[Stamp]:
    with Memory(str(root)) as memory:
        assert memory.is_intact()
        return [stamp(entry) for entry in memory.entries()]


def test_written_records_are_read(tmp_path: Path) -> None:
    wrote(tmp_path, STAMPS, "héading\udcff\n")
    assert read(tmp_path) == STAMPS
    with Memory(str(tmp_path)) as memory:
        assert memory.heading == "héading\udcff\n"
        assert [os.fsdecode(fields(entry)[2]) for entry in memory.entries()] == PATHS
    wrote(tmp_path, [])
    assert read(tmp_path) == []


def test_it_is_read_in_pieces_from_an_offset(tmp_path: Path) -> None:
    many = [Stamp(f"directory/{number:09}", number, number, "") for number in range(50_000)]
    many.insert(100, Stamp("wide", 1, 1, "/".join(f"{number:09}" for number in range(100_000))))
    wrote(tmp_path, many)
    with Memory(str(tmp_path)) as memory:
        found, offset, pieces = [], memory.start, 0
        while True:
            entries, offset = memory.read_some(offset)
            if not entries:
                break
            found += [stamp(entry) for entry in entries]
            pieces += 1
    assert found == many
    assert pieces > 5


@pytest.mark.parametrize(
    "content", [b"", b"x", b"alpenhorn searched 1\0", b"alpenhorn searched 2\0h\0", b"\0" * 99]
)
def test_other_content_is_ignored(tmp_path: Path, content: bytes) -> None:
    wrote(tmp_path, STAMPS).write_bytes(content)
    with pytest.raises(LookupError):
        Memory(str(tmp_path))


def test_a_missing_file_a_link_and_a_fifo_are_ignored(tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        Memory(str(tmp_path))
    path = wrote(tmp_path, STAMPS)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LookupError):
        Memory(str(tmp_path))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(LookupError):
        Memory(str(tmp_path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_byte_can_be_lost_or_changed_unseen(tmp_path: Path, data: st.DataObject) -> None:
    path = wrote(tmp_path, STAMPS)
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = data.draw(
        st.sampled_from(
            [
                content[:at],
                content[:at] + content[at + 1 :],
                content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :],
                content + b"0",
            ]
        )
    )
    path.write_bytes(damaged)
    try:
        with Memory(str(tmp_path)) as memory:
            assert not memory.is_intact()
    except LookupError:
        pass
