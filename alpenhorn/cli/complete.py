"""The names of rows that are there, as kinds of argument which the shell can complete.

Whether there is such a row is asked by `scan/names.py` when the command runs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from alpenhorn.cli.app import App

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Existing(click.ParamType[str]):
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

        app = App(ctx.find_root().params.get("conf"))
        # What goes wrong here would be printed into the line that the user is typing.
        with suppress(Exception):
            return [CompletionItem(name) for name in names.beginning(app.open_index(), self.name, incomplete)]
        return []


HOST = Existing("host")
GROUP = Existing("group")
NODE = Existing("node")
ACQ = Existing("acquisition")
