from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpenhorn.fs import manifest
from alpenhorn.model.manifests import ManifestFile

TOKEN = "0123456789abcdef" * 2
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"


def made(*files: ManifestFile, lines: tuple[str, ...] = ()) -> bytes:
    parts = [manifest.heading(TOKEN, lines), *map(manifest.entry, files)]
    return b"".join([*parts, manifest.end(len(files), sum(file.size_b for file in files))])


def read(data: bytes) -> list[manifest.ManifestEntry]:
    return list(manifest.entries(io.BytesIO(data)))


NAMES = [
    b"acq/plain",
    b"acq/-dash",
    b"-acq/--check",
    b"acq/#hash",
    b"# size 5/x",
    b" acq/ blank ",
    b"acq/two  blanks *star",
    b"acq/new\nline",
    b"acq/\\n",
    b"acq/back\\",
    b"\\acq/x",
    b"acq/car\rriage",
    b"acq/end\r",
    b"acq/\xff\xfe not UTF-8",
    "acq/ü".encode(),
    b"acq/tab\tx",
    b"acq/" + EMPTY.encode(),
]


@pytest.mark.parametrize("name", NAMES)
def test_md5sum_finds_the_file_of_any_name(tmp_path: Path, name: bytes) -> None:
    at = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(os.path.dirname(at))
    with open(at, "wb"):
        pass
    file = ManifestFile(os.fsdecode(name), 0, EMPTY, 1)
    (tmp_path / "m").write_bytes(made(file, lines=("a heading",)))

    def check() -> int:
        return subprocess.run(["md5sum", "--strict", "--quiet", "-c", "m"], cwd=tmp_path).returncode

    assert check() == 0
    with open(at, "wb") as opened:
        opened.write(b"x")
    assert check() == 1


def test_its_lines_are_those_that_md5sum_writes(tmp_path: Path) -> None:
    names = [name for name in NAMES if b"/" in name and not name.startswith(b"-")]
    for name in names:
        at = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with open(at, "wb"):
            pass
    told = subprocess.run(["md5sum", "--", *names], cwd=tmp_path, capture_output=True, check=True).stdout
    lines = [
        manifest.entry(ManifestFile(os.fsdecode(name), 0, EMPTY, 1)).split(b"\n", 1)[1] for name in names
    ]
    assert told == b"".join(lines)


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name), max_size=5))
def test_whatever_is_written_is_read_again(names: list[bytes]) -> None:
    files = [ManifestFile(os.fsdecode(name), number, EMPTY, 1) for number, name in enumerate(names)]
    data = made(*files)
    found = read(data)
    assert [(one.key, one.path, one.size_b, one.md5sum) for one in found] == [
        (manifest.key(file.path), os.fsencode(file.path), file.size_b, file.md5sum) for file in files
    ]
    assert manifest.heading(TOKEN, ()) + b"".join(one.lines for one in found) == data.rsplit(b"# end", 1)[0]
    assert len({manifest.key(file.path) for file in files}) == len(set(names))


def test_the_length_of_the_acquisition_is_recorded_in_bytes() -> None:
    for acq in ("plain", "two/parts", "ü\n", "\\"):
        (found,) = read(made(ManifestFile(f"{acq}/name", 0, EMPTY, len(acq))))
        assert found.path[: found.acq_b] == os.fsencode(acq) and found.path[found.acq_b :] == b"/name"


def test_manifest_of_version_1_is_read_without_acquisition_lengths() -> None:
    data = made(ManifestFile("a/b", 3, EMPTY, 1)).replace(b"manifest 2", b"manifest 1")
    (found,) = read(data.replace(b"# size 3 1", b"# size 3"))
    assert (found.path, found.size_b, found.md5sum, found.acq_b) == (b"a/b", 3, EMPTY, None)
    assert manifest.token_in(data[:128]) == TOKEN


def test_an_upper_case_sum_becomes_lower_case() -> None:
    assert read(made(ManifestFile("a/b", 0, EMPTY.upper(), 1))) == read(
        made(ManifestFile("a/b", 0, EMPTY, 1))
    )


@pytest.mark.parametrize("line", ["one\nd41d8cd98f00b204e9800998ecf8427e  x", "a\rb", "\u2028", "\x85", ""])
def test_no_heading_can_be_taken_for_an_entry(line: str) -> None:
    data = made(lines=(line,))
    assert data.count(b"\n") == 3 and read(data) == []
    assert all(part.startswith(b"#") for part in data.splitlines())


def test_the_token_is_that_of_the_first_line() -> None:
    assert manifest.token_in(made()[:128]) == TOKEN
    for other in (
        b"",
        b"# alpenhorn manifest 3 " + TOKEN.encode() + b"\n",
        EMPTY.encode() + b"  x\n",
        made()[1:],
    ):
        assert manifest.token_in(other) == manifest.UNREADABLE


def test_every_way_to_cut_it_off_is_noticed() -> None:
    data = made(ManifestFile("a/b", 3, EMPTY, 1), ManifestFile("a/c", 4, EMPTY, 1), lines=("x", "y"))
    assert len(read(data)) == 2
    for length in range(len(data)):
        with pytest.raises(ValueError):
            read(data[:length])
    with pytest.raises(ValueError):
        read(data + b"# more\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"# size 3 1\n", b""),
        (b"# size 3 1\n", b"# size 4 1\n"),
        (b"# size 3 1\n", b"# size x 1\n"),
        (b"# size 3 1\n", b"# size 3\n"),
        (b"manifest 2", b"manifest 1"),
        (b"  a/b", b" a/b"),
        (EMPTY.encode(), b"D" + EMPTY.encode()[1:]),
        (b"# end 1", b"# end 2"),
        (b"# x\n", b"x\n"),
    ],
)
def test_a_change_is_noticed(old: bytes, new: bytes) -> None:
    data = made(ManifestFile("a/b", 3, EMPTY, 1), lines=("x",))
    assert old in data
    with pytest.raises(ValueError):
        read(data.replace(old, new, 1))


def test_a_file_of_one_endless_line_takes_no_memory() -> None:
    with pytest.raises(ValueError):
        read(manifest.heading(TOKEN, ()) + b"# size 1 1\n" + b"x" * 2**20)
