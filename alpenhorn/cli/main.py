"""The `alpenhorn` command: its global options, and the one place where errors are reported to the user."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

import click

from alpenhorn import __version__
from alpenhorn.cli.app import App
from alpenhorn.cli.lazy import LazyGroup
from alpenhorn.errors import DONE, FAILED, INTERRUPTED, AlpenhornError
from alpenhorn.outside import exception, harmless


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="alpenhorn", message="%(prog)s %(version)s")
@click.option("-c", "--conf", metavar="FILE", help="Read this configuration file after all others.")
@click.option("-v", "--verbose", count=True, help="Print more; may be repeated.")
@click.option("-q", "--quiet", count=True, help="Print less; may be repeated.")
@click.pass_context
def cli(ctx: click.Context, conf: str | None, verbose: int, quiet: int) -> None:
    """Keep replicas of data where they belong, from a cron line and without a daemon.

    \b
    Examples:
      alpenhorn sync          do what is to be done on this host
      alpenhorn status        see how every node is doing
    """
    app = ctx.ensure_object(App)
    app.conf = conf
    app.verbosity = verbose - quiet
    ctx.call_on_close(app.close)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status; errors are printed as plain lines.

    A command's status is what it passes to `ctx.exit`, or the int that it returns.
    """
    _open_standard_streams()
    _print_anything()
    app = App()
    status = _run(app, arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes once more as it ends, and must not stumble over the same output again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError) or status != DONE:
            return status or FAILED
        return _tell(f"the output could not be written: {error.strerror}", FAILED)
    return status


def _open_standard_streams() -> None:
    """Where a launcher closed one of them, a pipe or the index would get its number, and be printed into."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.close(fd)
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is that one
            setattr(sys, name, open(fd, "r" if fd == 0 else "w"))  # noqa: SIM115


def _print_anything() -> None:
    """Print a letter that the output's encoding lacks as an escape.

    In UTF-8 mode a terminal still wants the encoding of its locale.  A pipe or a file gets names as they are on disk.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        encoding = None
        if sys.flags.utf8_mode and "PYTHONIOENCODING" not in os.environ and stream.isatty():
            import locale  # 2 ms that nearly no locale needs

            encoding = locale.getencoding()
        stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _run(app: App, arguments: list[str] | None) -> int:
    try:
        result = cli.main(arguments, prog_name="alpenhorn", standalone_mode=False, obj=app)
    except click.ClickException as error:
        # What click says quotes what was typed.
        said = io.StringIO()
        error.show(said)
        for line in said.getvalue().removesuffix("\n").split("\n"):
            click.echo(harmless(line), err=True)
        return error.exit_code
    except click.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            return INTERRUPTED
        return _tell("stopped; nothing more was done", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except AlpenhornError as error:
        _trace(app)
        return _tell(str(error), error.exit_status)
    except Exception as error:
        _trace(app)
        hint = "" if app.verbosity > 1 else " (alpenhorn -vv shows where)"
        if isinstance(error, OSError) and error.strerror:
            what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        else:
            what = exception(error)
        return _tell(what + hint, FAILED)
    return result if isinstance(result, int) else DONE


def _tell(message: str, status: int) -> int:
    with suppress(OSError):  # where standard error takes nothing, the status must still tell
        for line in message.split("\n"):
            click.echo(f"Error: {harmless(line)}", err=True)
    return status


def _trace(app: App) -> None:
    if app.verbosity > 1:
        # Imported here because it is only needed for a message.
        import traceback

        for line in traceback.format_exc().removesuffix("\n").split("\n"):
            click.echo(harmless(line), err=True)
