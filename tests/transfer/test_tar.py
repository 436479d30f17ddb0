"""The command of a tar stream in real shells, with the installed programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.transfer import tar
from alpenhorn.transfer.address import name_list
from alpenhorn.transfer.tar_reader import TarReader
from tests.plan.facts import remote
from tests.transfer.test_look import NAMES, SHELLS

TARS = [program for program in ("tar", "bsdtar") if shutil.which(program)]
ROOTS = [
    "plain",
    "a b'c\"d$(touch x)`touch x`!e\\n\\0",
    "new\nline\n",
    "-rf é \udcff%s%%",
    "~",
    "{a,b}*?[x]#;&|<>",
]


def sent(
    root: str, paths: list[str], shell: str, base: Path, program: str = "tar"
) -> subprocess.CompletedProcess[bytes]:
    """What sshd does with a command: give it to the user's shell."""
    command = tar.command(("ssh",), remote()._replace(root=root))[-1]
    return subprocess.run(
        [shell, "-c", command.replace(" tar ", f" {program} ")],
        input=name_list(paths),
        capture_output=True,
        cwd=base,
        env={
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(base),
            "TAR_OPTIONS": "--no-such-option",
        },
    )


@pytest.mark.parametrize("program", TARS)
@pytest.mark.parametrize("shell", SHELLS)
def test_names_mean_nothing_to_any_shell_or_tar(tmp_path: Path, shell: str, program: str) -> None:
    paths = [*NAMES, "d" * 200 + "/" + "f" * 200, "deep/-er/x"]
    for number, path in enumerate(paths):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(bytes(number))
        os.utime(tmp_path / path, ns=(1, 10**18 + number))
    done = sent(str(tmp_path), [*paths, "gone"], shell, tmp_path, program)
    assert done.returncode != 0 and b"gone" in done.stderr
    reader = TarReader({os.fsencode(path): number for number, path in enumerate(paths)})
    found = {os.fsdecode(member.path): member for member in reader.feed(done.stdout)}
    assert reader.ended
    assert {path: member.mtime_ns for path, member in found.items()} == {
        path: 10**18 + number for number, path in enumerate(paths)
    }
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("root", ROOTS)
def test_roots_mean_nothing_to_any_shell(tmp_path: Path, shell: str, root: str) -> None:
    (tmp_path / root).mkdir()
    (tmp_path / root / "f").write_bytes(b"data")
    done = sent(f"{tmp_path}/{root}", ["f"], shell, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [member.data for member in TarReader({b"f": 4}).feed(done.stdout)] == [b"data"]
    assert [name for name in os.listdir(tmp_path) if name[0] != "."] == [root]  # fish creates .config


def test_without_its_root_nothing_is_sent(tmp_path: Path) -> None:
    done = sent(f"{tmp_path}/gone", ["f"], "sh", tmp_path)
    assert done.returncode not in (0, 255) and done.stdout == b""


def test_a_node_without_an_address_or_an_absolute_root_is_refused() -> None:
    for change in ({"address": None}, {"root": "relative"}, {"root": None}, {"root": "/\ud800"}):
        with pytest.raises(StorageError):
            tar.command(("ssh",), remote()._replace(**change))
