"""`alpenhorn db init`."""

from __future__ import annotations

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.coordinator import plugins
from alpenhorn.errors import Refused
from alpenhorn.index import components, schema


@click.command()
@click.option(
    "-o",
    "--only",
    metavar="COMP",
    help="Create only this component's tables: alpenhorn (the index), sync (what this program adds), or a package's.",
)
@pass_app
def init(app: App, only: str | None) -> None:
    """The tables of installed packages are included.  Nothing that exists is changed, so this is safe on an
    index that the alpenhorn daemon made, and may be repeated.  A missing SQLite file is created; a MariaDB
    database must exist.  An index of an earlier version is left to `alpenhorn db upgrade`.

    \b
    Example:
      alpenhorn db init
    """
    brought = plugins.offered_components()
    named = {one.loaded.name: one for one in brought if one.loaded is not None}
    if only is not None and only not in (*schema.COMPONENTS, *named):
        known = ", ".join((*schema.COMPONENTS, *named))
        raise click.BadParameter(
            f"unknown component {only!r}; known components: {known}", param_hint="--only"
        )
    index = app.open_index(create=True)
    index.answer_within(None)  # an index on a large table takes its time
    added = [] if only in named else schema.create(index, only)
    if only is None or only in named:
        wanted = [one.loaded for name, one in named.items() if only in (None, name)]
        made = components.create(index, wanted)
        added += made.added
        for name, why in made.refused:
            if only is not None:
                raise Refused(f"the component {name} was not added: {why}")
            output.note(f"the component {name} was not added: {why}")
    if only is None:
        for one in brought:
            if one.error:
                output.note(f"nothing was added for {one.name} of {one.origin}: {one.error}")
    for what in added:
        output.line(f"added {what}")
    if not added:
        output.line(f"nothing to add: the index {index.url} is complete")
