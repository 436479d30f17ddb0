"""Parameter types of `alpenhorn init`: directories for nodes, the URL of an index, and paths for the configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from alpenhorn import address
from alpenhorn.cli.arguments import NAME, RootPath
from alpenhorn.config import KEYS
from alpenhorn.setup.start import WantedNode


class NodePlace(click.ParamType[WantedNode]):
    """A directory, which may be preceded by the name of its node and an equals sign."""

    name = "directory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> WantedNode:
        if isinstance(value, WantedNode):
            return value
        name, equals, path = str(value).partition("=")
        if not equals or "/" in name:
            name, path = "", str(value)
        elif name.startswith("-"):
            self.fail(f"name {name!a}: begins with a dash", param, ctx)
        if not path:
            self.fail(f"{value!a}: names no directory", param, ctx)
        root = RootPath().convert(os.path.abspath(path), param, ctx)
        return WantedNode(NAME.convert(name, param, ctx) if name else "", root)


class IndexUrl(click.ParamType[str]):
    """The URL of an index, without a password."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            url: str = KEYS["database"]["url"].read(value)
        except ValueError as error:
            fault = error.args[0].lstrip(": ") if error.args else f"expected {address.EXPECTED}"
            self.fail(fault, param, ctx)
        if address.sqlite_path(url) is None and address.server(url).password:
            self.fail("has a password, which other users could see; give it with --password-file", param, ctx)
        return url


def config_path(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:
    """Return the absolute path of an option, as its callback.  Raises BadParameter if no file can hold it."""
    if value is None:
        return None
    try:
        path: Path = KEYS["database"]["password_file"].read(os.path.abspath(value))
    except ValueError:
        raise click.BadParameter(
            f"{value!a}: cannot be written to a configuration file", ctx, param
        ) from None
    return path
