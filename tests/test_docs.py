"""The README and the manual agree with the program; tests in end_to_end run their tours."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from alpenhorn import errors
from alpenhorn.cli.main import cli
from alpenhorn.config import KEYS
from alpenhorn.listings import states
from tests.cli.test_main import leaves, walk
from tests.fixtures.manual import (
    DOCS,
    README,
    ROOT,
    anchors,
    block_lines,
    documents,
    links,
    page,
    prose,
    section,
)

PROMPT = re.compile(r"^(?:[a-z]*\$ )?(?:\*\S+ \* \* \* \* +(?:\S*/)?)?(?=alpenhorn )")
LARGEST = 8192  # bytes of the README


def command_lines() -> list[str]:
    lines = (line for path in documents() for line in block_lines(path.read_text()) if PROMPT.match(line))
    # A usage is no command line; what stands after two blanks in a help explains it.
    typed = (re.split("  +", PROMPT.sub("", line))[0] for line in lines if " [OPTIONS]" not in line)
    return list(dict.fromkeys(typed))


def arguments(line: str) -> list[str]:
    """Return the arguments of alpenhorn in a line, without comments and other programs."""
    words = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(words) if word in ("|", ">", "<", ";", "&&")]
    return words[1 : min(ends, default=None)]


def understood(words: list[str]) -> None:
    """Parse the arguments.  Raises click.UsageError if the program refuses them."""
    command: click.Command = cli
    context = command.make_context("alpenhorn", list(words))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


def test_there_are_command_lines() -> None:
    assert len(command_lines()) > 100
    assert any(line.startswith("alpenhorn node create") and "--archive" in line for line in command_lines())


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"--file-list (\S+)", line):
        Path(name).touch()
    try:
        understood(arguments(line.replace("~/", "/home/you/")))
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
    """Yield commands and options named in sentences and tables, such as `sync --accept-loss`."""
    for path in documents():
        for span in re.findall(r"`([^`\n]+)`", prose(path.read_text())):
            words = span.removeprefix("alpenhorn ").split()
            options = [word.rstrip(",") for word in words if word.startswith("--")]
            known = span.startswith("alpenhorn ") or any(name.split()[0] == words[0] for name in leaves())
            if re.fullmatch(r"[a-z]+", words[0]) and (options or known):
                yield span, [word for word in words if re.fullmatch("[a-z]+", word)] + options


@pytest.mark.parametrize(("span", "words"), list(spans()))
def test_every_command_and_option_that_a_sentence_names_exists(span: str, words: list[str]) -> None:
    """`clean --cancel` may refer to several commands; one of them must have the option."""
    commands = [" ".join(words[: i + 1]) for i in range(min(2, len(words)))]
    options = [word for word in words if word.startswith("--")]
    found = [command for name, command in walk(cli, ()) if name in commands or name.split()[-1] == words[0]]
    assert found, f"{span}: no such command"
    known = {option for command in found for parameter in command.params for option in parameter.opts}
    assert not set(options) - known - {"--json", "--help"}, f"{span}: no such option"


def test_the_readme_is_a_page() -> None:
    assert len(README.read_bytes()) <= LARGEST


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text()
    for link in links(text):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        # An installed page has no other files beside it than pages.
        assert path.parent != DOCS or target.parent == DOCS, link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_a_link_that_leads_nowhere_would_be_found() -> None:
    assert links("see [x](tour.md#there)\n```\n[y](z)\n```\n") == ["tour.md#there"]
    assert anchors("# The `alpenhorn` manual: how\n```\n# not this\n```\n") == {"the-alpenhorn-manual-how"}


def test_the_index_lists_every_page_and_the_readme_links_to_it() -> None:
    pages = {path.name for path in DOCS.glob("*.md")} - {"index.md"}
    assert set(links(page("index"))) == pages
    linked = {Path(link).name for link in links(README.read_text()) if link.startswith("alpenhorn/docs/")}
    assert linked == pages


def test_every_page_has_one_title_and_every_block_a_kind() -> None:
    for path in documents():
        text = path.read_text()
        assert text.startswith("# ") and len(re.findall(r"^# ", prose(text), re.MULTILINE)) == 1, path
        opening = re.findall(r"^```(.*)$", text, re.MULTILINE)[::2]
        # Code that is broken over two lines is not found by these tests.
        assert all(line.count("`") % 2 == 0 for line in prose(text).splitlines()), path
        assert set(opening) <= {"console", "sh", "text", "toml", "python", "json-shapes"}, path
        for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            ast.parse(block)


def test_the_page_of_commands_is_that_of_the_program() -> None:
    command = [sys.executable, str(ROOT / "bin" / "commands"), "--print"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout == page("commands"), "run bin/commands"
    listed = re.findall(r"^\| \[`([a-z ]+)`\]", section(page("commands"), "All commands"), re.MULTILINE)
    assert sorted(listed) == sorted(leaves())
    for name, command_ in walk(cli, ()):
        if not isinstance(command_, click.Group):
            text = section(page("commands"), name)
            options = {
                max(parameter.opts, key=len) for parameter in command_.params if parameter.opts[0][0] == "-"
            }
            assert all(option in text for option in options - {"--help"}), name


def test_every_exit_status_has_a_line() -> None:
    table = section(page("commands"), "Exit statuses")
    listed = {
        int(number)
        for row in re.findall(r"^\| ([0-9, ]+) \|", table, re.MULTILINE)
        for number in row.split(",")
    }
    terminated = errors.INTERRUPTED - 2 + 15  # 128 and the signal's number
    statuses = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert listed == statuses | {terminated}


def test_every_configuration_key_has_a_line() -> None:
    listed = re.findall(
        r"^\| `([a-z_]+\.[a-z0-9_]+)` \|", section(page("configuration"), "Keys"), re.MULTILINE
    )
    known = [f"{section}.{key}" for section, keys in KEYS.items() for key in keys]
    # A pattern is a table of its own, shown with examples.
    assert sorted(listed) == sorted(set(known) - {"import.pattern"})


def test_every_key_that_a_page_names_exists() -> None:
    known = {f"{section}.{key}" for section, keys in KEYS.items() for key in keys}
    named = {
        name
        for path in documents()
        for name in re.findall(rf"`((?:{'|'.join(KEYS)})\.[a-z0-9_]+)\b", prose(path.read_text()))
    }
    assert len(named) > 30 and named <= known


def test_the_states_of_a_copy_are_those_of_the_program() -> None:
    rows = re.findall(
        r"^\| (\w+) \| ([A-Z, ]*?) ?\| ([A-Z, ]*?) ?\|",
        section(page("concepts"), "States of a copy"),
        re.MULTILINE,
    )
    told = {
        (has, wants): word
        for word, all_has, all_wants in rows
        for has in all_has.split(", ")
        for wants in all_wants.split(", ")
    }
    real = {(has, wants): states.word(has, wants) for has in "YMXN" for wants in "YMN"}
    assert told == {**real, ("", ""): states.word(None, None)}


def test_the_glossary_explains_each_term_once() -> None:
    terms = re.findall(r"^\| ([a-z ]+) \|", section(page("concepts"), "Glossary"), re.MULTILINE)[1:]
    assert len(terms) > 35 and terms == sorted(set(terms))
    assert {"create", "delete", "request", "release", "pull", "rule"} <= set(terms)


def test_the_design_names_every_package_and_module() -> None:
    table = section(page("design"), "Packages and modules")
    named = {
        name
        for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
        for name in re.findall("`(.+?)`", row)
    }
    package = ROOT / "alpenhorn"
    real = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    real |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")} | {"docs/"}
    assert named == real


def test_every_file_of_the_source_that_a_page_names_exists() -> None:
    for path in DOCS.glob("*.md"):
        for name in re.findall(
            r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|toml)|bin/[a-z-]+|tests/[a-z/_]+)`", prose(path.read_text())
        ):
            assert any((ROOT / base / name).exists() for base in ("", "alpenhorn", "tests")), (
                path.name,
                name,
            )


def test_every_test_that_is_named_is_there() -> None:
    """Each guarantee names the test that shows it."""
    texts = "".join(path.read_text() for path in documents())
    named = set(re.findall(r"`((?:\w+/)?test_\w+\.py)`", texts))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (README.parent / "tests" / name).is_file()] == []
