from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from alpenhorn import __version__
from alpenhorn.cli.commands import COMMANDS
from alpenhorn.cli.main import cli

ALPENHORN = [sys.executable, "-m", "alpenhorn"]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ALPENHORN, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONUTF8": "1", **environ},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups included."""
    if path:
        yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*path, name))


def leaves() -> list[str]:
    return [name for name, command in walk(cli, ()) if not isinstance(command, click.Group)]


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"alpenhorn {__version__}\n", "")


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_help_and_version_import_nothing_but_click(flag: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "alpenhorn", flag], capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    ours = {name for name in imported if name.startswith("alpenhorn.")}
    assert ours == {
        "alpenhorn.cli",
        "alpenhorn.cli.app",
        "alpenhorn.cli.commands",
        "alpenhorn.cli.lazy",
        "alpenhorn.outside",
        "alpenhorn.cli.main",
        "alpenhorn.errors",
        "alpenhorn.reasons",
    }
    plain = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import click"], capture_output=True, text=True
    )
    known = {line.rpartition("|")[2].strip() for line in plain.stderr.splitlines()}
    # What click itself imports while it prints help is no concern of ours.
    heavy = {
        "peewee",
        "psutil",
        "rich",
        "tabulate",
        "wcwidth",
        "MySQLdb",
        "multiprocessing",
        "subprocess",
        "dataclasses",
        "tomllib",
        "logging",
    }
    assert not heavy & (imported - known)


@pytest.mark.parametrize("name", ["", "node create", *(name for name in COMMANDS if " " not in name)])
def test_help_works_with_a_broken_configuration(name: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[sync")
    done = run(*name.split(), "-h", ALPENHORN_CONFIG_FILE=str(broken))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: alpenhorn {name}".rstrip())


def test_every_command_has_help_and_every_leaf_an_example() -> None:
    for name, command in walk(cli, ()):
        assert command.help, f"{name} has no help"
        if not isinstance(command, click.Group):
            text = f"{command.help}\n{command.epilog or ''}"
            assert re.search(rf"^ *alpenhorn {name}\b", text, re.MULTILINE), (
                f"{name} has no example in its help"
            )
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    assert parameter.help, f"{name} {parameter.opts[-1]} has no help"


def test_a_short_option_is_the_same_option_in_every_command() -> None:
    meanings: dict[str, set[str]] = {}
    for _, command in [("", cli), *walk(cli, ())]:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                short, long = ([o for o in parameter.opts if o.startswith("--") is x] for x in (False, True))
                for letter in short:
                    meanings.setdefault(letter, set()).add(long[0])
    assert {letter: found for letter, found in meanings.items() if len(found) != 1} == {}
    assert meanings["-n"] == {"--dry-run"}


def test_a_command_that_can_show_what_it_would_do_has_the_dry_run() -> None:
    for name, command in walk(cli, ()):
        for parameter in command.params:
            if isinstance(parameter, click.Option) and "--check" in parameter.opts and name != "status":
                assert parameter.opts == ["-n", "--dry-run", "--check"], name


def test_wrong_usage_is_told_and_ends_with_2() -> None:
    for line in ("nonsense", "--nonsense", "node nonsense", "sync --jobs x", "plan --jobs 513"):
        done = run(*line.split())
        assert done.returncode == 2, done.stderr
        assert "Error: " in done.stderr
        assert "Traceback" not in done.stderr


def test_an_option_that_belongs_before_the_command_is_shown_there() -> None:
    for typed, right in {
        "sync -v": "alpenhorn -v sync",
        "node list -q": "alpenhorn -q node list",
        "plan --conf x": "alpenhorn --conf FILE plan",
    }.items():
        result = run(*typed.split())
        assert result.returncode == 2 and result.stderr.endswith(f"It is given before the command: {right}\n")
    assert "before the command" not in run("sync", "--no-such").stderr


def test_a_wrong_configuration_is_told_line_by_line_and_ends_with_3(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[sync]\njob = 1\n[log]\nlevel = 1\n")
    done = run("-c", str(wrong), "node", "list")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"Error: {wrong}: sync.job: unknown key; did you mean 'jobs'?",
        f"Error: {wrong}: log.level = 1: expected one of debug, info, warning, error, critical",
    ]


def test_an_index_that_cannot_be_used_ends_with_3(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/not/there.db", "mysql://nobody@127.0.0.1:1/none"):
        done = run("node", "list", ALPENHORN_DATABASE_URL=url)
        assert done.returncode == 3, done.stderr
        assert done.stderr.startswith("Error: ")
        assert "Traceback" not in done.stderr


def test_with_no_configuration_at_all_the_tool_works(tmp_path: Path) -> None:
    first = run("host", "create", "here", HOME=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert f"{tmp_path}/.local/share/alpenhorn/alpenhorn.db" in first.stderr
    second = run("host", "list", HOME=str(tmp_path))
    assert (second.returncode, second.stderr) == (0, "")
    assert "here" in second.stdout


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*ALPENHORN, "--help"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_output_that_cannot_be_written_is_told() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*ALPENHORN, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "Error: No space left on device (alpenhorn -vv prints a traceback)\n"


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    # Opening a FIFO without a writer waits until the signal comes; that the command has got there is seen
    # when opening its other end for writing succeeds.
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [*ALPENHORN, "-c", str(fifo), "node", "list"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with open(fifo, "w"):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert (out, err.strip()) == ("", "")


def test_completion_knows_the_commands() -> None:
    done = run(_ALPENHORN_COMPLETE="bash_complete", COMP_WORDS="alpenhorn s", COMP_CWORD="1")
    assert set(done.stdout.split()) == {"plain,status", "plain,sync"}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_no_harm(tmp_path: Path, closed: str) -> None:
    index = tmp_path / "index.db"
    environment = {**os.environ, "ALPENHORN_DATABASE_URL": f"sqlite:///{index}", "HOME": str(tmp_path)}
    for command in ("db init", "sync", "status", "db check"):
        argv = ["sh", "-c", f'exec "$0" -m alpenhorn {command} {closed}', sys.executable]
        assert subprocess.run(argv, env=environment, capture_output=True).returncode == 0
    assert index.read_bytes().startswith(b"SQLite format 3\0")
