"""A click group whose commands are imported when they are used.

The help of the group comes from its table, so that `alpenhorn --help` and `--version` import no command.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import click


class Entry(NamedTuple):
    """`target` is "module:attribute"; `short_help` is what the group's help says of the command."""

    target: str
    short_help: str


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known names nearest to a wrong one; empty when none is near."""
    # Imported here because only a wrong name needs it.
    from difflib import get_close_matches

    close = " or ".join(repr(other) for other in get_close_matches(name, list(known)))
    return f" Did you mean {close}?" if close else ""


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, which compares a wrong name with those commands only that were imported already."""
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            ctx.fail(f"No such command {name!r}." + did_you_mean(name, self.table))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in sorted(self.table.items())])
