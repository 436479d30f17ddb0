"""`alpenhorn help`: through a pipe and on a terminal."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import click
import pytest

from alpenhorn.cli.commands import COMMANDS
from alpenhorn.cli.help import topics
from alpenhorn.cli.main import cli
from tests.cli.test_main import ALPENHORN, run, walk
from tests.fixtures.archive import stand_in
from tests.fixtures.manual import DOCS, page

TOPICS = sorted(path.stem for path in DOCS.glob("*.md"))


def on_a_terminal(home: Path, *arguments: str, columns: int = 80, **environ: str) -> str:
    """What a terminal of that width gets."""
    near, far = pty.openpty()
    ioctl(far, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*ALPENHORN, *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            **environ,
        },
        stdin=far,
        stdout=far,
        stderr=far,
    )
    os.close(far)
    said = b""
    try:
        while piece := os.read(near, 65536):
            said += piece
    except OSError:  # the other end is closed
        pass
    os.close(near)
    assert process.wait() == 0, said
    return said.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_without_a_topic_every_page_is_listed() -> None:
    done = run("help")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(re.findall(r"^  ([a-z-]+)  ", done.stdout, re.MULTILINE)) == TOPICS
    assert "alpenhorn help TOPIC" in done.stdout and max(map(len, done.stdout.splitlines())) <= 80


def test_no_topic_hides_a_command() -> None:
    assert sorted(topics()) == TOPICS
    assert not set(TOPICS) & set(COMMANDS)


@pytest.mark.parametrize("topic", TOPICS)
def test_through_a_pipe_a_page_is_its_markdown(topic: str) -> None:
    done = run("help", topic)
    assert (done.returncode, done.stdout, done.stderr) == (0, page(topic), "")


@pytest.mark.parametrize("name", ["node clean", "sync", "node", "help"])
def test_a_command_path_shows_what_its_option_shows(name: str) -> None:
    done = run("help", *name.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run(*name.split(), "-h").stdout


def test_every_command_can_be_asked_for() -> None:
    # In one process, since there are sixty of them.
    from click.testing import CliRunner

    for name, command in walk(cli, ()):
        shown = CliRunner().invoke(cli, ["help", *name.split()], prog_name="alpenhorn")
        assert shown.exit_code == 0 and shown.output.startswith(f"Usage: alpenhorn {name}"), name
        assert isinstance(command, click.Command)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("storage", "'storage-classes'"),
        ("configration", "'configuration'"),
        ("nod", "'node'"),
        ("node claen", "'node clean'"),
        ("stauts", "'status'"),
        ("node clean more", "'node clean'"),
    ],
)
def test_a_wrong_topic_is_answered_with_the_nearest(words: str, near: str) -> None:
    done = run("help", *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    message = done.stderr.splitlines()[-1]
    assert (
        message.startswith(f"Error: no topic or command called '{words}'; did you mean ") and near in message
    )


def test_a_topic_that_is_near_nothing_is_just_refused() -> None:
    done = run("help", "zzzz")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: no topic or command called 'zzzz'; see: alpenhorn help"


def test_on_a_terminal_a_page_is_formatted_and_goes_through_the_pager(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "my-pager", "echo paged; cat; echo the end")
    for columns in (60, 80, 300):
        said = on_a_terminal(
            tmp_path, "help", "configuration", columns=columns, PAGER=str(tmp_path / "bin" / "my-pager")
        )
        lines = said.splitlines()
        assert lines[0] == "paged" and lines[-1] == "the end"
        assert "##" not in said and "](" not in said and "| ---" not in said
        assert "sync.archive_copy_count" in said and "…" not in said
        assert max(len(plain(line)) for line in lines) <= min(columns, 100)
    assert "alpenhorn help decisions" in " ".join(plain(said).split()), (
        "a link names the command that shows its page"
    )


def test_colours_reach_a_pager_that_shows_them_and_no_other(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "my-pager", "cat")
    assert "\x1b[" not in on_a_terminal(tmp_path, "help", "json", PAGER=str(tmp_path / "bin" / "my-pager"))
    stand_in(tmp_path / "bin", "less", "cat")
    assert "\x1b[1" in on_a_terminal(tmp_path, "help", "json", PAGER=str(tmp_path / "bin" / "less"))


def test_nothing_heavy_is_imported_where_no_terminal_is(tmp_path: Path) -> None:
    for arguments in ([], ["json"], ["help"]):
        command = [sys.executable, "-X", "importtime", "-m", "alpenhorn", "help", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "importlib.resources" in imported
        assert not {"rich", "peewee", "psutil", "tabulate"} & imported


@pytest.mark.parametrize(
    ("words", "current", "expected"),
    [
        ("alpenhorn help con", "2", {"concepts", "config", "configuration"}),
        ("alpenhorn help no", "2", {"node", "notify"}),
        ("alpenhorn help node cl", "3", {"clean"}),
        ("alpenhorn help json ", "3", set()),
    ],
)
def test_the_shell_completes_topics_and_commands(words: str, current: str, expected: set[str]) -> None:
    done = run(_ALPENHORN_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=current)
    assert {line.partition(",")[2] for line in done.stdout.split()} == expected
