"""`alpenhorn group modify`."""

from __future__ import annotations

from typing import Any

import click

from alpenhorn.cli import io_settings, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import GROUP
from alpenhorn.cli.options import chosen, class_option, io_edits, io_options, notes_option
from alpenhorn.edits import groups as edit_group
from alpenhorn.listings import storage
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=GROUP, metavar="GROUP")
@class_option
@io_options
@notes_option
@pass_app
def modify(
    app: App,
    name: str,
    io_class: str | None,
    io_config: dict[str, Any] | None,
    io_vars: dict[str, Any],
    notes: str | None,
) -> None:
    """Properties that are not given remain unchanged.

    \b
    Example:
      alpenhorn group modify tape --io-var threshold=1000000000
    """
    found = names.group(app.index, name)
    config = io_edits(f"group {name}", io_config, io_vars)
    edits = io_settings.edits("group", name, chosen(io_class=io_class), config)
    changed = edit_group.modify(app.index, found.id, chosen(notes=notes), edits)
    output.line(f"Changed group {name}." if changed else "No change.")
    if not edits:
        (row,) = storage.groups(app.index, found.id)
        io_settings.note_problems("group", name, row.io_class, row.io_config)
