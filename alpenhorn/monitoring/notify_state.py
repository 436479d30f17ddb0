"""What was notified, kept in a small file outside the index, since the index may be what cannot be used.

`$XDG_STATE_HOME/alpenhorn/notify-ID.json`, one for each host and index: a JSON object with one entry for each channel.
A file that is missing or not valid counts as empty: then problems are notified again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from alpenhorn import address
from alpenhorn.config import Config, state_directory
from alpenhorn.model.conditions import Condition, Key
from alpenhorn.monitoring import textfile
from alpenhorn.outside import parsed
from alpenhorn.reasons import Code, Why

LARGEST = 4 * 1024 * 1024  # bytes; a larger file is not ours
LATEST = 2.0**36  # POSIX seconds; year 4147


class Remembered(NamedTuple):
    """A problem that was met.  `level`, `lasting`: as in Problem."""

    condition: Condition
    level: str
    lasting: bool


class ChannelState(NamedTuple):
    """The state of one channel.

    `problems`: known ones.  `sent`: time of the last message, POSIX seconds, None if there was none.  `missed`: lines
    that were held back, by key.  `fault`: that messages cannot be delivered.
    """

    problems: tuple[Remembered, ...] = ()
    sent: float | None = None
    missed: tuple[tuple[Key, str], ...] = ()
    fault: Condition | None = None


class State:
    """The states of all channels, by the ids of the channels.

    As a context manager it holds the lock of the file, so that two runs do not report the same.  `fault`: why the file
    cannot be used, "" if it can; then nothing is known, and nothing is kept.
    """

    def __init__(self, config: Config) -> None:
        self.channels: dict[str, ChannelState] = {}
        self.fault: Why = ""
        self._held = ExitStack()
        directory = state_directory(os.environ)
        if directory is None:
            self.fault = Code.NOTIFY_STATE_UNUSABLE(path="$XDG_STATE_HOME", why="no home directory")
            return
        # The URL without its password, which a hash would not hide well.
        name = config.database.extension
        place = f"extension {name}" if name else address.printable(config.database.url)
        what = f"{config.sync.host}\n{place}"
        digest = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._path = directory / f"notify-{digest}.json"

    def __enter__(self) -> State:
        if self.fault:
            return self
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Without a limit of its own: the process that delivers has one.
            self._held.enter_context(textfile.locked(self._path, math.inf))
            self.channels = _read(self._path)
        except OSError as error:
            self._failed(error)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def save(self) -> None:
        """Replace the file."""
        if self.fault:
            return
        document = json.dumps({name: one._asdict() for name, one in self.channels.items()})
        try:
            textfile.replace(self._path, document.encode(), 0o600)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.fault = Code.NOTIFY_STATE_UNUSABLE(path=self._path, why=error.strerror or error)


def _read(path: Path) -> dict[str, ChannelState]:
    try:
        with path.open("rb") as file:
            document = parsed(file.read(LARGEST))
        return {str(name): _channel(one) for name, one in document.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}


def _channel(found: dict[str, Any]) -> ChannelState:
    """Return one entry.  Raises ValueError, TypeError or LookupError if it is not valid."""
    return ChannelState(
        tuple(
            Remembered(_condition(condition), str(level), bool(lasting))
            for condition, level, lasting in found["problems"]
        ),
        None if found["sent"] is None else _time(found["sent"]),
        tuple(((str(code), str(subject)), str(line)) for (code, subject), line in found["missed"]),
        None if found["fault"] is None else _condition(found["fault"]),
    )


def _condition(found: list[Any]) -> Condition:
    code, subject, why, began, seen, reported = found
    when = None if reported is None else _time(reported)
    return Condition(str(code), str(subject), str(why), _time(began), _time(seen), when)


def _time(found: Any) -> float:
    seconds = float(found)
    if not 0 <= seconds < LATEST:
        raise ValueError
    return seconds
