"""A click group whose commands are imported when they are used.

The help of the group comes from its table, so that `alpenhorn --help` and `--version` import no command.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import click


class Entry(NamedTuple):
    """`target` is "module:attribute"; `short_help` is what the group's help says of the command."""

    target: str
    short_help: str


class LazyGroup(click.Group):
    """Takes `table`, from the names of its commands to their entries."""

    def __init__(self, *args: Any, table: dict[str, Entry], **options: Any) -> None:
        super().__init__(*args, **options)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.table, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.table and cmd_name not in self.commands:
            # Imported here because importing every command would make each of them slow to start.
            from importlib import import_module

            module, _, attribute = self.table[cmd_name].target.partition(":")
            self.commands[cmd_name] = getattr(import_module(module), attribute)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in sorted(self.table.items())])
