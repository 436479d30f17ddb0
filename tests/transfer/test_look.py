"""Looking at files on another host: the command in real shells, its input and its answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from alpenhorn.errors import StorageError
from alpenhorn.transfer import look
from tests.plan.facts import remote

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "fish", "csh") if shutil.which(shell)]

NAMES = [
    "plain",
    "with blank",
    " blank first",
    "-rf",
    "--help",
    "new\nline",
    "line end\n",
    "q'uo\"te",
    "$(touch executed)`touch executed`;touch executed",
    "*?[a]{b}~#",
    "back\\slash\\0\\n",
    "!event",
    "%s%n%%",
    "\udcff\udcfe not UTF-8",
    "ü\U0001f600",
    "x: No such file or directory",
    "n" * 250,
]


def asked(
    base: Path, markers: list[str], paths: list[str], shell: str = "sh", command: str = look.COMMAND
) -> look.LookAnswer:
    """What sshd does with a command: give it to the user's shell."""
    done = subprocess.run(
        [shell, "-c", command],
        input=look.session_input(markers, paths),
        capture_output=True,
        cwd=base,
        check=True,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(base)},
    )
    assert done.stderr == b""
    return look.parse_output(done.stdout.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("shell", SHELLS)
def test_names_mean_nothing_to_any_shell_and_are_returned_unchanged(tmp_path: Path, shell: str) -> None:
    paths = [f"{tmp_path}/{name}" for name in NAMES]
    for number, path in enumerate(paths):
        Path(path).write_bytes(bytes(number))
    gone = [f"{path[:-1]}\n'" for path in paths]
    answer = asked(tmp_path, [], paths + gone, shell)
    assert {path: (found.is_file, found.size_b) for path, found in answer.found.items()} == {
        path: (True, number) for number, path in enumerate(paths)
    }
    assert answer.missing == set(gone)
    assert not (tmp_path / "executed").exists()


def test_device_inode_and_kind_of_each_are_returned(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    names = ["file", "link", "dangling", "fifo", "directory"]
    answer = asked(tmp_path, [], [f"{tmp_path}/{name}" for name in names])
    for name in names:
        status = (tmp_path / name).lstat()
        wanted = (status.st_mode, status.st_size, status.st_dev, status.st_ino)
        assert answer.found[f"{tmp_path}/{name}"] == wanted
    kinds = {name: answer.found[f"{tmp_path}/{name}"] for name in names}
    assert [name for name in names if kinds[name].is_file] == ["file"]
    assert [name for name in names if kinds[name].is_link] == ["link", "dangling"]
    assert [name for name in names if kinds[name].is_directory] == ["directory"]
    assert answer.missing == set()


def test_only_an_absent_file_is_reported_as_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    missing = {f"{tmp_path}/none", f"{tmp_path}/none/below", f"{tmp_path}/file/below"}
    unknown = {f"{tmp_path}/loop/below", f"{tmp_path}/{'n' * 256}"}
    answer = asked(tmp_path, [], sorted(missing | unknown))
    assert answer.missing == missing and answer.found == {}


def test_an_inaccessible_file_is_not_reported_as_missing(tmp_path: Path) -> None:
    """Without GNU stat, existing files give no answer."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "stat").write_text(
        "#!/bin/sh\necho 'stat: unrecognized option: printf' >&2\nexit 1\n"
    )
    (tmp_path / "bin" / "stat").chmod(0o755)
    command = f"PATH={tmp_path}/bin:$PATH; export PATH; {look.COMMAND}"
    answer = asked(tmp_path, [], [f"{tmp_path}/file", f"{tmp_path}/none"], command=command)
    assert (answer.found, answer.missing) == ({}, set())


def test_markers_are_read_before_and_after_the_files_however_many_there_are(tmp_path: Path) -> None:
    """xargs needs several calls; the marker disappears during one of them."""
    marker = tmp_path / "ALPENHORN_NODE"
    marker.write_bytes(b"node\nnotes\0" + bytes(range(256)) * 4)
    other = tmp_path / "other"
    other.write_text("other\n")
    paths = [f"{tmp_path}/{'n' * 200}{number}" for number in range(2000)]
    for path in paths:
        Path(path).write_bytes(b"")
    answer = asked(tmp_path, [str(marker), str(other)], paths)
    assert len(answer.found) == 2000 and answer.missing == set()
    for told in (answer.before, answer.after):
        assert told[str(marker)].startswith(b"node\nnotes") and len(told[str(marker)]) <= 256
        assert told[str(other)] == b"other\n"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "stat").write_text(f'#!/bin/sh\nrm -f {marker}\nexec {shutil.which("stat")} "$@"\n')
    (tmp_path / "bin" / "stat").chmod(0o755)
    command = f"PATH={tmp_path}/bin:$PATH; export PATH; {look.COMMAND}"
    for some in (paths, paths[:1]):
        marker.write_text("node\n")
        answer = asked(tmp_path, [str(marker), str(other)], some, command=command)
        assert len(answer.found) == len(some)
        assert answer.before[str(marker)] == b"node\n"
        assert str(marker) not in answer.after and answer.after[str(other)] == b"other\n"


def test_a_marker_that_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("node\n")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    markers = [f"{tmp_path}/{name}" for name in ("none", "link", "fifo", "directory")]
    answer = asked(tmp_path, markers, [])
    assert (answer.before, answer.after) == ({}, {})


def test_text_printed_by_a_login_shell_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("node\n")
    path = f"{tmp_path}/file"
    plain = asked(tmp_path, [path], [path])
    for noise in ("Welcome to there", "x/lost", f"b{path}", f"a{path}"):
        assert asked(tmp_path, [path], [path], command=f"printf '%s' '{noise}'; {look.COMMAND}") == plain


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x/before\0",
        "\0x/cut",
        "\0s81a4 5 6 7 /cut",
        "\0s81a4 5 6 7 relative\0",
        "\0s81a4 5 6 /three\0",
        "\0szz 5 6 7 /f\0",
        "\0s81a4 -5 6 7 /f\0",
        "\0s81a4 \u0665 6 7 /f\0",
        "\0b/marker\0",
        "This account is currently not available.\n",
    ],
)
def test_an_invalid_answer_gives_no_information(text: str) -> None:
    assert look.parse_output(text) == look.LookAnswer({}, {}, {}, frozenset())


def test_the_command_is_one_argument_that_holds_nothing_of_the_index() -> None:
    node = remote(root="/srv/$(x)", name="$(x)", username="alice", address="store1")
    argv = look.command(("ssh", "-F", "x"), node)
    assert argv[-5:] == ("-l", "alice", "--", "store1", look.COMMAND)
    assert argv[:4] == ("ssh", "-oBatchMode=yes", "-F", "x")
    assert look.command(("ssh",), node._replace(address="fe80::1%eth0"))[-2] == "fe80::1%eth0"


def test_the_command_can_be_passed_on_by_any_shell() -> None:
    assert look.COMMAND.count("'") == 2 and not set("!\n") & set(look.COMMAND)


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "a b", "$(x)", None])
def test_an_address_that_could_mean_something_else_is_refused(address: str | None) -> None:
    with pytest.raises(StorageError):
        look.command(("ssh",), remote(address=address))


def test_the_time_grows_with_the_number_of_files() -> None:
    assert 30 <= look.seconds(1) < look.seconds(1000) < 120
