"""Man pages in section 1, one for the program and one for each command, built from the commands themselves.

The pages use the man(7) macros and contain only ASCII.  `python -m alpenhorn.packaging.manpages DIRECTORY` writes
them.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from alpenhorn import __version__
from alpenhorn.cli.lazy import subcommands
from alpenhorn.cli.main import cli
from alpenhorn.config import SYSTEM_FILE

COMMANDS = Path(__file__).parents[1] / "docs" / "commands.md"
FILES = {
    str(SYSTEM_FILE): "configuration of the host",
    "~/.config/alpenhorn/alpenhorn.toml": "configuration of the user, which overrides that of the host",
}
ESCAPES = {
    "\\": "\\e",
    "-": "\\-",  # a plain one is set as a hyphen, which no shell accepts as an option when it is pasted
    "'": "\\(aq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
}


def write_pages(directory: Path) -> None:
    """Write every page to `directory`, created if necessary, as NAME.1."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (directory / f"{name}.1").write_text(text, encoding="ascii")


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page: `alpenhorn`, `alpenhorn-sync`, `alpenhorn-node-create`."""
    yield from _pages(cli, click.Context(cli, info_name="alpenhorn", **cli.context_settings))


def _pages(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    below = subcommands(command, context)
    yield _name(context), "\n".join(_page(command, context, [one for _, one in below])) + "\n"
    for subcommand, subcontext in below:
        yield from _pages(subcommand, subcontext)


def _name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(command: click.Command, context: click.Context, below: list[click.Context]) -> Iterator[str]:
    name = _name(context)
    yield f'.TH "{escaped(name.upper())}" "1" "{_date()}" "alpenhorn {__version__}" "alpenhorn manual"'
    yield from (".nh", ".ad l")  # a hyphenated option cannot be copied, and justified lines have gaps
    yield ".SH NAME"
    yield f"{escaped(name)} \\- {escaped(_summary(command))}"
    yield ".SH SYNOPSIS"
    # The usage pieces of a group end in "COMMAND [ARGS]...".
    yield " ".join([_bold(context.command_path), *map(_placeholder, command.collect_usage_pieces(context))])

    description, examples = _parts(command)
    yield ".SH DESCRIPTION"
    yield from description
    yield from _definitions("COMMANDS", [(_bold(_last(one)), _summary(one.command)) for one in below])
    yield from _definitions("ARGUMENTS", _records(command, context, click.Argument))
    yield from _definitions("OPTIONS", _records(command, context, click.Option))
    if context.parent is None:
        yield from _definitions("EXIT STATUS", _table("Exit statuses"))
        yield from _definitions("FILES", [(_italic(path), text) for path, text in FILES.items()])
        yield from _definitions("ENVIRONMENT", _table("Environment"))
    if examples:
        yield ".SH EXAMPLES"
        yield from examples
    others = [context.parent] if context.parent else []
    related = [f"{_bold(_name(one))}(1)" for one in [*others, *below]]
    yield ".SH SEE ALSO"
    yield ",\n".join(related)


def _records(
    command: click.Command, context: click.Context, kind: type[click.Parameter]
) -> list[tuple[str, str]]:
    """The documented parameters of one kind, each with its explanation."""
    parameters = [one for one in command.get_params(context) if isinstance(one, kind)]
    records = [parameter.get_help_record(context) for parameter in parameters]
    return [(_option(record[0]), record[1]) for record in records if record and record[1]]


def _last(context: click.Context) -> str:
    return str(context.info_name)


def _date() -> str:
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=1000).rstrip(".")


def _definitions(title: str, entries: list[tuple[str, str]]) -> Iterator[str]:
    """A section of terms, which are roff already, and their explanations."""
    if entries:
        yield f".SH {title}"
    for term, text in entries:
        yield from (".TP", term, _prose(text))


def _table(title: str) -> list[tuple[str, str]]:
    """The rows of the table in a section of the manual's page on commands."""
    section = COMMANDS.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2]
    rows = re.findall(r"^\| (.+) \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)[2:]
    if not rows:
        raise ValueError(f"{COMMANDS}: no table below the heading {title!r}")
    links = re.compile(r"\[([^]]+)\]\([^)]+\)")
    return [(_bold(term.replace("`", "")), links.sub(r"\1", text)) for term, text in rows]


def _parts(command: click.Command) -> tuple[list[str], list[str]]:
    """Split the help of a command into its description and its examples."""
    description: list[str] = []
    examples: list[str] = []
    # Click's marker: the lines of the paragraph that begins with it are not to be wrapped.
    for paragraph in re.split(r"\n{2,}", cleandoc(f"{command.help or ''}\n\n{command.epilog or ''}")):
        verbatim = paragraph.startswith("\b\n")
        text = paragraph.removeprefix("\b\n")
        first, _, rest = text.partition("\n")
        if verbatim and first.strip() in ("Example:", "Examples:"):
            examples += _verbatim(rest)
        elif verbatim:
            description += _verbatim(text)
        elif text.strip():
            description += [".PP", _prose(text)]
    return description[1:] if description[:1] == [".PP"] else description, examples


def _verbatim(text: str) -> list[str]:
    lines = textwrap.dedent(text).rstrip().split("\n")
    return [".RS 4", ".nf", *map(escaped, lines), ".fi", ".RE"]


def _prose(text: str) -> str:
    """Running text, with `code` in bold."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    roff = "".join(_bold(part) if at % 2 else escaped(part) for at, part in enumerate(parts))
    return roff if roff[:1] not in (".", "\\") else f"\\&{roff}"


def _option(record: str) -> str:
    """The names of an option in bold, its argument in italics: `-n, --node NODE`."""
    words = re.findall(r"[^\s,]+|,", record)
    roff = [
        word if word in ("/", ",") else _bold(word) if word.startswith("-") else _italic(word)
        for word in words
    ]
    return " ".join(roff).replace(" ,", ",")


def _placeholder(piece: str) -> str:
    return re.sub(
        r"\w+|[^\w]+",
        lambda match: _italic(match[0]) if match[0][0].isalnum() else escaped(match[0]),
        piece,
    )


def _bold(text: str) -> str:
    return f"\\fB{escaped(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{escaped(text)}\\fR"


def escaped(text: str) -> str:
    """Text as roff that shows it literally, whatever the line begins with."""
    roff = "".join(ESCAPES.get(char, char) if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)
    return f"\\&{roff}" if roff.startswith(".") else roff


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
