"""A click group that imports its commands on first use.

Its help comes from the table of commands, so that `-h` of a group and `--version` import no command.
"""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli.commands import COMMANDS, below, is_group, load


def subcommands(command: click.Command, context: click.Context) -> list[tuple[click.Command, click.Context]]:
    """Return the commands of a group, each with a context that has its path; an empty list for any other command."""
    if not isinstance(command, click.Group):
        return []
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return [
        (one, click.Context(one, context, name, **one.context_settings))
        for name, one in found.items()
        if one is not None and not one.hidden
    ]


class LazyGroup(click.Group):
    """The commands below `path` in the table; by default those of the top level."""

    def __init__(self, *args: Any, path: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*below(self.path), *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands and cmd_name in below(self.path):
            path = f"{self.path} {cmd_name}".lstrip()
            if is_group(path):
                self.commands[cmd_name] = LazyGroup(cmd_name, path=path, help=COMMANDS[path])
            else:
                self.commands[cmd_name] = load(path)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest commands for a wrong name; click itself suggests only commands that have been imported."""
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            from alpenhorn.suggestions import did_you_mean  # only needed for a wrong name

            hint = did_you_mean(name, below(self.path))
            ctx.fail(f"no command called {name!r}{hint and f'; {hint}'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(below(self.path).items()))
