"""What the index commands share: kinds of argument, settings given as JSON, lists of files, questions.

A value that cannot be stored, or would make trouble when shown or used, is refused as wrong usage before
the index is opened.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App
from alpenhorn.cli.complete import ACQ
from alpenhorn.cli.output import harmless
from alpenhorn.cli.waiting import Waiting
from alpenhorn.edits.rows import TextEdit
from alpenhorn.errors import Refused
from alpenhorn.index import selections
from alpenhorn.index.selections import CountedSelection, SelectionPart, Total
from alpenhorn.outside import parsed
from alpenhorn.scan import names

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_GIB = 1e15  # what a FLOAT column holds is more, what anybody stores is less
MOST_COUNT = 2**31 - 1


def fault(text: str, length: int, *, lines: bool = False) -> str:
    """Why a text cannot be stored in a column of `length` characters; empty when it can."""
    if len(text) > length:
        return f"is {len(text)} characters long, and at most {length} fit"
    for char in text:
        if "\ud800" <= char <= "\udfff":
            return "is not valid UTF-8"
        if (ord(char) < 32 or 127 <= ord(char) < 160) and not (lines and char in "\n\t"):
            return f"has the control character {char!a}"
    return ""


class Name(click.ParamType[str]):
    """The name of something new: a line of its own in files and lists, and part of a path."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        wrong = fault(text, 64)
        if not text.strip():
            wrong = "is empty"
        elif text != text.strip():
            wrong = "begins or ends with a blank"
        elif "/" in text:
            wrong = "has a slash"
        elif text in (".", ".."):
            wrong = "is no name"
        if wrong:
            self.fail(f"the name {text!a} {wrong}", param, ctx)
        return text


class Text(click.ParamType[str]):
    """A text column; an empty one means none."""

    name = "text"

    def __init__(self, length: int, lines: bool = False) -> None:
        self.length = length
        self.lines = lines

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        wrong = fault(text, self.length, lines=self.lines)
        if wrong:
            self.fail(f"{text[:40]!a} {wrong}", param, ctx)
        return text


class Root(Text):
    """An absolute directory, or nothing."""

    name = "root"

    def __init__(self) -> None:
        super().__init__(255)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if not text:
            return text
        if not text.startswith("/"):
            self.fail(f"{text!a} is not an absolute path; a root begins with /", param, ctx)
        elements = [element for element in text.split("/") if element]
        if "." in elements or ".." in elements:
            self.fail(f"{text!a} has an element . or ..; give the plain path", param, ctx)
        return "/" + "/".join(elements)


class Gib(click.ParamType[float]):
    """A finite number of GiB, at least zero, or above it."""

    name = "size"

    def __init__(self, positive: bool = False) -> None:
        self.positive = positive

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!a} is not a number of GiB", param, ctx)
        if not math.isfinite(number) or number < 0 or number > MOST_GIB or (self.positive and not number):
            least = "above 0" if self.positive else "0 or more"
            self.fail(f"{value!a} is out of range; it must be {least}, and at most {MOST_GIB:g}", param, ctx)
        return number


NAME = Name()
NOTES = Text(65535 // 4, lines=True)  # a TEXT column of MariaDB holds 65535 bytes
REQUEST_ID = click.IntRange(1, 2**63 - 1)

notes_option = click.option("--notes", metavar="COMMENT", type=NOTES, help="Set the notes; '' removes them.")
class_option = click.option(
    "-i",
    "--class",
    "io_class",
    metavar="IO_CLASS",
    type=Text(255),
    help="Set the storage class; '' means Default.",
)
acq_option = click.option(
    "--acq", "acqs", type=ACQ, metavar="ACQ", multiple=True, help="Only files of ACQ; may be repeated."
)
check_option = click.option("-c", "--check", is_flag=True, help="Only count what would be done.")
force_option = click.option("--force", is_flag=True, help="Do not ask.")


def chosen(**values: object) -> dict[str, Any]:
    """The options that were given, as columns; an empty text becomes NULL."""
    return {column: None if value == "" else value for column, value in values.items() if value is not None}


# --- io_config -----------------------------------------------------------------------------------------


def io_options(command: Command) -> Command:
    """Give a command --io-config and --io-var, as `io_config` and `io_vars`."""
    command = click.option(
        "--io-var",
        "io_vars",
        metavar="VAR=VALUE",
        multiple=True,
        callback=_io_vars,
        help="Set one key of the class's settings; an empty value removes it; may be repeated.",
    )(command)
    return click.option(
        "--io-config",
        metavar="CONFIG",
        callback=_io_config,
        help="Replace the class's settings by this JSON object; '' empties them.",
    )(command)


def _io_config(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    if not value.strip():
        return {}
    try:
        config = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not JSON: {error}", ctx, param) from None
    if not isinstance(config, dict):
        raise click.BadParameter("not a JSON object, such as '{\"jobs\": 2}'", ctx, param)
    wrong = fault(json.dumps(config), NOTES.length)
    if wrong:
        raise click.BadParameter(wrong, ctx, param)
    return config


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _io_vars(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, Any]:
    """Keys to values; an empty text stands for the key's removal."""
    found: dict[str, Any] = {}
    for value in values:
        key, equals, text = value.partition("=")
        wrong = fault(value, 255)
        if not key or not equals:
            wrong = "is not of the form VAR=VALUE"
        if wrong:
            raise click.BadParameter(f"{value!a} {wrong}", ctx, param)
        found[key] = _number(text)
    return found


def _number(text: str) -> int | float | str:
    try:
        number = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return text
    return number


def io_edits(owner: str, io_config: dict[str, Any] | None, io_vars: dict[str, Any]) -> dict[str, TextEdit]:
    """What the two options do to the column io_config; nothing when neither was given.

    The edit raises Refused when single keys are to be set in something that is no JSON object.
    """
    if io_config is None and not io_vars:
        return {}

    def edit(before: str | None) -> str | None:
        config = io_config
        if config is None:
            try:
                config = parsed(before or "{}")
            except ValueError:
                config = None
            if not isinstance(config, dict):
                raise Refused(
                    f"the io_config of {owner} is not a JSON object: {before!a}; replace it with --io-config"
                )
        config = {**config, **io_vars}
        kept = {key: value for key, value in config.items() if io_vars.get(key) != ""}
        if kept == _parsed(before):
            return before
        return json.dumps(kept) if kept else None

    return {"io_config": edit}


def _parsed(text: str | None) -> Any:
    """The settings in a column, for a comparison and for showing; the text itself when it is not JSON."""
    try:
        return parsed(text) if text else {}
    except ValueError:
        return text


def settings(io_config: str | None) -> Any:
    """The column io_config for JSON output: an object, null, or the text when it is not JSON."""
    return _parsed(io_config) if io_config else None


# --- lists of files and questions ----------------------------------------------------------------------


def file_list_option(command: Command) -> Command:
    return click.option(
        "-F",
        "--file-list",
        metavar="PATH",
        type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
        help="Only the files listed in PATH, one ACQUISITION/NAME a line; - reads standard input.",
    )(command)


def read_file_list(path: str) -> Iterator[tuple[int, str]]:
    """(line number, path) of a list; blank lines and comments are left out.

    Bytes that are no UTF-8 come as surrogates, which no name in the index has.
    """
    with click.open_file(path, encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield number, text


def listed(app: App, file_list: str | None, node: names.NamedRow | None) -> Sequence[int] | None:
    """The ids of the files in the list that was given, with paths below the node's root taken too; None: no
    list was given.  Raises NotFound."""
    if file_list is None:
        return None
    source = "standard input" if file_list == "-" else file_list
    root = None if node is None else names.root(app.index, node)
    with Waiting(app, f"Looking up the files in {source}"):
        return names.files(app.index, read_file_list(file_list), root, source)


def counted(app: App, what: str, parts: Sequence[SelectionPart], row: str) -> CountedSelection:
    """What a selection comes to, and the pieces in which it is changed; `row` as for `selections.counted`."""
    with Waiting(app, f"Counting the {what}") as waiting:
        return selections.counted(app.index, parts, row, waiting.at)


def total_size(found: Total) -> str:
    """`1.00 GiB, 2 of unknown size`."""
    unsized = f", {found.unsized} of unknown size" if found.unsized else ""
    return f"{output.size(found.bytes)}{unsized}"


def some_copies(found: Total) -> str:
    """`3 copies (1.00 GiB, 2 of unknown size)`."""
    return f"{output.count(found.files, 'copy', 'copies')} ({total_size(found)})"


def propose(verb: str, what: str, *, check: bool, force: bool) -> None:
    """Print what is about to be done, or would be done."""
    output.line(f"Would {verb} {what}." if check or not force else f"To {verb}: {what}.")


def confirm(question: str, force: bool, *, stdin_taken: bool = False) -> None:
    """Ask before something is changed.  `stdin_taken`: standard input was read as data.

    Raises Refused where nobody can be asked, click.Abort when the answer is no.
    """
    if force:
        return
    if stdin_taken:
        raise Refused(
            f"{question} cannot be asked, as standard input was read; nothing was changed; use --force"
        )
    if not sys.stdin.isatty():
        raise Refused(f"{question} cannot be asked without a terminal; nothing was changed; use --force")
    click.confirm(harmless(question), abort=True)


def at_most_one(**given: object) -> None:
    """Raises UsageError when more than one of these options was given."""
    names = [f"--{name.strip('_').replace('_', '-')}" for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(names)} cannot be used together")
