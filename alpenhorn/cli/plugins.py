"""`alpenhorn plugins`: what installed packages bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from alpenhorn import __version__
from alpenhorn.cli import output
from alpenhorn.cli.app import App, json_option, pass_app
from alpenhorn.errors import DONE, FAILED, AlpenhornError
from alpenhorn.reasons import code_in_json

if TYPE_CHECKING:
    from alpenhorn.extensions.points import Plugin


@click.command()
@json_option
@pass_app
def plugins(app: App, as_json: bool) -> int:
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
    if as_json:
        output.document(
            [
                {
                    "point": one.point,
                    "name": one.name,
                    "package": one.package,
                    "version": one.version,
                    "value": one.value or None,
                    "error": one.error or None,
                    "code": code_in_json(one.error),
                }
                for one in found
            ]
        )
    else:
        headers = ("Point", "Name", "Package", "Version", "State")
        output.table(headers, ((one.point, one.name, one.package, one.version, _state(one)) for one in found))
    return FAILED if any(one.error for one in found) else DONE


def _state(one: Plugin) -> str:
    return one.error or ("loaded" if one.value else "built in")


def _brought(app: App) -> list[Plugin]:
    """What packages bring; components as they are on the index, if it can be had."""
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
        output.note(f"whether the tables of packages are in the index was not looked at: {error}")
        return found
    return [brought.on_index(index, one) for one in found]
