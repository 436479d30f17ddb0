"""`alpenhorn init`: set up an archive on this host, by the commands that a user would type."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from alpenhorn import address
from alpenhorn.cli import output, questions
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.arguments import MOST_COUNT, NAME
from alpenhorn.cli.commands import is_group, load
from alpenhorn.cli.crontab import every_option, is_installed, run_command, schedule
from alpenhorn.cli.options import check_option
from alpenhorn.cli.start_arguments import IndexUrl, NodePlace, config_path
from alpenhorn.config import refuse_new_index, user_file, written
from alpenhorn.errors import AlpenhornError, IndexIncomplete, IndexUnusable, Refused
from alpenhorn.index import current
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import total
from alpenhorn.listings import storage
from alpenhorn.listings.doctor import try_to_write
from alpenhorn.scan import rules
from alpenhorn.setup.config_file import NewFile, new_file
from alpenhorn.setup.directories import SeenDirectory, directories, file_systems, is_writable
from alpenhorn.setup.schedule import kinds
from alpenhorn.setup.start import UNCHANGED, Chosen, Known, Start, Wanted, WantedNode, on_one_disk, start

NONE = "none"
VERIFIED = 10  # copies of a node that each run reads again
NO_GROUP = 0  # the id of no group, which lacks all files


class StartOptions(NamedTuple):
    """The options, or the answers to the questions in their place.  `url`, `host`: None for what is configured."""

    url: str | None
    password_file: Path | None
    host: str | None
    keep: tuple[WantedNode, ...]
    on: tuple[WantedNode, ...]
    schedule: str
    every: int
    auto_verify: int


@click.command()
@click.option(
    "--keep",
    type=NodePlace(),
    metavar="[NODE=]DIR",
    multiple=True,
    help="Directory whose files are to be kept; may be repeated.",
)
@click.option(
    "--on",
    type=NodePlace(),
    metavar="[NODE=]DISK",
    multiple=True,
    help="Directory on a disk for copies of all files; may be repeated.",
)
@click.option(
    "--index", "url", type=IndexUrl(), metavar="URL", help="URL of the index (default: an SQLite file)."
)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, readable=True),
    callback=config_path,
    metavar="FILE",
    help="File with the password of the index's server.",
)
@click.option("--host", type=NAME, metavar="NAME", help="Name of this host (default: its host name).")
@click.option(
    "--schedule",
    "scheduler",
    type=click.Choice([NONE, "cron", "systemd"]),
    help="Install a cron line or a systemd timer for regular runs (default: none).",
)
@every_option("Interval between runs, with --schedule.")
@click.option(
    "--auto-verify",
    metavar="COUNT",
    type=click.IntRange(0, MOST_COUNT),
    default=VERIFIED,
    show_default=True,
    help="Number of copies on each new node that each run reads again; 0 for none.",
)
@click.option("-y", "--yes", is_flag=True, help="Ask nothing; needs --keep and --on.")
@check_option
@pass_app
@click.pass_context
def init(
    ctx: click.Context,
    app: App,
    keep: tuple[WantedNode, ...],
    on: tuple[WantedNode, ...],
    url: str | None,
    password_file: Path | None,
    host: str | None,
    scheduler: str | None,
    every: int,
    auto_verify: int,
    yes: bool,
    check: bool,
) -> None:
    """On a terminal, this command asks for what is not given by options.  Each directory that is to be kept and each
    disk becomes a node of this host; the disks are archive nodes.  Runs import new files in the directories and copy
    them to every disk, so that with two disks each file has two verified copies besides the original.

    Everything is checked first.  Then the ordinary commands that are needed are printed and run.  What is there
    already is left as it is, so the command may be repeated, for example to add a disk or after an interruption.

    \b
    Examples:
      alpenhorn init
      alpenhorn init --yes --keep ~/data --on /mnt/disk1 --on /mnt/disk2
      alpenhorn init --yes --keep data=/srv/data --on vault=/mnt/disk1 --schedule cron
    """
    asking = not (yes or check)
    if asking and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused(f"cannot ask without a terminal; {UNCHANGED}; use --yes with --keep DIR and --on DISK")
    if not asking and not (keep and on):
        raise click.UsageError("--yes and --check need --keep DIR and --on DISK")
    password = Path(password_file) if password_file else None
    given = StartOptions(url, password, host, keep, on, scheduler or NONE, every, auto_verify)
    asked = _questions(app, given, scheduler is None) if asking else given
    _Setup(ctx, app, asked).run(check=check, asking=asking)


def _questions(app: App, given: StartOptions, ask_schedule: bool) -> StartOptions:
    """Ask for what was not given."""
    found = written(None if app.conf is None else Path(app.conf), os.environ)
    default = app.config.database.url
    if given.url is None and app.config.embedded and not os.path.exists(address.sqlite_path(default) or ""):
        refuse_new_index(os.environ)
        output.line(
            "The index is the database that records files and copies. For one host, an SQLite file is enough; several"
            " hosts that share an archive need a MariaDB server."
        )
        question = "Index (Enter for an SQLite file on this host, or mysql://USER@SERVER/DATABASE)"
        given = given._replace(url=questions.text(question, IndexUrl(), default, shown=False))
    if given.host is None and ("sync", "host") not in found:
        given = given._replace(host=questions.text("Name of this host", NAME, app.host))
    if not given.keep:
        place = questions.place("Directory whose files are to be kept", NodePlace())
        given = given._replace(keep=() if place is None else (place,))
    if not given.on:
        given = given._replace(on=questions.disks(file_systems(app.disconnect), NodePlace(), given.keep))
    if ask_schedule and (possible := kinds()):
        scheduler = questions.one_of("Start runs regularly by", [*possible, NONE], possible[0])
        given = given._replace(schedule=scheduler)
    return given


def _now(number: int, remedy: str = "") -> str:
    """Return a number of entries, in brackets, if it is not 0."""
    return f" (now {number}{remedy})" if number else ""


def _unrequested(index: Index, node_id: int, group_id: int) -> int:
    """Return the number of good copies on a node that are neither in a group nor requested there."""
    return total(index, rules.unrequested(node_id, group_id)).files


class _Setup:
    """Checks everything, shows the commands, and runs them."""

    def __init__(self, ctx: click.Context, app: App, asked: StartOptions) -> None:
        self.ctx = ctx
        self.app = app
        self.asked = asked

    def run(self, *, check: bool, asking: bool) -> None:
        file = self._configuration()
        init_needed, known = self._index()
        seen = self._directories(known)
        wanted = Wanted(self.app.host, self.asked.keep, self.asked.on, self.asked.auto_verify)
        found = start(wanted, known, seen)
        steps = [["db", "init"]] * init_needed + found.commands + self._schedule()
        for line in found.present:
            output.line(f"Already there: {line}.")
        doubtful = on_one_disk((*found.keep, *found.on), seen)
        for line in doubtful:
            output.warning(line)
        if not steps and file is None:
            output.line("No change: everything is set up already.")
        elif check:
            self._show(file, steps)
        else:
            if asking:
                output.line("")
                output.line("These commands will be run:")
                self._show(file, steps)
                click.confirm(
                    "Run them" + (", although copies share a disk?" if doubtful else "?"), abort=True
                )
            self._do(file, steps)
        self._explain(found, seen, check)

    # --- checks, which change nothing ----------------------------------------------------------------------

    def _configuration(self) -> NewFile | None:
        """Make the wanted configuration that of this process; return the file to write, if one is needed."""
        app, asked = self.app, self.asked
        config = app.config
        found = written(None if app.conf is None else Path(app.conf), os.environ)
        new: dict[str, dict[str, str]] = {"database": {}, "sync": {}}
        if asked.url is not None and asked.url != config.database.url:
            if not config.embedded:
                place = found["database", "extension" if config.database.extension else "url"]
                raise Refused(
                    f"another index is configured in {place.origin}; {UNCHANGED}; leave out --index,"
                    " or change the configuration (see: alpenhorn config show)"
                )
            new["database"]["url"] = asked.url
        if asked.password_file is not None and asked.password_file != config.database.password_file:
            if config.database.extension:
                raise Refused(
                    f"the extension {config.database.extension} connects to the index; {UNCHANGED}; leave out"
                    " --password-file"
                )
            if ("database", "password_file") in found:
                raise Refused(
                    f"another password file is configured; {UNCHANGED}; leave out --password-file, or change the"
                    " configuration (see: alpenhorn config show)"
                )
            new["database"]["password_file"] = str(asked.password_file)
        if asked.host is not None and asked.host != config.sync.host:
            if ("sync", "host") in found:
                raise Refused(
                    f"this host is named {config.sync.host} in {found['sync', 'host'].origin}; {UNCHANGED}; leave out"
                    " --host, or change the configuration"
                )
            new["sync"]["host"] = asked.host
        if not any(new.values()):
            return None
        file = new_file(user_file(os.environ), new)
        # The file does not exist yet, and everything is checked with its settings first.
        app.config = config._replace(
            database=config.database._replace(
                url=asked.url or config.database.url,
                password_file=asked.password_file or config.database.password_file,
            ),
            sync=config.sync._replace(host=asked.host or config.sync.host),
            embedded=config.embedded and not new["database"],
        )
        return file

    def _index(self) -> tuple[bool, Known]:
        """Return whether `db init` is needed, and what the index has.  Raises IndexUnusable if it cannot be changed."""
        path = address.sqlite_path(self.app.config.database.url)
        if path is not None and not os.path.exists(path):
            if self.app.config.embedded:
                refuse_new_index(os.environ)
            above = next(parent for parent in Path(path).parents if parent.exists())
            if not is_writable(above):
                raise IndexUnusable(
                    f"index {path}: cannot be created: {above} is not a writable directory; {UNCHANGED}"
                )
            return True, Known()
        index = self.app.open_index()
        try:
            current.require_current(index)
        except IndexIncomplete:
            # Without all tables of the daemon, an earlier `db init` was interrupted, and there are no rows.
            complete = not current.missing_tables(index)
            return True, self._known(index, own_tables=False) if complete else Known()
        try_to_write(index)
        return False, self._known(index)

    def _known(self, index: Index, own_tables: bool = True) -> Known:
        nodes = storage.nodes(index, own_tables=own_tables)
        groups = storage.groups(index)
        hosts = storage.hosts(index, own_tables=own_tables)
        here = [node for node in nodes if node.host == self.app.host]
        sources = {node.id: node.name for node in here if node.auto_import}
        targets = {node.group for node in here if node.archive}
        ids = {group.name: group.id for group in groups if group.name in targets}
        return Known(
            frozenset(host.name for host in hosts),
            frozenset(group.name for group in groups),
            tuple(nodes),
            frozenset((rule.node, rule.group) for rule in rules.rules(index) if rule.autosync),
            frozenset(name for node_id, name in sources.items() if _unrequested(index, node_id, NO_GROUP)),
            frozenset(
                (name, group)
                for node_id, name in sources.items()
                for group, group_id in ids.items()
                if _unrequested(index, node_id, group_id)
            ),
        )

    def _directories(self, known: Known) -> dict[str, SeenDirectory]:
        roots = [node.root for node in known.nodes if node.host == self.app.host and node.root]
        self.app.disconnect()
        return directories(
            [*(place.root for place in (*self.asked.keep, *self.asked.on)), *roots], self.app.disconnect
        )

    def _schedule(self) -> list[list[str]]:
        if self.asked.schedule == NONE:
            return []
        systemd, every = self.asked.schedule == "systemd", self.asked.every
        if not systemd:
            schedule(every)  # refuses an interval that cron does not have
        if is_installed(run_command(self.app, systemd), every, systemd):
            return []
        return [["crontab", *(["--systemd"] if systemd else []), "--every", str(every), "--install"]]

    # --- work ----------------------------------------------------------------------------------------------

    def _line(self, step: Sequence[str]) -> str:
        conf = [] if self.app.conf is None else ["-c", self.app.conf]
        return shlex.join(["alpenhorn", *conf, *step])

    def _show(self, file: NewFile | None, steps: Sequence[Sequence[str]]) -> None:
        if file is not None:
            output.line(f"$ {file.command()}")
        for step in steps:
            output.line(f"$ {self._line(step)}")

    def _do(self, file: NewFile | None, steps: Sequence[Sequence[str]]) -> None:
        """Run each step as if it had been typed."""
        try:
            if file is not None:
                output.line(f"$ {file.command()}")
                file.write()
            for step in steps:
                output.line(f"$ {self._line(step)}")
                words = 2 if is_group(step[0]) else 1
                command = load(" ".join(step[:words]))
                root = self.ctx.find_root()
                with command.make_context(command.name, list(step[words:]), parent=root) as context:
                    command.invoke(context)
        except AlpenhornError:
            output.warning(
                "not all commands were run; after correcting this, run `alpenhorn init` again to complete"
            )
            raise

    def _explain(self, found: Start, seen: dict[str, SeenDirectory], check: bool) -> None:
        output.line("")
        patterns = len(self.app.config.import_.ignore)
        for one in found.keep:
            at = seen[one.root]
            if one.top_acq:
                kept = f", and files directly in it{_now(at.loose)}, which runs move into its directory {one.top_acq},"
                loose = ""
            else:
                top = f"alpenhorn node modify {shlex.quote(one.name)} --top-acq ACQ"
                remedy = f"; move them into a directory, or let runs do that: {top}"
                kept, loose = "", f"files directly in it{_now(at.loose, remedy)}, "
            output.line(
                f"Files in directories below {one.root}{kept} are kept. Not kept: {loose}names that begin with a dot"
                f"{_now(at.hidden)}, symbolic links{_now(at.links)}, and files whose path matches [import] ignore in"
                f" the configuration{_now(patterns, ' pattern' if patterns == 1 else ' patterns')}."
            )
        output.line(
            "To list what is not kept: alpenhorn reconcile --dry-run --min-age 0. To see what is being done: alpenhorn"
            " status"
        )
        new = [one for one in (*found.keep, *found.on) if one.new]
        if new:
            output.line(self._verification(new[0]))
        least = self.app.config.sync.archive_copy_count
        if len(found.on) < least:
            output.line(
                f"With {output.count(len(found.on), 'disk')} for copies, alpenhorn never deletes a released copy: that"
                f" needs {least} archive copies elsewhere (sync.archive_copy_count)."
            )
        if self.asked.schedule == NONE and not check:
            output.line(
                "Files are copied by runs. To start one: alpenhorn sync. To start runs regularly: alpenhorn crontab"
                " --install"
            )

    def _verification(self, example: Chosen) -> str:
        """Return what runs read again, and how to change that; `example`: a new node."""
        count, days = self.asked.auto_verify, self.app.config.sync.auto_verify_min_days
        change = f"alpenhorn node modify {shlex.quote(example.name)} --auto-verify COUNT"
        if not count:
            return f"Runs do not read copies again, so decay is not noticed. To change that: {change}"
        often = f"; none sooner than {days:g} days after it was read" if days else ""
        return (
            f"To find decay, each run reads up to {output.count(count, 'copy', 'copies')} on each new node again, those"
            f" read longest ago first{often}. To change the number: {change}"
        )
