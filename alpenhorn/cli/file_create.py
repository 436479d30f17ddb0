"""`alpenhorn file create` and `modify`: what the index says of a file itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any

import click

from alpenhorn.cli import output
from alpenhorn.cli.acq_edit import NEW_FILE
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import ACQ, NODE
from alpenhorn.cli.options import Command
from alpenhorn.edits import files as edit_file
from alpenhorn.errors import NotFound, Refused, UnsafePath
from alpenhorn.fs.hashing import md5_of
from alpenhorn.fs.paths import open_below
from alpenhorn.index.connection import Index
from alpenhorn.listings import storage
from alpenhorn.plan.paths import unsafe
from alpenhorn.scan import names

MOST_BYTES = 2**63 - 1  # what a BIGINT column holds


class Md5(click.ParamType[str]):
    """An MD5 sum, made lower case."""

    name = "md5"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # Imported here because all `file` commands would pay for it.
        from alpenhorn.plan.pulls import MD5

        text = str(value)
        if not MD5.fullmatch(text):
            self.fail(f"{text[:80]!a} is no MD5 sum, which has 32 hexadecimal digits", param, ctx)
        return text.lower()


class Bytes(click.ParamType[int]):
    """A length in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > MOST_BYTES:
            self.fail(f"{text[:80]!a} is no number of bytes from 0 to {MOST_BYTES}", param, ctx)
        return int(text)


def facts_options(command: Command) -> Command:
    command = click.option(
        "--size",
        "size_b",
        metavar="SIZE",
        type=Bytes(),
        help="The file's length in bytes.",
    )(command)
    return click.option(
        "--md5", "md5sum", metavar="HASH", type=Md5(), help="The file's MD5 sum: 32 hexadecimal digits."
    )(command)


@click.command()
@click.argument("name", type=NEW_FILE, metavar="NAME")
@click.argument("acq_name", type=ACQ, metavar="ACQ")
@click.option("--from-file", is_flag=True, help="Read length and MD5 sum from the file PREFIX/ACQ/NAME.")
@facts_options
@click.option(
    "--prefix", metavar="PREFIX", help="With --from-file: a directory; by default the working directory."
)
@pass_app
def create(
    app: App,
    name: str,
    acq_name: str,
    from_file: bool,
    md5sum: str | None,
    prefix: str | None,
    size_b: int | None,
) -> None:
    """Create a file in an acquisition, of which no node has a copy yet.

    Its length and MD5 sum are given with --size and --md5, or read from the file itself with --from-file.
    Nothing is copied, and nothing recorded of where the file is.

    \b
    Examples:
      alpenhorn file create 0001.h5 20260722T000000Z_pilot --from-file --prefix /data
      alpenhorn file create 0001.h5 20260722T000000Z_pilot --size 1048576 \\
          --md5 b6d81b360a5672d80c27430f39153e2c
    """
    given = [option for option, value in (("--md5", md5sum), ("--size", size_b)) if value is not None]
    if from_file and given:
        raise click.UsageError(f"--from-file reads what {given[0]} would say; give one of them")
    if not from_file and len(given) < 2:
        raise click.UsageError("give --md5 HASH and --size SIZE, or --from-file")
    if prefix is not None and not from_file:
        raise click.UsageError("--prefix needs --from-file")
    index = app.index
    acq = _acq(index, acq_name)
    path = f"{acq.name}/{name}"
    wrong = unsafe(acq.name, name)
    if wrong:
        raise Refused(wrong)
    _refuse_same_path(index, path, acq, name)
    if from_file:
        size_b, md5sum = _read(prefix, path)
    assert size_b is not None and md5sum is not None
    edit_file.create(index, acq.id, acq.name, name, size_b, md5sum, app.stamp())
    output.line(f"Created file {path}: {output.size(size_b)}, MD5 sum {md5sum}.")
    output.line(f"No node has it yet; to take in a copy that is on a node: alpenhorn file import {path} NODE")


def _acq(index: Index, name: str) -> names.NamedRow:
    try:
        return names.acq(index, name)
    except NotFound as error:
        raise NotFound(f"{error}; to make a new one: alpenhorn acq create NAME") from None


def _refuse_same_path(index: Index, path: str, acq: names.NamedRow, name: str) -> None:
    """Asked before the file is read, which may take hours."""
    edit_file.refuse_taken(index, acq.id, acq.name, name)
    try:
        there = names.file(index, path)
    except NotFound:
        return
    raise Refused(
        f"there is a file {path!r} already: {there.name!r} of the acquisition {there.acq!r}; nothing was changed"
    )


def _read(prefix: str | None, path: str) -> tuple[int, str]:
    """The length and MD5 sum of the file at `path` below `prefix`.  Raises Refused."""
    shown = os.path.join(prefix or "", path)
    try:
        root = os.getcwd() if prefix is None else prefix
        shown = os.path.join(root, path)
        # A FIFO without a writer must not be waited for.
        fd = open_below(root, path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise _unread(shown, "it is not a regular file")
            size_b, md5sum = md5_of(fd, before.st_size)
            after = os.fstat(fd)
        finally:
            os.close(fd)
    except UnsafePath as error:
        raise _unread(shown, str(error)) from None
    except OSError as error:
        raise _unread(shown, error.strerror or str(error)) from None
    except ValueError as error:  # a NUL in the prefix
        raise _unread(shown, str(error)) from None
    if size_b != after.st_size or _times(before) != _times(after):
        raise _unread(shown, "it changed while it was read")
    return size_b, md5sum


def _times(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_ctime_ns


def _unread(path: str, why: str) -> Refused:
    return Refused(f"cannot read {path!r}: {why}; nothing was changed")


@click.command()
@click.argument("path", metavar="FILE")
@facts_options
@click.option(
    "--from-copy",
    type=NODE,
    metavar="NODE",
    help="Read the length and MD5 sum from the copy on NODE, on this host.",
)
@click.option("--force", is_flag=True, help="With --from-copy: replace a length or MD5 sum that is known.")
@click.option("--no-reverify", is_flag=True, help="Leave its copies as good as they are recorded.")
@pass_app
def modify(
    app: App,
    path: str,
    from_copy: str | None,
    force: bool,
    md5sum: str | None,
    no_reverify: bool,
    size_b: int | None,
) -> None:
    """Correct the length or the MD5 sum that the index has of a file.

    What was good by the old values may not be by the new ones, and the other way round: its good and corrupt copies
    count as suspect until they have been read, unless --no-reverify is given.

    A file without a length or an MD5 sum is not copied, since nothing tells whether a copy is right.  --from-copy
    computes both from a copy that is known to be right.

    \b
    Examples:
      alpenhorn file modify 20260722T000000Z_pilot/0001.h5 --md5 b6d81b360a5672d80c27430f39153e2c
      alpenhorn file modify 20260722T000000Z_pilot/0001.h5 --from-copy archive1
    """
    if from_copy is None and md5sum is None and size_b is None:
        raise click.UsageError("give --md5 HASH, --size SIZE, or both, or --from-copy NODE")
    if from_copy is not None and not (md5sum is None and size_b is None):
        raise click.UsageError(
            "--from-copy reads the length and the MD5 sum; give it without --md5 and --size"
        )
    if force and from_copy is None:
        raise click.UsageError("--force needs --from-copy")
    index = app.index
    file = names.file(index, path)
    known = None
    if from_copy is not None:
        from alpenhorn.cli.from_copy import read  # only this option needs it

        size_b, md5sum, known = read(app, file, from_copy, force)
    done = edit_file.modify(
        index, file.id, size_b, md5sum, app.stamp(), reverify=not no_reverify, known=known
    )
    if not done.changed:
        output.line("No change.")
        return
    length = "unknown" if done.size_b is None else f"{done.size_b} bytes"
    output.line(f"Changed file {file.path}: length {length}, MD5 sum {done.md5sum or 'unknown'}.")
    _tell_checks(index, done.suspect)
    if done.suspect and (done.size_b is None or not done.md5sum):
        missing = "--size SIZE" if done.size_b is None else "--md5 HASH"
        output.note(
            f"no copy can be checked before this is known: alpenhorn file modify {file.path} {missing}"
        )
    if done.corrupt:
        nodes = storage.nodes(index)
        first = next((node.name for node in nodes if node.id in done.corrupt), "NODE")
        copies = output.count(len(done.corrupt), "copy is", "copies are")
        output.note(
            f"{copies} recorded as corrupt, by the old values; to have one checked by the new ones:"
            f" alpenhorn file verify {file.path} {first}"
        )


def _tell_checks(index: Index, node_ids: Sequence[int]) -> None:
    """Say who reads the copies that became suspect, and which nobody does for now."""
    if not node_ids:
        return
    nodes = [node for node in storage.nodes(index) if node.id in node_ids]
    by_host: dict[str, list[str]] = {}
    for node in nodes:
        if node.active and node.host and node.root:
            by_host.setdefault(node.host, []).append(node.name)
    copies = output.count(len(node_ids), "copy is", "copies are")
    where = "; ".join(f"on {host}: {', '.join(those)}" for host, those in sorted(by_host.items()))
    output.line(f"{copies} suspect until read" + (f", by the next run {where}." if where else "."))
    idle = [node.name for node in nodes if not (node.active and node.host and node.root)]
    if idle:
        output.note(
            f"no run reads a copy on {', '.join(idle)} before: alpenhorn node activate {idle[0]}"
            " (with --host and --root where the node has none)"
        )
