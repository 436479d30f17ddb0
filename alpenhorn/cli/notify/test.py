"""`alpenhorn notify test`: send a test message through each channel."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.errors import DONE, FAILED, Refused
from alpenhorn.monitoring.notify import send_test


@click.command()
@pass_app
def test(app: App) -> int:
    """The channels are those of the section [notify] of the configuration: the ping, each Apprise URL, and the
    command.  The ping is sent to /log, which does not tell the dead man's switch that a run worked.  A line
    for each channel says whether it accepted the message within 10 seconds; the exit status is 1 if one did not.
    The index is not used.

    \b
    Example:
      alpenhorn notify test
    """
    if not app.config.notify.wanted:
        raise Refused("no notifications are configured: set ping, apprise or command below [notify]")
    failed = False
    for name, why in send_test(app.config):
        output.line(f"failed  {name}: {why}" if why else f"ok      {name}")
        failed = failed or bool(why)
    return FAILED if failed else DONE
