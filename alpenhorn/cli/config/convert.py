"""`alpenhorn config convert`."""

from __future__ import annotations

from pathlib import Path

import click

from alpenhorn.cli import output
from alpenhorn.setup import daemon_config, toml


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def convert(file: Path) -> None:
    """FILE is the configuration of the alpenhorn daemon, such as /etc/alpenhorn/alpenhorn.conf, in YAML.  The same
    settings are printed in TOML.  Each key without an equivalent is named on standard error, with what to do
    instead.  A password in a URL is not printed.  This command needs the Python package PyYAML.

    \b
    Example:
      alpenhorn config convert /etc/alpenhorn/alpenhorn.conf > /etc/alpenhorn/alpenhorn.toml
    """
    done = daemon_config.convert(daemon_config.read(file))
    for note in done.notes:
        output.note(note)
    click.echo(toml.document(done.sections), nl=False)
