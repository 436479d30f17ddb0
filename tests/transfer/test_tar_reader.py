"""Reading a tar stream in pieces: one of a tar that works, one that is cut, and one that lies."""

from __future__ import annotations

import io
import tarfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.transfer.tar_reader import BLOCK, UNUSED_MOST, Member, TarReader

Files = dict[bytes, bytes]

ELEMENTS = st.binary(min_size=1, max_size=120).map(
    lambda name: name.replace(b"\0", b"-").replace(b"/", b"\n")
)
PATHS = (
    st.lists(ELEMENTS, min_size=1, max_size=3)
    .map(b"/".join)
    .filter(lambda path: b"/../" not in b"/" + path + b"/")
)
FILES = st.dictionaries(PATHS, st.binary(max_size=1500), min_size=1, max_size=5)


def info(path: bytes, size: int = 0, kind: bytes = tarfile.REGTYPE, mtime: float = 1.5) -> tarfile.TarInfo:
    found = tarfile.TarInfo("./" + path.decode(errors="surrogateescape"))
    found.size, found.type, found.mtime = size, kind, mtime
    found.linkname = "target" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return found


def stream(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    into = io.BytesIO()
    with tarfile.open(
        fileobj=into, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return into.getvalue()


def stream_of(files: Files) -> bytes:
    return stream(*((info(path, len(data)), data) for path, data in files.items()))


def lengths(files: Files) -> dict[bytes, int]:
    return {path: len(data) for path, data in files.items()}


def read(reader: TarReader, data: bytes, piece: int = 2**16) -> list[Member]:
    return [found for at in range(0, len(data), piece) for found in reader.feed(data[at : at + piece])]


def contents(members: list[Member]) -> list[tuple[bytes, bytes]]:
    return [(member.path, member.data) for member in members]


@given(FILES, st.integers(1, 3000))
def test_every_file_is_read_in_pieces_of_any_length(files: Files, piece: int) -> None:
    reader = TarReader(lengths(files))
    assert contents(read(reader, stream_of(files), piece)) == list(files.items())
    assert reader.ended and not reader.broken


@given(FILES, st.data())
def test_a_stream_that_is_cut_brings_the_complete_files_only(files: Files, data: st.DataObject) -> None:
    whole = stream_of(files)
    cut = data.draw(st.integers(0, len(whole)))
    reader = TarReader(lengths(files))
    found = contents(read(reader, whole[:cut], 700))
    assert found == list(files.items())[: len(found)]
    assert not reader.broken
    assert len(found) == len(files) or not reader.ended


@given(FILES, st.data())
def test_a_stream_with_wrong_bytes_brings_nothing_that_was_not_asked_for(
    files: Files, data: st.DataObject
) -> None:
    wrong = bytearray(stream_of(files))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(wrong) - 1))
        wrong[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for member in read(TarReader(lengths(files)), bytes(wrong), 700):
        assert len(member.data) == len(files[member.path])


@given(st.binary(max_size=5000))
def test_anything_else_is_broken_or_incomplete(data: bytes) -> None:
    reader = TarReader({b"acq/f": 1})
    assert read(reader, data) == []


@pytest.mark.parametrize("piece", [1, 512, 10_000])
def test_members_of_other_kinds_names_and_lengths_are_skipped(piece: int) -> None:
    good = (info(b"acq/good", 3), b"abc")
    sparse = info(b"acq/sparse", 4)
    sparse.pax_headers = {"GNU.sparse.major": "1"}
    absolute = info(b"", 1)
    absolute.name = "/acq/absolute"
    kinds = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
    others = [(info(b"acq/kind%d" % number, 0, kind), b"") for number, kind in enumerate(kinds)]
    members = [
        *others,
        (sparse, b"abcd"),
        (absolute, b"x"),
        (info(b"acq/longer", 6), b"abcdef"),
        (info(b"acq/shorter", 2), b"ab"),
        (info(b"acq/not-asked", 3), b"abc"),
        (info(b"../acq/good", 3), b"xyz"),
        good,
    ]
    wanted = {b"acq/good": 3, b"acq/sparse": 4, b"acq/absolute": 1, b"acq/longer": 5, b"acq/shorter": 3}
    wanted |= {b"acq/kind%d" % number: 0 for number in range(len(kinds))}
    reader = TarReader(wanted)
    assert contents(read(reader, stream(*members), piece)) == [(b"acq/good", b"abc")]
    assert reader.ended


@pytest.mark.parametrize(
    ("mtime", "nanoseconds"),
    [
        ("1350244992.023960108", 1350244992023960108),
        ("1350244992", 1350244992 * 10**9),
        ("0.1", 10**8),
        ("-1.25", -1_250_000_000),
        ("-0.5", -500_000_000),
    ],
)
def test_attributes_are_those_of_the_records(mtime: str, nanoseconds: int) -> None:
    one = info(b"acq/f", 1)
    one.mode, one.uname, one.gname = 0o4750, "alice", "users"
    one.pax_headers = {"mtime": mtime, "uid": "3000000", "gid": "4000000", "path": "./acq/f"}
    (found,) = read(TarReader({b"acq/f": 1}), stream((one, b"x")))
    assert found == (b"acq/f", b"x", 0o4750, 3000000, 4000000, b"alice", b"users", nanoseconds)


def test_attributes_without_records_are_those_of_the_header() -> None:
    one = info(b"d" * 90 + b"/" + b"f" * 90, 1, mtime=1234567890)
    one.mode, one.uid, one.gid = 0o600, 7, 8
    (found,) = read(TarReader({b"d" * 90 + b"/" + b"f" * 90: 1}), stream((one, b"x")))
    assert found[2:] == (0o600, 7, 8, b"", b"", 1234567890 * 10**9)


def test_a_member_that_is_not_asked_for_takes_no_memory_and_ends_some_time() -> None:
    piece = bytes(2**16)
    reader = TarReader({b"acq/f": 3, b"acq/g": 1})
    reader.feed(info(b"acq/f", 2**25).tobuf(tarfile.PAX_FORMAT))
    tracemalloc.start()
    try:
        for _ in range(2**25 // len(piece)):
            reader.feed(piece)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert contents(read(reader, stream((info(b"acq/g", 1), b"x")))) == [(b"acq/g", b"x")]


@pytest.mark.parametrize("size", [0, 512, 2**32])
def test_an_endless_stream_is_broken(size: int) -> None:
    head = info(b"acq/f", size).tobuf(tarfile.PAX_FORMAT)
    more = bytes(2**20) if size > BLOCK else (head + bytes(size)) * 1000
    reader = TarReader({b"acq/f": 3})
    reader.feed(head + bytes(size % 2**32))
    for _ in range(UNUSED_MOST // len(more)):
        assert not reader.broken
        reader.feed(more)
    reader.feed(more)
    assert reader.broken and not reader.ended and reader.feed(bytes(BLOCK)) == []


@pytest.mark.parametrize(
    "records",
    [
        b"",
        b"5",
        b"-5 a=b\n",
        b"0 a=b\n",
        b"99 a=b\n",
        b"6 a=b",
        b"5 ab\n",
        b"x a=b\n",
        b"12 size=-5\n\n",
        b"11 mtime=x\n",
    ],
)
def test_records_that_tar_does_not_write_break_the_stream(records: bytes) -> None:
    head = info(b"x", len(records), tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
    member = stream((info(b"acq/f", 1, mtime=1), b"x"))
    reader = TarReader({b"acq/f": 1})
    found = read(reader, head + records.ljust(-(-len(records) // BLOCK) * BLOCK, b"\0") + member)
    assert (reader.broken, len(found)) == ((False, 1) if records == b"" else (True, 0))
