"""Every command line in README.md is one that the program understands; the tour's are run, too (end_to_end)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from alpenhorn.cli.main import cli
from alpenhorn.config import KEYS
from tests.cli.test_main import README, walk

PROMPT = re.compile(r"^(?:[a-z]*\$ )?(?:\*\S+ \* \* \* \* (?:\S*/)?)?(?=alpenhorn )")


def block_lines(text: str) -> Iterator[str]:
    """The lines of all blocks, fenced or indented, those that go on in the next one joined."""
    fenced = False
    begun = ""
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            begun += line.strip()
            if begun.endswith("\\"):
                begun = begun[:-1]
                continue
            yield begun
            begun = ""


def command_lines() -> list[str]:
    lines = (line for line in block_lines(README.read_text()) if PROMPT.match(line))
    return list(dict.fromkeys(PROMPT.sub("", line) for line in lines))


def arguments(line: str) -> list[str]:
    """What the program gets of a line: without a comment, and what other programs get."""
    words = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(words) if word in ("|", ">", ";", "&&")]
    return words[1 : min(ends, default=None)]


def understood(words: list[str]) -> None:
    """Raises click.UsageError when the program would refuse these arguments unseen."""
    command: click.Command = cli
    context = command.make_context("alpenhorn", list(words))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


def test_there_are_command_lines() -> None:
    assert len(command_lines()) > 30
    assert any(line.startswith("alpenhorn node create") and "--archive" in line for line in command_lines())


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_of_the_readme_is_understood(line: str) -> None:
    try:
        understood(arguments(line))
    except click.exceptions.Exit:
        assert "--version" in line


@pytest.mark.parametrize(
    "line",
    [
        "alpenhorn nod list",
        "alpenhorn node list --hots x",
        "alpenhorn node create",
        "alpenhorn sync --jobs x",
    ],
)
def test_a_wrong_command_line_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        understood(arguments(line))


def spans() -> Iterator[tuple[str, list[str]]]:
    """Commands and options named within sentences and tables, such as `sync --accept-loss`."""
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", README.read_text()):
        words = span.removeprefix("alpenhorn ").split()
        options = [word.rstrip(",") for word in words if word.startswith("--")]
        if options and re.fullmatch(r"[a-z]+", words[0]):
            yield span, [word for word in words if re.fullmatch("[a-z]+", word)] + options


@pytest.mark.parametrize(("span", "words"), list(spans()))
def test_every_option_that_a_sentence_names_is_there(span: str, words: list[str]) -> None:
    """`clean --cancel` is one of several commands that end so; then one of them must have the option."""
    commands = [words[0] if i == 0 else f"{words[0]} {words[1]}" for i in range(min(2, len(words)))]
    options = [word for word in words if word.startswith("--")]
    found = [command for name, command in walk(cli, ()) if name in commands or name.split()[-1] == words[0]]
    known = {option for command in found for parameter in command.params for option in parameter.opts}
    assert not set(options) - known - {"--json", "--help"}, f"{span}: no such option"


def test_every_test_that_it_names_is_there() -> None:
    """A promise names the test that shows it."""
    named = set(re.findall(r"`((?:\w+/)?test_\w+\.py)`", README.read_text()))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (README.parent / "tests" / name).is_file()] == []


def test_every_configuration_key_has_a_line_in_the_table() -> None:
    section = README.read_text().partition("\n## Configuration\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", section, re.MULTILINE)
    known = [f"{section}.{key}" for section, keys in KEYS.items() for key in keys]
    # A pattern is a table of its own, shown with examples.
    assert sorted(told) == sorted(set(known) - {"import.pattern"})
