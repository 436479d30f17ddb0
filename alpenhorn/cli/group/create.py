"""`alpenhorn group create`."""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli import io_settings, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import NAME
from alpenhorn.cli.options import chosen, class_option, io_edits, io_options, notes_option
from alpenhorn.edits import groups as edit_group


@click.command()
@click.argument("name", type=NAME)
@class_option
@io_options
@notes_option
@pass_app
def create(
    app: App,
    name: str,
    io_class: str | None,
    io_config: dict[str, Any] | None,
    io_vars: dict[str, Any],
    notes: str | None,
) -> None:
    """\b
    Examples:
      alpenhorn group create offsite
      alpenhorn group create truck --class Transport --notes "disks that travel"
    """
    values = chosen(name=name, io_class=io_class, notes=notes)
    edits = io_edits(f"group {name}", io_config, io_vars)
    values |= {column: edit(None) for column, edit in edits.items()}
    io_settings.require("group", name, values.get("io_class"), values.get("io_config"))
    edit_group.create(app.index, values)
    output.line(f"Created group {name}.")
