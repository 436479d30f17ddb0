"""`alpenhorn db init`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from alpenhorn.cli import output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.coordinator import plugins
from alpenhorn.errors import Refused
from alpenhorn.index import components, schema

# The first words of what is added, and their names in a count.
KINDS = {
    "table": ("table",),
    "column": ("column",),
    "index": ("index", "indexes"),
    "version": ("component version",),
}


@click.command()
@click.option(
    "-o",
    "--only",
    metavar="COMP",
    help="Create only the tables of this component: alpenhorn (shared with the daemon), sync (added by this program),"
    " or that of an extension.",
)
@pass_app
def init(app: App, only: str | None) -> None:
    """The tables of installed extensions are included.  Existing tables are not changed, so this is safe on an index
    that the alpenhorn daemon created, and may be repeated.  A missing SQLite file is created; a MariaDB
    database must exist.  To upgrade an index of an earlier version, use `alpenhorn db upgrade`.  With -v each
    table and index that was added is listed.

    \b
    Example:
      alpenhorn db init
    """
    offered = plugins.offered_components()
    named = {one.loaded.name: one for one in offered if one.loaded is not None}
    if only is not None and only not in (*schema.COMPONENTS, *named):
        known = ", ".join((*schema.COMPONENTS, *named))
        raise click.BadParameter(
            f"{only!r}: unknown component; known components: {known}", param_hint="--only"
        )
    index = app.open_index(create=True)
    index.answer_within(None)  # no timeout: an index on a large table takes long
    added = [] if only in named else schema.create(index, only)
    complete = True
    if only is None or only in named:
        wanted = [one.loaded for name, one in named.items() if only in (None, name)]
        made = components.create(index, wanted)
        added += made.added
        for name, why in made.refused:
            if only is not None:
                raise Refused(f"component {name}: not added: {why}")
            output.warning(f"component {name}: not added: {why}")
            complete = False
    if only is None:
        for one in offered:
            if one.error:
                output.warning(f"extension {one.name} of {one.origin}: no tables added: {one.error}")
                complete = False
    if app.verbosity > 0:
        output.lines(f"added {what}" for what in added)
    if added:
        output.line(f"Added {_counts(added)} to the index {index.url}.")
    elif complete:
        output.line(f"No change: the index {index.url} is complete.")
    else:
        output.line(f"No change: nothing could be added to the index {index.url}.")


def _counts(added: Sequence[str]) -> str:
    """Return the numbers of added objects, such as `26 tables, 4 indexes and 2 component versions`.

    Each text begins with the kind of the object, such as "table storagenode".
    """
    kinds = Counter(what.partition(" ")[0] for what in added)
    counts = [output.count(kinds[kind], *names) for kind, names in KINDS.items() if kinds[kind]]
    return " and ".join(filter(None, (", ".join(counts[:-1]), counts[-1])))
