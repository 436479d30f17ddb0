"""`alpenhorn config show`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from alpenhorn import address
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import ListOptions, column, listing_options
from alpenhorn.config import KEYS, Config, DeleteLimit, written
from alpenhorn.setup import toml

DEFAULT = "default"


class Setting(NamedTuple):
    """`value`: as written in the configuration, or as a default is stored.  `origin`: a file or a variable."""

    key: str
    value: Any
    origin: str


def _cell(setting: Setting) -> str:
    return "" if setting.value is None else toml.value(setting.value)


COLUMNS = (column("key", "Key"), column("value", "Value", cell=_cell), column("origin", "Origin"))


@click.command()
@listing_options(COLUMNS)
@pass_app
def show(app: App, listing: ListOptions) -> None:
    """The origin of a value is the file or the environment variable that sets it, or `default`.  Values are shown as
    they are written there, without passwords; defaults in bytes and seconds.

    \b
    Examples:
      alpenhorn config show
      alpenhorn config show --format csv
    """
    listing.show(COLUMNS, _settings(app))


def _settings(app: App) -> Iterator[Setting]:
    config = app.config
    found = written(None if app.conf is None else Path(app.conf), os.environ)
    for section, keys in KEYS.items():
        for key in keys:
            one = found.get((section, key))
            value, origin = (_default(config, section, key), DEFAULT) if one is None else one
            yield Setting(f"{section}.{key}", _shown(section, key, value, config), origin)


def _default(config: Config, section: str, key: str) -> Any:
    """Return the value of a key that no file sets, as plain text, number or switch."""
    # Patterns have a name of their own, and no default.
    value = getattr(getattr(config, section, None), key, None)
    if isinstance(value, DeleteLimit):
        return f"{value.share:.0%}"
    if isinstance(value, tuple):
        return list(value) or None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value) if isinstance(value, Path) else value or (None if value == "" else value)


def _shown(section: str, key: str, value: Any, config: Config) -> Any:
    """Return a value without anything that may be a password."""
    if (section, key) == ("database", "url") and value is not None:
        return address.printable(value, config.database.credentials)
    text = repr(value)
    return (
        address.NOT_SHOWN if isinstance(value, str | list | dict) and address.may_be_secret(text) else value
    )
