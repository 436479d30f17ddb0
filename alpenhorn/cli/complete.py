"""Names of existing rows, as kinds of argument that the shell can complete.

`scan/names.py` looks up the row when the command runs.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from alpenhorn.cli.app import App

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VARIABLE = "_ALPENHORN_COMPLETE"  # in which click's scripts say for which shell they ask


class ExistingName(click.ParamType[str]):
    """The name of a row of one kind: a key of `names.KINDS`."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # Imported here because only the shell asks for them.
        from click.shell_completion import CompletionItem

        from alpenhorn.scan import names

        # What goes wrong here would be printed into the line that the user is typing.
        with suppress(Exception):
            conf = ctx.find_root().params.get("conf")
            # The shell has not read the line yet.
            app = App(None if conf is None else os.path.expanduser(conf))
            found = names.beginning(app.open_index(), self.name, incomplete)
            return [
                CompletionItem(_as_typed(name)) for name in found if name.isprintable() and not _cut(name)
            ]
        return []


def _cut(name: str) -> bool:
    """Whether click's script for fish would take a part of the name for the whole."""
    return "," in name and os.environ.get(VARIABLE) == "fish_complete"


def _as_typed(name: str) -> str:
    """The name for click's script of this shell.  Those of zsh and fish quote it; that of bash puts it into the
    line as it is, behind the quotation mark with which the word begins, if it does."""
    if os.environ.get(VARIABLE) != "bash_complete":
        return name
    # The script joins the words, as typed, by line feeds.
    words = os.environ["COMP_WORDS"].split("\n")
    at = int(os.environ["COMP_CWORD"])
    match words[at][:1] if at < len(words) else "":
        case "'":
            quoted = name.replace("'", "'\\''")
        case '"':
            quoted = re.sub(r'([$`"\\])', r"\\\1", name)
        case _:
            quoted = re.sub(r"([^\w@%+,./-])", r"\\\1", name)
    return quoted.replace("\\", "\\\\")  # its `read` takes one away


HOST = ExistingName("host")
GROUP = ExistingName("group")
NODE = ExistingName("node")
ACQ = ExistingName("acquisition")
