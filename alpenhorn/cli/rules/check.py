"""`alpenhorn rules check`: find copies to which a rule has not been applied."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alpenhorn.cli import columns, output
from alpenhorn.cli.app import App, pass_app
from alpenhorn.cli.columns import Format, column, format_option, number, refuse_to_ask, size, wide_option
from alpenhorn.cli.long_work import LongWork
from alpenhorn.cli.options import confirm
from alpenhorn.edits.rules import make_up
from alpenhorn.errors import DONE, FAILED
from alpenhorn.listings import storage
from alpenhorn.scan import rules as scan
from alpenhorn.scan.rules import Action, MissedAction

VERBS = {Action.AUTOSYNC: "request", Action.AUTOCLEAN: "release"}


COLUMNS = (
    column("node", "Node", "rule.node"),
    column("group", "Group", "rule.group"),
    column("action", "Action"),
    number("files", "Files", "total.files"),
    size("size_b", "Size", "total.bytes"),
)


@click.command()
@click.option("--apply", "apply_", is_flag=True, help="Apply the rules: request and release these copies.")
@click.option(
    "--archive-ok", is_flag=True, help="With --apply: allow the release of copies on archive nodes."
)
@click.option("--force", is_flag=True, help="With --apply: do not ask for confirmation.")
@wide_option
@format_option
@pass_app
@click.pass_context
def check(
    ctx: click.Context, app: App, apply_: bool, archive_ok: bool, force: bool, wide: bool, form: Format
) -> None:
    """Rules are applied when a copy is recorded.  This command finds copies that were recorded before the rule was
    set, or by another program: for autosync, copies on the node of files that are neither in the group nor
    requested there; for autoclean, copies on the node of files that the group has.  With --apply the files are
    requested and the copies released; the next run on their host deletes released copies if that is safe.  Copies on
    archive nodes are released only with --archive-ok.
    The exit status is 1 if copies were found and the rules were not applied.

    \b
    Examples:
      alpenhorn rules check
      alpenhorn rules check --apply
    """
    for option, given in (("--force", force), ("--archive-ok", archive_ok)):
        if given and not apply_:
            raise click.UsageError(f"{option} needs --apply")
    refuse_to_ask(form, force or not apply_, "--apply and --force")
    with LongWork(app, "Looking for missed actions"):
        missed = scan.missed_actions(app.index)
    if form is Format.TABLE:
        columns.table(COLUMNS, missed, "No missed actions.", wide=wide)
        if missed:
            output.line("")
    done = None
    kept = [] if archive_ok else _on_archive_nodes(app, missed)
    wanted = [one for one in missed if one not in kept]
    if kept and apply_:
        nodes = ", ".join(dict.fromkeys(one.rule.node for one in kept))
        output.note(
            f"copies on archive nodes are not released: {nodes}; to release them anyway: --archive-ok"
        )
    if wanted and apply_:
        confirm(_question(wanted), force)
        with LongWork(app, "Applying the rules", changing=True) as work:
            done = make_up(app.index, wanted, app.stamp(), work.at)
    if form is Format.JSON:
        _document(missed, done)
    elif form.in_rows:
        columns.show(form, COLUMNS, missed)
    elif done is not None:
        requests = output.count(done[Action.AUTOSYNC], "file")
        copies = output.count(done[Action.AUTOCLEAN], "copy", "copies")
        output.line(f"Requested {requests}, released {copies}.")
    elif missed:
        how = "" if apply_ else "; to apply the rules: alpenhorn rules check --apply"
        output.line(f"Nothing was changed{how}")
    ctx.exit(FAILED if missed and (done is None or kept) else DONE)


def _on_archive_nodes(app: App, missed: Sequence[MissedAction]) -> list[MissedAction]:
    """Return the actions that would release copies on archive nodes."""
    archives = {node.name for node in storage.nodes(app.index) if node.archive}
    return [one for one in missed if one.action is Action.AUTOCLEAN and one.rule.node in archives]


def _question(missed: Sequence[MissedAction]) -> str:
    asked = []
    for action, verb in VERBS.items():
        copies = sum(one.total.files for one in missed if one.action is action)
        if copies:
            asked.append(f"{verb} {output.count(copies, 'copy', 'copies')}")
    return f"{' and '.join(asked).capitalize()}?"


def _document(missed: Sequence[MissedAction], done: dict[Action, int] | None) -> None:
    applied = (
        None if done is None else {"requested": done[Action.AUTOSYNC], "released": done[Action.AUTOCLEAN]}
    )
    output.document({"owed": columns.documents(COLUMNS, missed), "applied": applied})
