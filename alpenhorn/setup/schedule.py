"""Install a crontab line, or a systemd timer, of the current user.

What is there is never replaced: other lines of the crontab stay, and a unit file with other contents is refused.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from alpenhorn.errors import CommandFailed, Refused
from alpenhorn.fs.command import run

SECONDS = 60.0  # for each program
RUNNING = Path("/run/systemd/system")  # sd_booted(3)
SYSTEM_UNITS = Path("/etc/systemd/system")
TIMER = "alpenhorn.timer"
_FIELDS = re.compile(r"(?:\S+\s+){5}")  # the schedule in a line of crontab(5)


class Units(NamedTuple):
    """Where systemd reads units of the current user: `manager` are the options of systemctl."""

    directory: Path
    manager: tuple[str, ...]


def kinds() -> list[str]:
    """Return which of "cron" and "systemd" can be installed on this host."""
    found = ["cron"] if shutil.which("crontab") else []
    return found + (["systemd"] if RUNNING.is_dir() and shutil.which("systemctl") else [])


# --- cron ----------------------------------------------------------------------------------------------


def cron_line(command: str) -> str:
    """Return the line of the user's crontab that starts `command`, written as in crontab(5); "" without one.

    Raises Refused if the crontab cannot be read.
    """
    return next((line for line in _crontab().splitlines() if _FIELDS.sub("", line, count=1) == command), "")


def install_line(line: str) -> None:
    """Add a line to the user's crontab.  Raises Refused if the crontab cannot be read or written."""
    before = _crontab()
    if before and not before.endswith("\n"):
        before += "\n"
    after = f"{before}{line}\n".encode("utf-8", "surrogateescape")
    try:
        run(["crontab", "-"], timeout=SECONDS, stdin=after)
    except CommandFailed as error:
        raise Refused(f"the crontab cannot be written: {error}; nothing was changed") from None


def _crontab() -> str:
    if shutil.which("crontab") is None:
        raise Refused("cron is not installed on this host: no program crontab; nothing was changed")
    try:
        return run(["crontab", "-l"], timeout=SECONDS, env={**os.environ, "LC_ALL": "C"}).stdout
    except CommandFailed as error:
        # Any other failure must not be taken for an empty crontab, which would then be written.
        if "no crontab for" in error.stderr:
            return ""
        raise Refused(f"the crontab cannot be read: {error}; nothing was changed") from None


# --- systemd -------------------------------------------------------------------------------------------


def units(environ: Mapping[str, str]) -> Units:
    """Return where root's units are, or those of another user, whose manager is a different one."""
    if os.geteuid() == 0:
        return Units(SYSTEM_UNITS, ())
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if os.path.isabs(config) else Path.home() / ".config"
    return Units(base / "systemd" / "user", ("--user",))


def timer_installed(files: Mapping[str, str], place: Units) -> bool:
    """Return whether these unit files, texts by name, are there and the timer is enabled.

    Raises Refused if systemd does not run here, or if a file has other contents.
    """
    if "systemd" not in kinds():
        raise Refused("systemd is not running on this host, or systemctl is missing; nothing was changed")
    missing = False
    for name, text in files.items():
        path = place.directory / name
        try:
            other = path.read_text() != text
        except FileNotFoundError:
            missing = True
            continue
        except (OSError, UnicodeDecodeError):
            other = True
        if other:
            raise Refused(
                f"{path}: exists with other contents; nothing was changed; to replace it, remove it first"
            )
    return not missing and _enabled(place)


def install_timer(files: Mapping[str, str], place: Units) -> None:
    """Write unit files, and start the timer.  Raises Refused if that is not possible, and as `timer_installed`."""
    timer_installed(files, place)
    try:
        place.directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            aside = place.directory / f".{name}.new"
            aside.write_text(text)
            aside.replace(place.directory / name)
    except OSError as error:
        raise Refused(
            f"{error.filename}: cannot be written: {error.strerror}; no timer was started"
        ) from None
    _systemctl(place, "daemon-reload")
    _systemctl(place, "enable", "--now", TIMER)


def _enabled(place: Units) -> bool:
    try:
        run(["systemctl", *place.manager, "is-enabled", "--quiet", TIMER], timeout=SECONDS)
    except CommandFailed:
        return False
    return True


def _systemctl(place: Units, *arguments: str) -> None:
    argv: Sequence[str] = ["systemctl", *place.manager, *arguments]
    try:
        run(argv, timeout=SECONDS)
    except CommandFailed as error:
        raise Refused(f"{' '.join(argv)}: {error}; the timer was not started") from None
