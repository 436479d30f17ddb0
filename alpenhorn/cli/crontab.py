"""`alpenhorn crontab`: print or install a crontab line or systemd units that start runs automatically."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import click

import alpenhorn
from alpenhorn import address
from alpenhorn.cli import output
from alpenhorn.cli.app import App, CommandFunction, pass_app
from alpenhorn.config import FILE_VARIABLE, URL_VARIABLE
from alpenhorn.errors import Refused
from alpenhorn.setup import schedule as setup

CRON_PATH = "/usr/bin:/bin"
SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
DAY = 24 * 60
# Variables that locate the configuration and the index; cron and systemd do not set them.
PLACES = (FILE_VARIABLE, URL_VARIABLE, "XDG_CONFIG_HOME", "XDG_DATA_HOME", "PYTHONPATH")


class RunCommand(NamedTuple):
    """The command that starts a run, and its environment; `secret`: a password was removed from a URL."""

    argv: tuple[str, ...]
    environ: dict[str, str]
    secret: bool


def every_option(help_: str) -> Callable[[CommandFunction], CommandFunction]:
    """Return a decorator that adds --every to a command, in minutes."""
    return click.option(
        "--every",
        metavar="MINUTES",
        type=click.IntRange(1, DAY),
        default=5,
        show_default=True,
        help=help_,
    )


@click.command()
@every_option("Interval between runs.")
@click.option("--systemd", is_flag=True, help="A systemd service and timer instead.")
@click.option(
    "--install", is_flag=True, help="Install it for the user of this command, instead of printing it."
)
@pass_app
def crontab(app: App, every: int, systemd: bool, install: bool) -> None:
    """Without --install nothing is installed; comments in the output explain how to install it.  The output contains
    the path of this program, the file given with -c, and the environment variables that locate the configuration
    and the index.  The user who installs it must be able to read the configuration and to write to the nodes.

    With --install the line is added to the user's crontab, or the units are written and the timer is started: for
    root as a system service, for another user as a service of that user.  What is installed already is not changed.

    \b
    Examples:
      alpenhorn crontab
      alpenhorn -c /etc/alpenhorn/far.toml crontab --every 15
      alpenhorn crontab --systemd
      alpenhorn crontab --install
    """
    if not systemd:
        schedule(every)  # report a wrong --every before any problem of the configuration
    command = run_command(app, systemd)
    if install:
        _install(command, every, systemd)
        return
    click.echo(_units(command, every) if systemd else _cron(command, every))
    if command.secret:
        output.note(f"the password in {URL_VARIABLE} is not printed: {_SECRET}")


def _install(command: RunCommand, every: int, systemd: bool) -> None:
    if is_installed(command, every, systemd):
        output.line("No change: already installed.")
        return
    if not systemd:
        setup.install_line(f"{schedule(every)} {_words(command)}")
        output.line(f"Added a line to the crontab: `alpenhorn sync` {_often(every)}.")
        return
    place = setup.units(os.environ)
    setup.install_timer(unit_files(command, every, system=not place.manager), place)
    output.line(f"Started {setup.TIMER}: `alpenhorn sync` {_often(every)}.")
    if place.manager:
        output.note("the timer runs only while you are logged in, unless you run: loginctl enable-linger")


def is_installed(command: RunCommand, every: int, systemd: bool) -> bool:
    """Return whether the line or the timer is installed.  Nothing is changed.

    Raises Refused if it cannot be installed: without cron or systemd, with a password that would have to be written,
    or if it is installed with another interval.
    """
    if command.secret:
        raise Refused(
            f"the password in {URL_VARIABLE} cannot be written to a crontab or unit file: {_SECRET}"
        )
    if systemd:
        place = setup.units(os.environ)
        return setup.timer_installed(unit_files(command, every, system=not place.manager), place)
    wanted = f"{schedule(every)} {_words(command)}"
    found = setup.cron_line(_words(command))
    if found and found != wanted:
        raise Refused(
            f"the crontab has this line already: {found}; nothing was changed; to change it: crontab -e"
        )
    return bool(found)


def run_command(app: App, systemd: bool) -> RunCommand:
    """Return the command that starts a run as this command was started.  Raises ConfigError, Refused."""
    path = SYSTEMD_PATH if systemd else CRON_PATH
    transfer = app.config.transfer
    programs = (transfer.rsync, transfer.ssh[0], *([transfer.bbcp] if transfer.bbcp else []))
    credentials = app.config.database.credentials
    return _command(app.conf, os.environ, sys.argv[0], programs, path, credentials)


_SECRET = (
    "store it in a file that only you can read, and set [database] password_file in the configuration to the path of"
    " that file"
)
_OVERLAP = (
    "If a run is still working when the next one starts, the next one finds the nodes locked and exits."
)


def schedule(every: int) -> str:
    """Return the first five fields of a crontab line.  Raises UsageError if cron cannot run at even intervals."""
    if every < 60 and 60 % every == 0:
        return "* * * * *" if every == 1 else f"*/{every} * * * *"
    if every % 60 == 0 and DAY % every == 0:
        hours = every // 60
        return {1: "0 * * * *", 24: "0 0 * * *"}.get(hours, f"0 */{hours} * * *")
    even = [n for n in range(1, DAY + 1) if (n < 60 and 60 % n == 0) or (n % 60 == 0 and DAY % n == 0)]
    below, above = max(n for n in even if n < every), min(n for n in even if n > every)
    raise click.UsageError(
        f"--every {every}: cron cannot run at this interval evenly; use --every {below} or --every {above}, or"
        " a systemd timer (--systemd)"
    )


def _command(
    conf: str | None,
    environ: Mapping[str, str],
    started_as: str,
    programs: tuple[str, ...],
    path: str,
    credentials: bool,
) -> RunCommand:
    """Return the command of a run.

    `path` is the default search path for programs; `credentials` is as in `address.printable`.
    """
    kept = {name: environ[name] for name in PLACES if environ.get(name)}
    if FILE_VARIABLE in kept:
        kept[FILE_VARIABLE] = os.path.abspath(kept[FILE_VARIABLE])
    secret = False
    if URL_VARIABLE in kept:
        plain = address.printable(kept[URL_VARIABLE], credentials)
        secret = plain != kept[URL_VARIABLE]
        kept[URL_VARIABLE] = plain
    argv = _program(started_as)
    if argv[1:]:
        _importable(kept)
    found = [shutil.which(program) for program in programs if not shutil.which(program, path=path)]
    further = dict.fromkeys(os.path.dirname(place) for place in found if place is not None)
    if further:
        kept["PATH"] = ":".join((*further, path))
    if conf is not None:
        argv = (*argv, "-c", os.path.abspath(conf))
    argv = (*argv, "sync")
    for text in (*argv, *kept.values()):
        if not text.isprintable():
            raise Refused(
                f"{text!a}: not printable, so it cannot be written to a crontab or unit file; rename it"
            )
    return RunCommand(argv, kept, secret)


def _program(started_as: str) -> tuple[str, ...]:
    """Return the words that start this program from any directory."""
    if os.path.basename(started_as) == "__main__.py":
        return (sys.executable, "-m", "alpenhorn")
    found = started_as if "/" in started_as else shutil.which(started_as)
    return (os.path.abspath(found or started_as),)


def _importable(kept: dict[str, str]) -> None:
    """Set PYTHONPATH if `python -m` found the package only because it is in the working directory."""
    home = str(Path(str(alpenhorn.__file__)).parents[1])
    if home == os.getcwd() and home not in kept.get("PYTHONPATH", "").split(":"):
        kept["PYTHONPATH"] = ":".join(filter(None, (home, kept.get("PYTHONPATH"))))


# --- cron ----------------------------------------------------------------------------------------------


def cron_word(text: str) -> str:
    """Quote an argument for /bin/sh and for crontab(5), in which % is written \\%.

    A backslash before a % is separated from it by closing and reopening the quotes.
    """
    return shlex.quote(text).replace("\\%", "\\''%").replace("%", "\\%")


def _words(command: RunCommand) -> str:
    """Return the command as it stands in a crontab line."""
    variables = [f"{name}={value}" for name, value in command.environ.items()]
    words = [*(["env", *variables] if variables else []), *command.argv]
    return " ".join(cron_word(word) for word in words)


def _cron(command: RunCommand, every: int) -> str:
    return "\n".join(
        (
            f"# alpenhorn {_often(every)}. To install it, add --install to this command, or run crontab -e and add the"
            " last of these lines.",
            "# cron mails the output; a run prints something only if something needs attention.",
            f"# {_OVERLAP}",
            *((f"# The password in {URL_VARIABLE} is not printed: {_SECRET}.",) if command.secret else ()),
            f"{schedule(every)} {_words(command)}",
        )
    )


def _often(every: int) -> str:
    return "every minute" if every == 1 else f"every {every} minutes"


# --- systemd -------------------------------------------------------------------------------------------


def unit_word(text: str, *, command: bool) -> str:
    """Quote a value for systemd.syntax(7) and, for a `command`, for systemd.service(5)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if command:
        escaped = escaped.replace("$", "$$")
    return f'"{escaped}"'


def _units(command: RunCommand, every: int) -> str:
    files = unit_files(command, every, system=True)
    return "\n".join(
        (
            f"# alpenhorn {_often(every)}. To install it, add --install to this command, or save the two parts below as"
            " the files that they name, and run:",
            "#   systemctl daemon-reload",
            "#   systemctl enable --now alpenhorn.timer",
            "# The output of runs: journalctl -u alpenhorn.service",
            *(f"\n# /etc/systemd/system/{name}\n{text.rstrip()}" for name, text in files.items()),
        )
    )


def unit_files(command: RunCommand, every: int, *, system: bool) -> dict[str, str]:
    """Return the texts of the service and the timer, by their names.  `system`: not for a user's own systemd."""
    user = [f"User={pwd.getpwuid(os.geteuid()).pw_name}"] if system else []
    network = ["Wants=network-online.target", "After=network-online.target"] if system else []
    variables = [f"Environment={unit_word(f'{n}={v}', command=False)}" for n, v in command.environ.items()]
    secret = [f"# The password in {URL_VARIABLE} is not printed: {_SECRET}."] if command.secret else []
    service = (
        *secret,
        "[Unit]",
        "Description=alpenhorn: do the pending work on this host",
        *network,
        "",
        "[Service]",
        "Type=oneshot",
        *user,
        *variables,
        f"ExecStart={' '.join(unit_word(word, command=True) for word in command.argv)}",
        "# Another run, for example one started by hand, holds the nodes.",
        "SuccessExitStatus=75",
    )
    timer = (
        "[Unit]",
        f"Description=alpenhorn {_often(every)}",
        "",
        "[Timer]",
        "OnBootSec=1min",
        f"OnUnitActiveSec={every}min",
        "",
        "[Install]",
        "WantedBy=timers.target",
    )
    return {"alpenhorn.service": "\n".join((*service, "")), "alpenhorn.timer": "\n".join((*timer, ""))}
