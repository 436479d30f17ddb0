"""Parameter types for names of existing rows, with shell completion.

The command itself looks up the row, with `scan/names.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from alpenhorn.cli.app import App, CommandFunction

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VARIABLE = "_ALPENHORN_COMPLETE"  # set by click's scripts; names the shell


class ExistingName(click.ParamType[str]):
    """The name of an existing row; `kind` is a key of `names.KINDS`."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # 37 ms, and only shell completion needs it.
        from click.shell_completion import CompletionItem

        from alpenhorn.scan import names

        # An error message would appear in the line that the user is typing.
        with suppress(Exception):
            conf = ctx.find_root().params.get("conf")
            # The shell has not expanded ~ yet.
            app = App(None if conf is None else os.path.expanduser(conf))
            found = names.beginning(app.open_index(), self.name, incomplete)
            return [
                CompletionItem(_as_typed(name)) for name in found if name.isprintable() and not _cut(name)
            ]
        return []


def _cut(name: str) -> bool:
    """Return whether click's script for fish would cut the name at a comma."""
    return "," in name and os.environ.get(VARIABLE) == "fish_complete"


def _as_typed(name: str) -> str:
    """Return the name as click's script for this shell needs it.

    The scripts for zsh and fish quote it.  The script for bash inserts it unquoted, after the quotation mark
    that begins the word, if any.
    """
    if os.environ.get(VARIABLE) != "bash_complete":
        return name
    # The script joins the words with line feeds.
    words = os.environ["COMP_WORDS"].split("\n")
    at = int(os.environ["COMP_CWORD"])
    match words[at][:1] if at < len(words) else "":
        case "'":
            quoted = name.replace("'", "'\\''")
        case '"':
            quoted = re.sub(r'([$`"\\])', r"\\\1", name)
        case _:
            quoted = re.sub(r"([^\w@%+,./-])", r"\\\1", name)
    return quoted.replace("\\", "\\\\")  # the `read` of the script removes one of each pair


HOST = ExistingName("host")
GROUP = ExistingName("group")
NODE = ExistingName("node")
ACQ = ExistingName("acquisition")
POLICY = ExistingName("policy")


def names_option(kind: ExistingName, help_: str) -> Callable[[CommandFunction], CommandFunction]:
    """Return a decorator that adds a repeatable option for names to a command, such as --node as `nodes`.

    `help_`: without the end, which says that it may be repeated.
    """
    short = "acq" if kind is ACQ else kind.name
    return click.option(
        f"--{short}",
        f"{short}s",
        type=kind,
        metavar=short.upper(),
        multiple=True,
        help=f"{help_}; may be repeated.",
    )
