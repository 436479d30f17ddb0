"""The `alpenhorn` command: its global options, and the reporting of errors."""

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
@click.option("-c", "--conf", metavar="FILE", help="Additional configuration file; overrides all others.")
@click.option("-v", "--verbose", count=True, help="More output; may be repeated.")
@click.option("-q", "--quiet", count=True, help="Less output; may be repeated.")
@click.option(
    "--local-time/--utc",
    default=None,
    help="Print and take times in local time, or in UTC (default: UTC, or [output] time).",
)
@click.pass_context
def cli(ctx: click.Context, conf: str | None, verbose: int, quiet: int, local_time: bool | None) -> None:
    """Keep replicas of data on the storage nodes where they belong, without a daemon.

    \b
    Examples:
      alpenhorn sync          do the pending work on this host
      alpenhorn status        show the state of every node
    """
    app = ctx.ensure_object(App)
    app.conf = conf
    app.verbosity = verbose - quiet
    app.asked_local_time = local_time
    ctx.call_on_close(app.close)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status; print errors as plain lines.

    A command sets its exit status with `ctx.exit`, or by returning an int.
    """
    _open_standard_streams()
    _print_anything()
    app = App()
    status = _run(app, arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        # Otherwise the interpreter would fail on the same output again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError) or status != DONE:
            return status or FAILED
        return _report_error(f"standard output: cannot be written: {error.strerror}", FAILED)
    return status


def _open_standard_streams() -> None:
    """Open /dev/null for closed standard streams; otherwise output could go into the index or a pipe."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.close(fd)
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is fd
            setattr(sys, name, open(fd, "r" if fd == 0 else "w"))  # noqa: SIM115


def _print_anything() -> None:
    """Escape characters that the encoding of the output lacks.

    A terminal uses the encoding of its locale even in UTF-8 mode.  A pipe or a file gets names as they are on disk.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        encoding = None
        if sys.flags.utf8_mode and "PYTHONIOENCODING" not in os.environ and stream.isatty():
            import locale  # takes 2 ms; few locales need it

            encoding = locale.getencoding()
        stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _run(app: App, arguments: list[str] | None) -> int:
    try:
        result = cli.main(arguments, prog_name="alpenhorn", standalone_mode=False, obj=app)
    except click.ClickException as error:
        # The message of click contains user input, which must be escaped.
        message = io.StringIO()
        error.show(message)
        if isinstance(error, click.NoSuchOption):
            message.write(_about_place(error))
        for line in message.getvalue().removesuffix("\n").split("\n"):
            click.echo(harmless(line), err=True)
        return error.exit_code
    except click.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            return INTERRUPTED
        return _report_error("stopped; nothing more was done", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except AlpenhornError as error:
        _trace(app)
        return _report_error(str(error), error.exit_status)
    except Exception as error:
        _trace(app)
        from alpenhorn import logs  # only needed after an error

        logs.unexpected()
        hint = "" if app.verbosity > 1 else " (alpenhorn -vv prints a traceback)"
        if isinstance(error, OSError) and error.strerror:
            what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        else:
            what = exception(error)
        return _report_error(what + hint, FAILED)
    return result if isinstance(result, int) else DONE


def _about_place(error: click.NoSuchOption) -> str:
    """Return advice if the option is known, but must be given before the command."""
    for option in cli.params:
        if error.option_name in (*option.opts, *option.secondary_opts) and error.ctx and error.ctx.parent:
            value = f" {option.metavar}" if option.metavar else ""
            program, _, command = error.ctx.command_path.partition(" ")
            return f"It is given before the command: {program} {error.option_name}{value} {command}\n"
    return ""


def _report_error(message: str, status: int) -> int:
    with suppress(OSError):  # even if standard error cannot be written, the status must be returned
        for line in message.split("\n"):
            click.echo(f"Error: {harmless(line)}", err=True)
    return status


def _trace(app: App) -> None:
    if app.verbosity > 1:
        # Imported here because it is needed only after an error.
        import traceback

        for line in traceback.format_exc().removesuffix("\n").split("\n"):
            click.echo(harmless(line), err=True)
