"""Options that several commands share, settings given as JSON, and confirmation prompts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from alpenhorn.cli.app import CommandFunction
from alpenhorn.cli.arguments import NOTES, PRIORITY, Text, text_problem
from alpenhorn.cli.complete import ACQ, names_option
from alpenhorn.cli.output import harmless
from alpenhorn.edits.rows import TextEdit
from alpenhorn.errors import Refused
from alpenhorn.outside import parsed

notes_option = click.option("--notes", metavar="COMMENT", type=NOTES, help="Notes; '' removes them.")
class_option = click.option(
    "-i",
    "--class",
    "io_class",
    metavar="IO_CLASS",
    type=Text(255),
    help="Storage class; '' means Default.",
)
acq_option = names_option(ACQ, "Only files of acquisition ACQ")


_OPPOSITE = {"check": "force", "force": "check"}


def _not_both(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
    """Refuse --check with --force: the option that comes last sees the other one."""
    if value and context.params.get(_OPPOSITE[str(parameter.name)]):
        raise click.UsageError("--check and --force cannot be used together", context)
    return value


def check_with_help(text: str) -> Callable[[CommandFunction], CommandFunction]:
    """Return the option --check, which cannot be used with --force."""
    return click.option("-n", "--dry-run", "--check", "check", is_flag=True, callback=_not_both, help=text)


def force_with_help(text: str) -> Callable[[CommandFunction], CommandFunction]:
    """Return the option --force, which cannot be used with --check."""
    return click.option("--force", is_flag=True, callback=_not_both, help=text)


check_option = check_with_help("Only show what would be done.")
force_option = force_with_help("Do not ask for confirmation.")


priority_option = click.option(
    "--priority",
    metavar="PRIORITY",
    type=PRIORITY,
    default=0,
    help="Priority of the requests; larger ones are done first (default: 0).",
)


def chosen(**values: object) -> dict[str, Any]:
    """Return the given options as columns; an empty text becomes NULL."""
    return {column: None if value == "" else value for column, value in values.items() if value is not None}


# --- io_config -----------------------------------------------------------------------------------------


def io_options(command: CommandFunction) -> CommandFunction:
    """Add --io-config and --io-var to a command, as `io_config` and `io_vars`."""
    command = click.option(
        "--io-var",
        "io_vars",
        metavar="VAR=VALUE",
        multiple=True,
        callback=_io_vars,
        help="Setting of the storage class; an empty VALUE removes it; may be repeated.",
    )(command)
    return click.option(
        "--io-config",
        metavar="CONFIG",
        callback=_io_config,
        help="JSON object that replaces all settings of the storage class; '' removes them.",
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
    wrong = text_problem(json.dumps(config), NOTES.length)
    if wrong:
        raise click.BadParameter(wrong, ctx, param)
    return config


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _io_vars(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, Any]:
    """Return the values by their keys; an empty text removes the key."""
    found: dict[str, Any] = {}
    for value in values:
        key, equals, text = value.partition("=")
        wrong = text_problem(value, 255)
        if not key or not equals:
            wrong = "not of the form VAR=VALUE"
        if wrong:
            raise click.BadParameter(f"{value!a}: {wrong}", ctx, param)
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
    """Return the edit of the column io_config for the two options; nothing if neither was given.

    The edit raises Refused if --io-var is given and the column is not a JSON object.
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
                    f"{owner}: io_config is not a JSON object: {before!a}; replace it with --io-config"
                )
        config = {**config, **io_vars}
        kept = {key: value for key, value in config.items() if io_vars.get(key) != ""}
        if kept == _parsed(before):
            return before
        return json.dumps(kept) if kept else None

    return {"io_config": edit}


def _parsed(text: str | None) -> Any:
    """Return the settings in a column; the text itself if it is not JSON."""
    try:
        return parsed(text) if text else {}
    except ValueError:
        return text


def settings(io_config: str | None) -> Any:
    """Return the column io_config for JSON output: an object, null, or the text if it is not JSON."""
    return _parsed(io_config) if io_config else None


# --- confirmation -----------------------------------------------------------------------------------------


def file_list_option(command: CommandFunction) -> CommandFunction:
    return click.option(
        "-F",
        "--file-list",
        metavar="PATH",
        type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
        help="Only files listed in PATH, one ACQUISITION/NAME per line; - means standard input.",
    )(command)


def confirm(question: str, force: bool, *, stdin_taken: bool = False) -> None:
    """Ask for confirmation.  `stdin_taken`: standard input has been read as data.

    Raises Refused if the user cannot be asked, click.Abort if the answer is no.
    """
    if force:
        return
    if stdin_taken:
        raise Refused(
            f'cannot ask "{question}": standard input was read as a list; nothing was changed; use --force'
        )
    if not sys.stdin.isatty():
        raise Refused(f'cannot ask "{question}" without a terminal; nothing was changed; use --force')
    click.confirm(harmless(question), abort=True)


def at_most_one(**given: object) -> None:
    """Raise UsageError if more than one of these options was given."""
    names = [f"--{name.strip('_').replace('_', '-')}" for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(names)} cannot be used together")
