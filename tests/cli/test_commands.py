"""The table of commands, the modules that it leads to, and the helps that are made of it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import alpenhorn.cli
from alpenhorn.cli.commands import COMMANDS, is_group
from alpenhorn.cli.main import cli
from tests.cli.test_main import walk

GROUPS = ["", *(path for path in COMMANDS if is_group(path))]


def help_of(path: str) -> str:
    done = CliRunner().invoke(cli, [*path.split(), "-h"], terminal_width=80, prog_name="alpenhorn")
    assert done.exit_code == 0, done.output
    return done.output


def listed(text: str) -> dict[str, str]:
    """The names and summaries in the help of a group."""
    return dict(re.findall(r"^  (\S+)  +(\S.*)$", text.partition("\nCommands:\n")[2], re.MULTILINE))


def test_each_path_of_the_table_is_a_command_and_each_command_is_in_the_table() -> None:
    assert sorted(name for name, _ in walk(cli, ())) == sorted(COMMANDS)


def test_each_module_in_the_directory_of_a_group_is_a_command() -> None:
    root = Path(alpenhorn.cli.__file__).parent
    for directory in (path for path in root.iterdir() if path.is_dir() and path.name != "__pycache__"):
        modules = {path.stem.rstrip("_") for path in directory.glob("*.py") if path.name != "__init__.py"}
        assert modules == {path.split()[1] for path in COMMANDS if path.startswith(f"{directory.name} ")}
        initial = ast.parse((directory / "__init__.py").read_text()).body
        assert len(initial) == 1 and isinstance(initial[0], ast.Expr), (
            "only a docstring, or each help is slower"
        )


def test_a_help_begins_with_the_summary_of_the_table_and_says_it_once() -> None:
    for path, command in walk(cli, ()):
        summary = COMMANDS[path]
        assert command.help is not None
        assert command.help.split("\n\n")[0] == summary == command.get_short_help_str(1000)
        assert re.fullmatch(r"[A-Z][^.]*\.", summary), path
        if command.callback is not None and not isinstance(command, click.Group):
            assert (inspect.getdoc(command.callback) or "").split("\n")[0] != summary, path


@pytest.mark.parametrize("path", GROUPS)
def test_no_summary_is_cut_or_broken_at_80_columns(path: str) -> None:
    text = help_of(path)
    prefix = f"{path} " if path else ""
    expected = {
        name.removeprefix(prefix): summary
        for name, summary in COMMANDS.items()
        if name.startswith(prefix) and " " not in name.removeprefix(prefix)
    }
    assert listed(text) == expected
    assert "..." not in text.partition("\nCommands:\n")[2]


@pytest.mark.parametrize("path", GROUPS)
def test_the_help_of_a_group_imports_no_command(path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "alpenhorn", *path.split(), "-h"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {name for name in imported if name.startswith("alpenhorn.cli.")} == {
        "alpenhorn.cli.app",
        "alpenhorn.cli.commands",
        "alpenhorn.cli.lazy",
        "alpenhorn.cli.main",
    }


def test_no_command_takes_check_with_force() -> None:
    found = []
    for path, command in walk(cli, ()):
        if {"check", "force"} <= {option.name for option in command.params}:
            found.append(path)
            for order in (("--check", "--force"), ("--force", "--dry-run")):
                done = CliRunner().invoke(cli, [*path.split(), *order])
                assert done.exit_code == 2, path
                assert "--check and --force cannot be used together" in done.output, path
    assert {"file modify", "node clean", "request prioritise"} <= set(found)
