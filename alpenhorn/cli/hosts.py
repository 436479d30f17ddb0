"""Options and checks of the commands on hosts."""

from __future__ import annotations

import click

from alpenhorn.cli.app import CommandFunction
from alpenhorn.cli.arguments import Text
from alpenhorn.cli.options import notes_option
from alpenhorn.errors import Refused


def host_options(command: CommandFunction) -> CommandFunction:
    """The properties of a host, as for `create` and `modify`."""
    command = notes_option(command)
    command = click.option(
        "--username",
        metavar="USER",
        type=Text(64),
        help="User name with which other hosts log in; '' removes it.",
    )(command)
    return click.option(
        "--address",
        metavar="ADDR",
        type=Text(255),
        help="Address at which other hosts reach it; '' removes it.",
    )(command)


def refuse_useless(address: str | None, username: str | None) -> None:
    """Raise Refused for an address or user name with which every pull would fail."""
    from alpenhorn.transfer.address import wrong_address, wrong_user  # only edits need them

    for fault in (address and wrong_address(address), username and wrong_user(username)):
        if fault:
            raise Refused(f"{fault}; nothing was changed")
