"""The context of every command: configuration, index and clock, each created on first use."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from alpenhorn.outside import harmless

if TYPE_CHECKING:
    from alpenhorn.config import Config
    from alpenhorn.index.connection import Index

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])


class App:
    """The context object of all commands.  `conf` is the file of -c; `verbosity` is -v minus -q; `asked_local_time` is
    true with --local-time, false with --utc, else None.

    The heavy modules are imported inside, so that help and --version need no more than click.
    """

    def __init__(self, conf: str | None = None, verbosity: int = 0) -> None:
        self.conf = conf
        self.verbosity = verbosity
        self.asked_local_time: bool | None = None
        self._opened: list[Index] = []

    @cached_property
    def config(self) -> Config:
        """The configuration.  Raises ConfigError."""
        from pathlib import Path  # 5 ms with the configuration, which help and --version do not need

        from alpenhorn.config import load

        return load(None if self.conf is None else Path(self.conf), os.environ)

    @cached_property
    def index(self) -> Index:
        """The open index, checked to be of the supported version.  A missing default SQLite index is created.

        Raises ConfigError, IndexUnusable.
        """
        # 35 ms, which help and --version do not need.
        from alpenhorn.address import sqlite_path
        from alpenhorn.index import current

        path = sqlite_path(self.config.database.url)
        fresh = self.config.embedded and path is not None and not os.path.exists(path)
        index = self.open_index(create=fresh)
        if fresh:
            from alpenhorn.index import schema  # 11 ms, and only the very first command needs it

            schema.create(index)
            click.echo(harmless(f"note: no index is configured; created a new one: {path}"), err=True)
        current.require_current(index)
        return index

    @property
    def open_index_or_none(self) -> Index | None:
        """The index if it was opened before and is of the supported version."""
        return self.__dict__.get("index")

    def open_index(self, create: bool = False) -> Index:
        """Open the index, of any version; with `create`, create a missing SQLite file.

        Raises ConfigError, also instead of creating the default index where the alpenhorn daemon is configured;
        IndexUnusable.
        """
        from alpenhorn.coordinator.opening import open_index  # 35 ms, which help and --version do not need

        if create and self.config.embedded:
            # Only a command that may create an index.
            from alpenhorn.address import sqlite_path
            from alpenhorn.config import refuse_new_index

            if not os.path.exists(sqlite_path(self.config.database.url) or ""):
                refuse_new_index(os.environ)
        index = open_index(self.config.database, create=create)
        self._opened.append(index)
        return index

    def disconnect(self) -> None:
        """Close every connection until its next use, so that none is shared across a fork."""
        for index in self._opened:
            index.disconnect()

    def close(self) -> None:
        """Close the index, and print notes about its malformed rows."""
        while self._opened:
            index = self._opened.pop()
            for reason in index.odd:
                click.echo(f"note: {harmless(reason)}", err=True)
            index.close()

    def now(self) -> datetime:
        """The current time as naive UTC, the form stored in the index."""
        return datetime.now(UTC).replace(tzinfo=None)

    def stamp(self) -> datetime:
        """The current time in whole seconds, the resolution of a datetime column."""
        return self.now().replace(microsecond=0)

    @cached_property
    def local_time(self) -> bool:
        """Whether times are printed and typed in local time instead of UTC.  Raises ConfigError."""
        if self.asked_local_time is not None:
            return self.asked_local_time
        return self.config.output.time == "local"

    @property
    def host(self) -> str:
        """This host's name in the index."""
        return self.config.sync.host


pass_app = click.make_pass_decorator(App)


def json_option(command: CommandFunction) -> CommandFunction:
    """Give a command the flag --json, as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
