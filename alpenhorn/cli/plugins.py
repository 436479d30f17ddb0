"""`alpenhorn plugins`: what installed packages bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from alpenhorn import __version__
from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, column, format_option
from alpenhorn.errors import DONE, FAILED, AlpenhornError
from alpenhorn.reasons import code_in_json

if TYPE_CHECKING:
    from alpenhorn.extensions.points import Plugin


COLUMNS = (
    column("point", "Point"),
    column("name", "Name"),
    column("package", "Package"),
    column("version", "Version"),
    column("value", value=lambda one: one.value or None),
    column("error", value=lambda one: one.error or None),
    column("code", value=lambda one: code_in_json(one.error)),
    column("", "State", cell=lambda one: one.error or ("loaded" if one.value else "built in")),
)


@click.command()
@format_option
@pass_app
def plugins(app: App, form: Format) -> int:
    """Packages provide storage classes (alpenhorn.io), import detectors (alpenhorn.import_detect) and tables of
    their own in the index (alpenhorn.index).  The storage classes that come with alpenhorn are listed as
    well.  All of them are loaded.  The exit status is 1 when something cannot be used.

    \b
    Example:
      alpenhorn plugins
    """
    from alpenhorn.extensions.points import IO, Plugin  # help needs nothing but click
    from alpenhorn.io.builtin import BUILT_IN, built_in

    found = [Plugin(IO, name, "alpenhorn", __version__, "", built_in(name)) for name in BUILT_IN]
    found += _brought(app)
    found.sort(key=lambda one: (one.point, one.name, one.package))
    columns.show(form, COLUMNS, found)
    return FAILED if any(one.error for one in found) else DONE


def _brought(app: App) -> list[Plugin]:
    """Plugins of installed packages; components with their state on the index, if it can be opened."""
    from alpenhorn.coordinator import plugins as brought
    from alpenhorn.extensions.points import INDEX
    from alpenhorn.index import current

    found = brought.everything()
    if not any(one.point == INDEX and one.loaded is not None for one in found):
        return found
    try:
        index = app.open_index()
        current.require_current(index)
    except AlpenhornError as error:
        output.note(f"the tables of packages were not checked: {error}")
        return found
    return [brought.on_index(index, one) for one in found]
