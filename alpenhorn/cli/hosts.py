"""Options and checks for the commands on hosts."""

from __future__ import annotations

import click

from alpenhorn.cli.app import CommandFunction
from alpenhorn.cli.arguments import SiteName, Text
from alpenhorn.cli.options import notes_option
from alpenhorn.errors import Refused
from alpenhorn.transfer.address import wrong_address, wrong_user


def host_options(command: CommandFunction) -> CommandFunction:
    """Add the options for the properties of a host."""
    command = notes_option(command)
    command = click.option(
        "--site",
        metavar="SITE",
        type=SiteName(),
        help="Site of the host, such as a town: policies spread copies over sites; '' is its own name.",
    )(command)
    command = click.option(
        "--username",
        metavar="USER",
        type=Text(64),
        help="User name for ssh from other hosts; '' removes it.",
    )(command)
    return click.option(
        "--address",
        metavar="ADDR",
        type=Text(255),
        help="Network address for ssh from other hosts; '' removes it.",
    )(command)


def refuse_unusable(address: str | None, username: str | None) -> None:
    """Raise Refused for an address or user name that ssh cannot use."""
    for fault in (address and wrong_address(address), username and wrong_user(username)):
        if fault:
            raise Refused(f"{fault}; nothing was changed")
