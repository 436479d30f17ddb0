"""`alpenhorn plugins`: the extensions that installed packages provide."""

from __future__ import annotations

import click

from alpenhorn import __version__
from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, column, listing_options
from alpenhorn.coordinator import plugins as extensions
from alpenhorn.errors import DONE, FAILED, AlpenhornError
from alpenhorn.extensions.points import INDEX, IO, Plugin
from alpenhorn.index import current
from alpenhorn.io.builtin import BUILT_IN, built_in
from alpenhorn.reasons import code_in_json

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
@listing_options(COLUMNS)
@pass_app
def plugins(app: App, listing: ListOptions) -> int:
    """Extensions are storage classes (alpenhorn.io), import detectors (alpenhorn.import_detect) and what these know of
    the index (alpenhorn.import_facts), additional tables in the index (alpenhorn.index) and connections to the index
    (alpenhorn.database), provided by installed packages.  The built-in storage classes are listed as well.  All
    extensions are loaded, but none connects.  The exit status is 1 if one of them cannot be used.

    \b
    Example:
      alpenhorn plugins
    """
    found = [Plugin(IO, name, "alpenhorn", __version__, "", built_in(name)) for name in BUILT_IN]
    found += _installed(app)
    found.sort(key=lambda one: (one.point, one.name, one.package))
    listing.show(COLUMNS, found)
    return FAILED if any(one.error for one in found) else DONE


def _installed(app: App) -> list[Plugin]:
    """Return the extensions of installed packages, with the state of their tables if the index can be opened."""
    found = extensions.everything()
    if not any(one.point == INDEX and one.loaded is not None for one in found):
        return found
    try:
        index = app.open_index()
        current.require_current(index)
    except AlpenhornError as error:
        output.warning(f"tables of extensions: not checked: {error}")
        return found
    return [extensions.on_index(index, one) for one in found]
