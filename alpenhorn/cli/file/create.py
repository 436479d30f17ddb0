"""`alpenhorn file create`."""

from __future__ import annotations

import os
import stat
from shlex import quote

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.complete import ACQ
from alpenhorn.cli.files import facts_options
from alpenhorn.cli.paths import NEW_FILE
from alpenhorn.edits import files as edit_file
from alpenhorn.errors import NotFound, Refused, UnsafePath
from alpenhorn.fs.hashing import Digests, digests_of
from alpenhorn.fs.paths import open_below
from alpenhorn.index.connection import Index
from alpenhorn.plan.paths import unsafe
from alpenhorn.scan import names


@click.command()
@click.argument("name", type=NEW_FILE, metavar="NAME")
@click.argument("acq_name", type=ACQ, metavar="ACQ")
@click.option("--from-file", is_flag=True, help="Read the length and MD5 sum from the file PREFIX/ACQ/NAME.")
@facts_options
@click.option(
    "--prefix",
    metavar="PREFIX",
    help="With --from-file: directory of the acquisition (default: the working directory).",
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
    """Give the length and MD5 sum with --size and --md5, or read them from the file with --from-file.  Only the index
    is changed; no node has a copy yet.

    \b
    Examples:
      alpenhorn file create 0001.h5 20260722T000000Z_pilot --from-file --prefix /data
      alpenhorn file create 0001.h5 20260722T000000Z_pilot --size 1048576 \\
          --md5 b6d81b360a5672d80c27430f39153e2c
    """
    given = [option for option, value in (("--md5", md5sum), ("--size", size_b)) if value is not None]
    if from_file and given:
        raise click.UsageError(f"--from-file and {given[0]} cannot be used together")
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
    sha256 = ""
    if from_file:
        size_b, (md5sum, sha256) = _read(prefix, path, app.config.sync.sha256)
    assert size_b is not None and md5sum is not None
    edit_file.create(index, acq.id, acq.name, name, size_b, md5sum, app.stamp(), sha256)
    output.line(f"Created file {path}: {output.size(size_b)}, MD5 sum {md5sum}.")
    output.line(
        f"No node has a copy yet; to import one that is on a node: alpenhorn file import {quote(path)} NODE"
    )


def _acq(index: Index, name: str) -> names.NamedRow:
    try:
        return names.acq(index, name)
    except NotFound as error:
        raise NotFound(f"{error}; to create it: alpenhorn acq create {quote(name)}") from None


def _refuse_same_path(index: Index, path: str, acq: names.NamedRow, name: str) -> None:
    """Raise Refused for an existing path, before the file is read, which may take hours."""
    edit_file.refuse_taken(index, acq.id, acq.name, name)
    try:
        there = names.file(index, path)
    except NotFound:
        return
    raise Refused(
        f"{path!r}: already exists as file {there.name!r} of acquisition {there.acq!r}; nothing was changed"
    )


def _read(prefix: str | None, path: str, sha256: bool) -> tuple[int, Digests]:
    """Return the length and the sums of the file at `path` below `prefix`.  Raises Refused."""
    shown = os.path.join(prefix or "", path)
    try:
        root = os.getcwd() if prefix is None else prefix
        shown = os.path.join(root, path)
        # Do not block on a FIFO without a writer.
        fd = open_below(root, path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise _unread(shown, "not a regular file")
            size_b, sums = digests_of(fd, before.st_size, sha256=sha256)
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
        raise _unread(shown, "changed while being read")
    return size_b, sums


def _times(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_ctime_ns


def _unread(path: str, why: str) -> Refused:
    return Refused(f"{path!r}: cannot be read: {why}; nothing was changed")
